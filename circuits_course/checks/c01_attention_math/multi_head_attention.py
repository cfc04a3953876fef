"""Exercise `multi_head_attention`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

multi_head_attention = Exercise(
    "multi_head_attention",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "You have written everything but the way in and the way out: project x into each head's q, "
        "k and v; run the steps; project each head's result back with its own W_O.",
        "The order: attention_scores, attention_pattern, mix_values. The result, z, is [batch, "
        "head, pos, d_head].",
        'Out of the heads: "batch head pos d_head, head d_head d_model -> batch head pos d_model" '
        "gives what each head writes. The layer's output is their sum over the head axis.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


def _layer(batch: int, pos: int, d_model: int, heads: int, d_head: int, seed: int) -> list[Tensor]:
    """x, W_Q, W_K, W_V, W_O of a random layer whose heads attend unevenly."""
    x = normal(batch, pos, d_model, seed=seed)
    W_Q, W_K, W_V = (normal(heads, d_model, d_head, seed=seed + i) for i in (1, 2, 3))
    return [x, W_Q / 2, W_K / 2, W_V, normal(heads, d_head, d_model, seed=seed + 4)]


@multi_head_attention.cases
def _layer_cases() -> Iterator[Case]:
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    zero, eye = torch.zeros(2, 2, 2), torch.eye(2).repeat(2, 1, 1)
    write = torch.stack([torch.eye(2), 10 * torch.eye(2)])
    yield Case("two heads that attend evenly and copy, one writing tenfold", x, zero, zero, eye,
               write)  # fmt: skip
    yield Case("random weights", *_layer(2, 5, 7, 3, 4, seed=0))
    yield Case("one head", *_layer(3, 6, 8, 1, 5, seed=10))
    yield Case("heads that fill d_model", *_layer(2, 4, 6, 3, 2, seed=20))
    x, W_Q, W_K, _, _ = _layer(2, 5, 8, 3, 4, seed=40)
    W_V, W_O = normal(3, 8, 7, seed=43), normal(3, 7, 8, seed=44)
    yield Case("values wider than queries and keys", x, W_Q, W_K, W_V, W_O)
    yield Case("as many heads as positions", *_layer(4, 4, 9, 4, 3, seed=30))


def _one_head(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, **options: Any) -> Tensor:
    options = {"is_causal": True, **options}
    return F.scaled_dot_product_attention(x @ W_Q, x @ W_K, x @ W_V, **options)


@multi_head_attention.oracle
def _layer_oracle(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    """torch's own attention, one head after the other."""
    return _heads(x, W_Q, W_K, W_V, W_O).sum(0)


def _heads(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor, **options: Any) -> Tensor:
    weights = zip(W_Q, W_K, W_V, W_O, strict=True)
    return torch.stack([_one_head(x, q, k, v, **options) @ o for q, k, v, o in weights])


