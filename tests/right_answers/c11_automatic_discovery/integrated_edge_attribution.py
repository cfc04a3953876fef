"""Right answers to `integrated_edge_attribution`, written in other ways than the reference."""

import torch

from circuits_course.circuits.discovery import edges_of, said_by, slopes_at


def run_by_run(model, clean, corrupted, metric, steps=5):
    """Scores of each run, averaged at the end."""
    ours, theirs = said_by(model, clean), said_by(model, corrupted)
    scores = dict.fromkeys(edges_of(model), 0.0)
    for k in range(1, steps + 1):
        between = torch.lerp(theirs["embed"], ours["embed"], k / steps)
        slopes = slopes_at(model, clean, metric, between)
        for sender, receiver in scores:
            part = ((theirs[sender] - ours[sender]) * slopes[receiver]).sum() / steps
            scores[sender, receiver] += part.item()
    return scores


def backwards(model, clean, corrupted, metric, steps=5):
    """From the clean end to the corrupted one."""
    ours, theirs = said_by(model, clean), said_by(model, corrupted)
    way = model.embed(corrupted) - model.embed(clean)
    points = [model.embed(clean) + j / steps * way for j in range(steps)]
    runs = [slopes_at(model, clean, metric, point) for point in points]
    mean = {r: torch.stack([run[r] for run in runs]).mean(0) for r in runs[0]}
    return {(s, r): ((theirs[s] - ours[s]) * mean[r]).sum() for s, r in edges_of(model)}


RIGHT = [run_by_run, backwards]
