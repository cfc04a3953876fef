"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import cache
from random import Random
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.compare import Tolerance
from circuits_course.checks.inputs import normal, random_model, random_tokens
from circuits_course.circuits.discovery import EdgeRuns, edges_of, said_by
from circuits_course.circuits.heads import Head
from circuits_course.circuits.patching.stages import stages_of
from circuits_course.data.logit_difference import LogitDifference

ROUGH = Tolerance(atol=2e-3, rtol=1e-3)  # logits of the case models are of size 1 to 30
SLOPES = Tolerance(atol=5e-4, rtol=2e-3)

Edge = tuple[Any, Any]
Edges = list[Edge]
Scores = dict[Edge, float]
Stream = Tensor


def pair(batch: int, pos: int, seed: int, same: int = 1) -> tuple[Tensor, Tensor]:
    """Clean and corrupted tokens that agree before position `same`."""
    clean, corrupted = (random_tokens(batch, pos, seed=s) for s in (seed, seed + 100))
    corrupted[:, :same] = clean[:, :same]
    return clean, corrupted


def reads(batch: int, seed: int = 0, position: int = -1) -> LogitDifference:
    """A logit difference of random tokens, another one for each prompt."""
    right, wrong = random_tokens(2, batch, seed=seed + 50)
    wrong = torch.where(wrong == right, wrong % 29 + 1, wrong)
    return LogitDifference(right, wrong, position)


def plain(edges: Iterable[Any]) -> Edges:
    """Edges as pairs."""
    return [tuple(edge) for edge in edges]


def all_edges(model: Any) -> Edges:
    return plain(edges_of(model))


def some_edges(model: Any, share: float, seed: int) -> Edges:
    """Edges drawn at random, in any order."""
    edges = all_edges(model)
    return Random(seed).sample(edges, round(share * len(edges)))


def score(model: Any, clean: Tensor, corrupted: Tensor, metric: Any, kept: Edges) -> float:
    """The metric with these edges kept, by the package's engine, which knows no names."""
    return float(EdgeRuns(model, clean, corrupted).score(kept, metric))


def edge_run(
    model: Any,
    clean: Tensor,
    heard: Callable[[Any, dict[Any, Tensor]], Tensor],
    *,
    side_by_side: bool = True,
) -> Tensor:
    """Logits of a run in which `heard(receiver, now)` says what each receiver reads.

    now: what the senders before it say. side_by_side: no head hears one of its own layer.
    """
    stages = stages_of(model, clean)
    now: dict[Any, Tensor] = {"embed": said_by(model, clean)["embed"]}
    for layer in range(stages.n_layers):
        written = {} if side_by_side else now
        for head in range(stages.n_heads):
            streams = [heard((layer, head, part), now) for part in "qkv"]
            written[layer, head] = one_head(model, layer, head, *streams)
        now = now | written
    return stages.logits(heard("logits", now))


def one_head(
    model: Any,
    layer: int,
    head: int,
    into_q: Stream,
    into_k: Stream,
    into_v: Stream,
    *,
    place: tuple[float, float, float] = (1.0, 1.0, 0.0),
    scale: float | None = None,
    causal: bool = True,
    over: int = -1,
) -> Stream:
    """What a head writes, by torch's own sums; the options are ways to get it wrong.

    place: how often positions are added to what queries, keys and values read.
    """
    n_pos = into_q.shape[1]
    streams = into_q, into_k, into_v
    inputs = [x + n * model.W_pos[:n_pos] for x, n in zip(streams, place, strict=True)]
    weights = (w[layer, head] for w in (model.W_Q, model.W_K, model.W_V))
    q, k, v = (torch.einsum("bpm,md->bpd", x, w) for x, w in zip(inputs, weights, strict=True))
    scores = torch.einsum("bqd,bkd->bqk", q, k) / (model.cfg.attn_scale if scale is None else scale)
    if causal:
        seen = torch.ones(n_pos, n_pos).tril().bool()
        scores = torch.where(seen, scores, -torch.inf)
    pattern = scores.softmax(over)
    return torch.einsum("bqk,bkd,dm->bqm", pattern, v, model.W_O[layer, head])


def heads_of(model: Any) -> list[Head]:
    return [(la, h) for la in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]


def ranked(scores: Scores, key: Callable[[float], float]) -> Sequence[Edge]:
    return sorted(scores, key=lambda edge: key(scores[edge]))


@cache
def small_model(n_layers: int = 2, n_heads: int = 3, seed: int = 0) -> Any:
    """A random model of few edges, whose unembedding has a bias."""
    model = deepcopy(random_model(n_layers, n_heads, seed))
    model.unembed.b_U.copy_(normal(len(model.b_U), seed=seed))
    return model
