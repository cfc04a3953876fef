"""Right answers to `name_mover_scores`, written in other ways than the reference."""

from .shared import _by_hooks, _by_loop


def movers_by_loop(model, batch):
    return _by_loop(model, batch, "END", "IO")


def movers_by_hooks(model, batch):
    return _by_hooks(model, batch, "END", "IO").double()


RIGHT = [movers_by_loop, movers_by_hooks]
