"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checks.inputs import random_tokens

Masks = dict[str, Tensor]

Profile = dict[str, Tensor]


def letters(*rows: str) -> Tensor:
    """Rows of letters as tokens, BOS (0) first; "a" is 1."""
    return torch.tensor([[0, *(ord(letter) - ord("a") + 1 for letter in row)] for row in rows])


def drawn(batch: int, pos: int, seed: int = 0, d_vocab: int = 6) -> Tensor:
    """Random sequences, BOS first, in which tokens come again."""
    tokens = random_tokens(batch, pos, d_vocab, seed)
    tokens[:, 0] = 0
    return tokens


def masks_by_cell(tokens: Tensor) -> Masks:
    """The behaviours by their definition, cell by cell."""
    shape = (*tokens.shape, tokens.shape[1])
    names = ("previous token", "duplicate token", "induction")
    masks = {name: torch.zeros(shape, dtype=torch.bool) for name in names}
    for b, row in enumerate(tokens.tolist()):
        for q in range(len(row)):
            for k in range(1, q + 1):
                masks["previous token"][b, q, k] = k == q - 1
                masks["duplicate token"][b, q, k] = k < q and row[k] == row[q]
                masks["induction"][b, q, k] = row[k - 1] == row[q]
    return masks


_REPEATS = 8


def repeats(model: Any, period: int = _REPEATS, batch: int = 2, seed: int = 0) -> Tensor:
    copy = random_tokens(batch, period, model.cfg.d_vocab, seed)
    return torch.cat([torch.zeros(batch, 1, dtype=torch.int64), copy, copy], dim=1)


@cache
def _patterns_of(model: Any, key: tuple[tuple[int, ...], ...]) -> tuple[Tensor, ...]:
    _, cache_ = model.run_with_cache(torch.tensor(key))
    return tuple(cache_["pattern", layer].detach() for layer in range(model.cfg.n_layers))


def patterns(model: Any, tokens: Tensor) -> tuple[Tensor, ...]:
    """Each layer's attention [batch, head, q, k]."""
    return _patterns_of(model, tuple(map(tuple, tokens.tolist())))


def profile_by_query(
    model: Any,
    tokens: Tensor,
    masks: Callable[[Tensor], Masks] = masks_by_cell,
    pool: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Profile:
    """Scores from the patterns; `pool(on target [batch, q], asked [batch, q])` averages."""
    pool = pool or (lambda on_target, asked: on_target[asked].mean())
    profile = {}
    for name, mask in masks(tokens).items():
        asked = mask.any(-1)
        if asked.any():
            rows = [
                [pool((layer[:, head] * mask).sum(-1), asked) for head in range(layer.shape[1])]
                for layer in patterns(model, tokens)
            ]
            profile[name] = torch.tensor(rows)
    return profile


Gone = tuple[tuple[int, int], ...]


def ablated(model: Any, gone: Gone, mean: Callable[[Tensor], Any]) -> Any:
    """A context in which the heads' z are replaced by `mean(z [batch, pos, d_head])`."""

    def replace(z: Tensor, hook: Any) -> Tensor:
        z = z.clone()
        layer = int(hook.name.split(".")[1])
        for head in (h for at, h in gone if at == layer):
            z[:, :, head] = mean(z[:, :, head])
        return z

    names = sorted({f"blocks.{layer}.attn.hook_z" for layer, _ in gone})
    return model.hooks(fwd_hooks=[(name, replace) for name in names])


def over_all(z: Tensor) -> Tensor:
    return z.mean((0, 1))


def by_position(z: Tensor) -> Tensor:
    return z.mean(0)


def zeros(z: Tensor) -> Tensor:
    return torch.zeros_like(z)


Loss = Callable[..., Tensor]


def loss_by_half(model: Any, tokens: Tensor) -> Tensor:
    """Next-token loss in the first and in the second half of the positions, nats."""
    log_probs = model(tokens)[:, :-1].log_softmax(-1)
    loss = -log_probs.gather(-1, tokens[:, 1:, None])[..., 0]
    middle = loss.shape[1] // 2
    return torch.stack([loss[:, :middle].mean(), loss[:, middle:].mean()])


def costs_by_head(
    model: Any,
    tokens: Tensor,
    loss: Loss,
    *,
    mean: Callable[[Tensor], Any] = over_all,
    gone: Callable[[int, int], Gone] | None = None,
) -> Tensor:
    gone = gone or (lambda layer, head: ((layer, head),))
    whole = loss(model, tokens)
    table = []
    for layer in range(model.cfg.n_layers):
        row = []
        for head in range(model.cfg.n_heads):
            with ablated(model, gone(layer, head), mean):
                row.append(loss(model, tokens) - whole)
        table.append(torch.stack(row, dim=-1))
    return torch.stack(table, dim=1).detach()