@multi_head_attention.wrong(
    "you took the mean over the heads. Each head adds its own write to the residual stream: sum."
)
def mean_of_heads(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    return _heads(x, W_Q, W_K, W_V, W_O).mean(0)


@multi_head_attention.wrong(
    "the heads are still apart: sum over the head axis. Their sum is what the layer adds."
)
def heads_left_apart(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    return _heads(x, W_Q, W_K, W_V, W_O).transpose(0, 1)


@multi_head_attention.wrong(
    "the heads look into the future: go through attention_pattern, which masks."
)
def without_a_mask(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    return _heads(x, W_Q, W_K, W_V, W_O, is_causal=False).sum(0)


@multi_head_attention.wrong("the scores are not divided by sqrt(d_head).")
def without_the_scale(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    return _heads(x, W_Q, W_K, W_V, W_O, scale=1.0).sum(0)


@multi_head_attention.wrong(
    "the scores are divided by the square root of d_model. A score is a sum of d_head products, so "
    "the scale is sqrt(d_head)."
)
def scaled_by_d_model(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    return _heads(x, W_Q, W_K, W_V, W_O, scale=x.shape[-1] ** -0.5).sum(0)


@multi_head_attention.wrong(
    "queries and keys are exchanged: W_Q makes the queries, the rows of the pattern."
)
def queries_and_keys_exchanged(
    x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor
) -> Tensor:
    return _heads(x, W_K, W_Q, W_V, W_O).sum(0)


@multi_head_attention.wrong(
    "keys and values are exchanged: W_K makes what is compared, W_V what is carried home."
)
def keys_and_values_exchanged(
    x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor
) -> Tensor:
    return _heads(x, W_Q, W_V, W_K, W_O).sum(0)


@multi_head_attention.wrong(
    "every head was written out through the sum of all W_O (an einsum that sums over `head` in "
    "both before they meet). Head h's z goes through W_O[h]: name the head axis in both."
)
def output_matrices_mixed(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    return _heads(x, W_Q, W_K, W_V, W_O.sum(0).expand_as(W_O)).sum(0)


@multi_head_attention.wrong(
    "x itself has been added. This function gives what the layer adds; the residual stream "
    "carries x on by itself."
)
def residual_added(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    return x + _layer_oracle(x, W_Q, W_K, W_V, W_O)


@multi_head_attention.wrong(
    "the heads' results are still in the small space of d_head numbers: each goes through its W_O."
)
def output_matrix_left_out(x: Tensor, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    return torch.stack([_one_head(x, q, k, v) for q, k, v in zip(W_Q, W_K, W_V, strict=True)]).sum(
        0
    )


slip(
    multi_head_attention,
    "keys_carried_home",
    "the heads carry their keys home: what is mixed is v.",
    ("attention_scores(q, k)), v)", "attention_scores(q, k)), k)"),
)


slip(
    multi_head_attention,
    "queries_only",
    "queries meet queries: the scores compare q with k.",
    ("attention_scores(q, k)", "attention_scores(q, q)"),
)


slip(
    multi_head_attention,
    "last_head_alone",
    "only the last head's write is there: sum over the heads.",
    ("writes.sum(dim=1)", "writes[:, -1]"),
)


slip(
    multi_head_attention,
    "scaled_by_the_values",
    "the scores were divided by the root of the width of the values. What is summed over is the "
    "d_head of queries and keys.",
    (
        "attention_scores(q, k)",
        "attention_scores(q, k) * (q.shape[-1] / v.shape[-1]) ** 0.5",
    ),
)


slip(
    multi_head_attention,
    "heads_mixed_by_a_reshape",
    "the heads' outputs were laid end to end while the head axis still stood before the "
    "positions: heads and positions are mixed. Move the axis first, or sum over heads with "
    "einsum.",
    (
        '    writes = einsum(z, W_O, "batch head pos d_head, head d_head d_model -> batch '
        'head pos d_model")\n',
        "    batch, head, pos, d_head = z.shape\n"
        "    ends = z.reshape(batch, pos, head * d_head)\n"
        "    writes = (ends @ W_O.reshape(head * d_head, -1))[:, None]\n",
    ),
)


slip(
    multi_head_attention,
    "one_pattern_for_all",
    "the scores were averaged over the heads, so that all look alike. Each head has its own "
    "pattern.",
    (
        "attention_scores(q, k)",
        "attention_scores(q, k).mean(1, keepdim=True).expand(-1, q.shape[1], -1, -1)",
    ),
)


slip(
    multi_head_attention,
    "one_head_alone",
    "one head alone is there: sum over all of them.",
    (
        "writes.sum(dim=1)",
        "writes[:, 0]",
    ),
)


slip(
    multi_head_attention,
    "positions_summed",
    "you summed over the positions. What is summed is what the heads write, axis 1.",
    (
        "writes.sum(dim=1)",
        "writes.sum(dim=2)[:, :1].expand_as(x)",
    ),
)
