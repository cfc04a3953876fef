"""Right answers to `edge_attribution`, written in other ways than the reference."""

import torch

from circuits_course.circuits.discovery import edges_of, said_by, slopes_at


def by_einsum(model, clean, corrupted, metric):
    ours, theirs = said_by(model, clean), said_by(model, corrupted)
    slopes = slopes_at(model, clean, metric)
    steps = torch.stack([theirs[sender] - ours[sender] for sender in ours])
    table = torch.einsum("sbpd,rbpd->rs", steps, torch.stack(list(slopes.values())))
    rows = {receiver: i for i, receiver in enumerate(slopes)}
    columns = {sender: i for i, sender in enumerate(ours)}
    return {(s, r): table[rows[r], columns[s]] for s, r in edges_of(model)}


def prompt_by_prompt_in_float64(model, clean, corrupted, metric):
    slopes, scores = slopes_at(model, clean, metric), {}
    ours, theirs = said_by(model, clean), said_by(model, corrupted)
    for edge in reversed(edges_of(model)):
        step = (theirs[edge.sender] - ours[edge.sender]).double()
        slope = slopes[edge.receiver].double()
        scores[edge] = sum((step[i] * slope[i]).sum().item() for i in range(len(clean)))
    return scores


RIGHT = [by_einsum, prompt_by_prompt_in_float64]
