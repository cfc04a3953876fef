"""Right answers to `edge_effect`, written in other ways than the reference."""

import torch

from circuits_course.circuits import path_patch

from .shared import _kl


def edge_by_index(model, tokens, sender, receiver):
    other = tokens[torch.arange(len(tokens)) - 1]
    clean = model(tokens)
    metric = lambda new: _kl(clean, new) / _kl(clean, model(other))  # noqa: E731
    return path_patch(model, tokens, other, sender, [receiver], metric)


def edge_in_float64(model, tokens, sender, receiver):
    shifted = torch.cat([tokens[-1:], tokens[:-1]])
    clean, away = model(tokens), model(shifted)

    def metric(new):
        return _kl(clean.double(), new.double())

    moved = path_patch(model, tokens, shifted, sender, receiver, metric)
    return moved / metric(away).item()


RIGHT = [edge_by_index, edge_in_float64]
