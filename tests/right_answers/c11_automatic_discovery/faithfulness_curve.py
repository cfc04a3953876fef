"""Right answers to `faithfulness_curve`, written in other ways than the reference."""

import torch

from circuits_course.circuits.discovery import EdgeRuns, run_with_edges, strongest_edges


def by_engine(model, clean, corrupted, metric, scores, sizes):
    runs = EdgeRuns(model, clean, corrupted)
    low, high = runs.score([], metric), runs.score(scores, metric)
    points = [runs.score(strongest_edges(scores, size), metric) for size in sizes]
    return [(point - low) / (high - low) for point in points]


def by_tensor(model, clean, corrupted, metric, scores, sizes):
    edges, strength = list(scores), torch.tensor(list(scores.values())).abs()
    order = [edges[i] for i in strength.argsort(descending=True)]
    curve = torch.tensor([
        float(metric(run_with_edges(model, clean, corrupted, order[:size]))) for size in sizes
    ])  # fmt: skip
    ends = [float(metric(model(tokens))) for tokens in (corrupted, clean)]
    return ((curve.double() - ends[0]) / (ends[1] - ends[0])).tolist()


RIGHT = [by_engine, by_tensor]
