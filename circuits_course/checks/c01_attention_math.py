"""Chapter 01, Attention math: one attention layer from its scores to its skip-trigrams."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformer_lens import FactoredMatrix

from circuits_course.checking.compare import Tolerance, same, shape_text
from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.inputs import normal, random_model, random_tokens
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

checks = ChapterChecks("01_attention_math")


# --- attention_scores -------------------------------------------------------------------------

attention_scores = checks.exercise(
    "attention_scores",
    difficulty=1,
    importance=5,
    minutes=5,
    hints=[
        "Take one sequence and one head. Entry [i, j] of the result is one number made of two "
        "vectors. Which two?",
        "q and k both call their third axis pos. In the result they are two different axes, so "
        "einsum needs two different names for them: query and key.",
        'The pattern is "batch head query d_head, batch head key d_head -> batch head query key". '
        "Then divide by the square root of d_head.",
    ],
)


@attention_scores.cases
def _score_cases() -> Iterator[Case]:
    q = torch.tensor([[[[2.0, 0, 0, 0], [0, 4.0, 0, 0]]]])
    k = torch.tensor([[[[1.0, 0, 0, 0], [3.0, 5.0, 0, 0]]]])
    yield Case("two queries and two keys of four numbers", q, k)
    yield Case("random numbers", normal(2, 3, 5, 7), normal(2, 3, 5, 7, seed=1))
    yield Case("equal sizes everywhere", normal(4, 4, 4, 4, seed=2), normal(4, 4, 4, 4, seed=3))
    yield Case("long vectors", normal(3, 2, 6, 64, seed=4), normal(3, 2, 6, 64, seed=5))


@attention_scores.oracle
def _scores_oracle(q: Tensor, k: Tensor) -> Tensor:
    batch, head, pos, d_head = q.shape
    scores = torch.zeros(batch, head, pos, pos)
    for i in range(pos):
        for j in range(pos):
            scores[:, :, i, j] = (q[:, :, i] * k[:, :, j]).sum(-1) / math.sqrt(d_head)
    return scores


@attention_scores.wrong(
    "the scale is missing. Divide the dot products by the square root of d_head; the next exercise "
    "measures what happens without it."
)
def unscaled(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT


@attention_scores.wrong(
    "you divided by d_head. The standard deviation of a dot product grows with the square root "
    "of the number of terms, so that is what to divide by."
)
def scaled_by_d_head(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT / q.shape[-1]


@attention_scores.wrong(
    "query and key are exchanged: rows are queries. scores[..., i, j] takes q at i and k at j."
)
def keys_in_rows(q: Tensor, k: Tensor) -> Tensor:
    return _scores_oracle(k, q)


@attention_scores.wrong(
    "you took the wrong size for the scale: d_head is the last axis of q. The number of positions "
    "has no part in it."
)
def scaled_by_positions(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT / q.shape[-2] ** 0.5


@attention_scores.wrong(
    "each query was compared with the key of its own position alone. Give the two position axes "
    "different names, so that every query meets every key."
)
def same_position_only(q: Tensor, k: Tensor) -> Tensor:
    return (q * k).sum(-1) / q.shape[-1] ** 0.5


@attention_scores.wrong(
    "you multiplied the scores by the square root of d_head instead of dividing by it."
)
def multiplied_by_root(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT * q.shape[-1] ** 0.5


@attention_scores.wrong(
    "positions were summed over and d_head was kept: the result compares the entries of the "
    "vectors, not the positions. The axis to sum over is d_head."
)
def summed_over_positions(q: Tensor, k: Tensor) -> Tensor:
    return q.mT @ k / q.shape[-1] ** 0.5


@attention_scores.wrong("only q is used: the scores compare queries with keys, not with queries.")
def keys_left_out(q: Tensor, k: Tensor) -> Tensor:
    return _scores_oracle(q, q)


@attention_scores.wrong(
    "these rows sum to 1, so a softmax has been taken already. Scores come before it."
)
def softmax_too_early(q: Tensor, k: Tensor) -> Tensor:
    return _scores_oracle(q, k).softmax(-1)


# --- score_variance ---------------------------------------------------------------------------

score_variance = checks.exercise(
    "score_variance",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=[
        "The query of sample i meets the key of sample i: n_samples scores in all, each the sum of "
        "d_head products.",
        "Elementwise product, then a sum over the last axis. If `scaled`, divide by sqrt(d_head) "
        "before you take the variance.",
        "`(q * k).sum(-1)` are the scores; `.var().item()` makes one Python number of them.",
    ],
    tolerance=Tolerance(atol=0.0, rtol=0.2),
)


@score_variance.cases
def _variance_cases() -> Iterator[Case]:
    yield Case("64 numbers a vector, not scaled", 64, 4000, False, 0)
    yield Case("64 numbers a vector, scaled", 64, 4000, True, 0)
    yield Case("9 numbers a vector, not scaled", 9, 4000, False, 1)
    yield Case("9 numbers a vector, scaled", 9, 4000, True, 2)
    yield Case("200 numbers a vector, not scaled", 200, 2500, False, 3)


@score_variance.oracle
def _variance_oracle(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    """A sum of d_head products, each of variance 1 and independent of the others."""
    return 1.0 if scaled else float(d_head)


LAWS = (0.0, 0.5, 1.0, 1.5, 2.0, -0.5, -1.0, -1.5, -2.0)


@score_variance.observe
def _law(output: Any, d_head: int, n_samples: int, scaled: bool, seed: int) -> Any:
    """The power of d_head that the measured number stands for; the number itself if none.

    Samples differ from one implementation to the next, what they estimate does not.
    """
    if isinstance(output, Tensor) and output.ndim:
        return output
    value = float(output)
    near = [d_head**law for law in LAWS if abs(value / d_head**law - 1) < 0.15]
    return near[0] if near else value


def _draws(attempt: Any, d_head: int, scaled: bool, *seeds: int) -> list[float]:
    """Few samples each, so that two seeds differ; nothing where the output is no number."""
    drawn = [attempt(d_head, 50, scaled, seed) for seed in seeds]
    return [] if any(isinstance(d, Tensor) and d.ndim for d in drawn) else list(map(float, drawn))


@score_variance.trial
def _same_seed_same_number(
    attempt: Any, d_head: int, n_samples: int, scaled: bool, seed: int
) -> str | None:
    drawn = _draws(attempt, d_head, scaled, seed, seed)
    if not drawn or same(drawn[0], drawn[1]):
        return None
    return "the same seed gave {:.3f} and, called again, {:.3f}".format(*drawn)


@score_variance.trial
def _other_seed_other_number(
    attempt: Any, d_head: int, n_samples: int, scaled: bool, seed: int
) -> str | None:
    drawn = _draws(attempt, d_head, scaled, seed, seed + 1)
    if len(set(drawn)) != 1:
        return None
    return f"seeds {seed} and {seed + 1} gave exactly the same number, {drawn[0]:.3f}"


def _samples(d_head: int, n_samples: int, seed: int) -> tuple[Tensor, Tensor]:
    q, k = normal(2, n_samples, d_head, seed=seed)
    return q, k


def _sampled_scores(d_head: int, n_samples: int, scaled: bool, seed: int) -> Tensor:
    q, k = _samples(d_head, n_samples, seed)
    return (q * k).sum(-1) / (d_head**0.5 if scaled else 1.0)


@score_variance.wrong(
    "this is the standard deviation. The variance is its square; `.var()` gives it."
)
def standard_deviation(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    return _sampled_scores(d_head, n_samples, scaled, seed).std().item()


@score_variance.wrong(
    "`scaled` made no difference to your result. Divide the scores by sqrt(d_head) if it is True."
)
def never_scaled(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    return _sampled_scores(d_head, n_samples, False, seed).var().item()


@score_variance.wrong(
    "you always divided by sqrt(d_head). Do that only if `scaled` is True: the point is to compare."
)
def always_scaled(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    return _sampled_scores(d_head, n_samples, True, seed).var().item()


@score_variance.wrong(
    "you divided by d_head. The variance then shrinks with d_head; divide by its square root."
)
def scaled_too_much(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    scores = _sampled_scores(d_head, n_samples, False, seed)
    return (scores / d_head if scaled else scores).var().item()


@score_variance.wrong(
    "this is the variance of the single products. A score is the sum of d_head of them: sum over "
    "the last axis first."
)
def products_not_summed(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    q, k = _samples(d_head, n_samples, seed)
    return (q * k / (d_head**0.5 if scaled else 1.0)).var().item()


@score_variance.wrong(
    "scaled and not scaled are exchanged: divide if `scaled` is True, not if it is False."
)
def scaled_exchanged(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    return _sampled_scores(d_head, n_samples, not scaled, seed).var().item()


@score_variance.wrong(
    "you returned the scores themselves. Return one number, their variance: `.var().item()`."
)
def scores_returned(d_head: int, n_samples: int, scaled: bool, seed: int) -> Tensor:
    return _sampled_scores(d_head, n_samples, scaled, seed)


@score_variance.wrong(
    "the seed is not used, so every call draws other numbers. Hand torch.randn a generator that "
    "was seeded with it."
)
def seed_not_used(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    scores = (torch.randn(n_samples, d_head) * torch.randn(n_samples, d_head)).sum(-1)
    return (scores / d_head**0.5 if scaled else scores).var().item()


@score_variance.wrong(
    "this number is told, not measured (or always begins from the same seed). Draw queries and "
    "keys from the seed, and measure."
)
def told_not_measured(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    return 1.0 if scaled else float(d_head)


# --- causal_mask ------------------------------------------------------------------------------

causal_mask = checks.exercise(
    "causal_mask",
    difficulty=2,
    importance=5,
    minutes=5,
    hints=[
        "Draw the square for three positions: row = query, column = key. Which of the nine cells "
        "would let a query look at a later token?",
        "`torch.triu` keeps the upper right triangle. Its `diagonal` argument decides whether the "
        "diagonal belongs to it: a position may look at itself.",
        "torch.ones(n_pos, n_pos, dtype=torch.bool).triu(diagonal=1) is True where the mask goes. "
        "`masked_fill` returns a new tensor; `masked_fill_` changes the one it is given.",
    ],
)


@causal_mask.cases
def _mask_cases() -> Iterator[Case]:
    yield Case("three positions whose scores are all 1", torch.ones(1, 1, 3, 3))
    yield Case("random scores", normal(2, 3, 5, 5))
    yield Case("very low scores", normal(3, 2, 4, 4, seed=1) - 300.0)
    yield Case("one position only", normal(2, 2, 1, 1, seed=2))
    yield Case("as many heads as positions", normal(4, 4, 4, 4, seed=3) * 10)


@causal_mask.observe
def _masked_view(masked: Tensor, scores: Tensor) -> Any:
    """What is left of the allowed scores, and the attention that the mask leads to."""
    if not isinstance(masked, Tensor) or masked.shape != scores.shape:
        return masked
    i, j = torch.tril_indices(*scores.shape[-2:])
    return {
        "allowed scores": masked[..., i, j],
        "attention after a softmax": masked.double().softmax(-1),
    }


@causal_mask.oracle
def _mask_oracle(scores: Tensor) -> Any:
    masked = scores.clone()
    for i in range(scores.shape[-2]):
        masked[..., i, i + 1 :] = -torch.inf
    return _masked_view(masked, scores)


def _triangle(scores: Tensor, diagonal: int) -> Tensor:
    return torch.ones(scores.shape[-2:]).triu(diagonal).bool()


@causal_mask.wrong(
    "the diagonal is masked too. A position may look at itself, and the first one has nothing "
    "else: its whole row became -inf. Use triu with diagonal=1."
)
def diagonal_masked(scores: Tensor) -> Tensor:
    return scores.masked_fill(_triangle(scores, 0), -torch.inf)


@causal_mask.wrong(
    "you masked the past instead of the future. Rows are queries: key j lies in the future of "
    "query i where j > i, the upper right triangle."
)
def past_masked(scores: Tensor) -> Tensor:
    return scores.masked_fill(_triangle(scores, 1).T, -torch.inf)


@causal_mask.wrong(
    "you put zeros there (or multiplied by a mask of zeros and ones). Zero is a score like any "
    "other: after the softmax it becomes exp(0) = 1 before normalising, not 0. Fill with -inf."
)
def filled_with_zero(scores: Tensor) -> Tensor:
    return scores.tril()


@causal_mask.wrong(
    "the fill is not low enough: scores lower than it occur, and then the future wins. Use -inf, "
    "or something near the lowest number that the dtype can hold."
)
def filled_with_a_small_number(scores: Tensor) -> Tensor:
    return scores.masked_fill(_triangle(scores, 1), -100.0)


@causal_mask.wrong(
    "you added -inf times a mask of zeros and ones, and 0 * inf is NaN. Choose with masked_fill or "
    "torch.where instead of multiplying."
)
def infinity_times_zero(scores: Tensor) -> Tensor:
    return scores + _triangle(scores, 1).float() * -torch.inf


@causal_mask.wrong(
    "each query still sees one token too many, the next one: triu(diagonal=2) leaves it free."
)
def next_token_left(scores: Tensor) -> Tensor:
    return scores.masked_fill(_triangle(scores, 2), -torch.inf)


@causal_mask.wrong("nothing is masked: return the new tensor that masked_fill makes.")
def nothing_masked(scores: Tensor) -> Tensor:
    return scores.clone()


@causal_mask.wrong(
    "that was done in place (a trailing underscore, or an assignment into `scores`), and the "
    "caller lost its scores."
)
def masked_in_place(scores: Tensor) -> Tensor:
    return scores.masked_fill_(_triangle(scores, 1), -torch.inf)


@causal_mask.wrong(
    "a softmax has been taken already. This step only masks; the next exercise adds the softmax."
)
def softmax_included(scores: Tensor) -> Tensor:
    return scores.masked_fill(_triangle(scores, 1), -torch.inf).softmax(-1)


# --- attention_pattern ------------------------------------------------------------------------

attention_pattern = checks.exercise(
    "attention_pattern",
    difficulty=2,
    importance=5,
    minutes=5,
    hints=[
        "Two steps, of which you have already written one. Which has to come first, and why?",
        "Each query, a row, shares out one unit over the keys. The axis that sums to one is the "
        "axis of the softmax.",
        "causal_mask(scores), then .softmax(dim=-1).",
    ],
)


@attention_pattern.cases
def _pattern_cases() -> Iterator[Case]:
    yield Case("three positions whose scores are all 0", torch.zeros(1, 1, 3, 3))
    yield Case("random scores", normal(2, 3, 5, 5))
    yield Case("as many heads as positions", normal(4, 4, 4, 4, seed=1) * 3)
    yield Case("very unequal scores", normal(3, 2, 6, 6, seed=2) * 40)


@attention_pattern.oracle
def _pattern_oracle(scores: Tensor) -> Tensor:
    pattern = torch.zeros_like(scores)
    for i in range(scores.shape[-1]):
        pattern[..., i, : i + 1] = torch.softmax(scores[..., i, : i + 1], dim=-1)
    return pattern


def _masked(scores: Tensor) -> Tensor:
    return scores.masked_fill(_triangle(scores, 1), -torch.inf)


@attention_pattern.wrong(
    "the softmax runs over the queries. Each query shares out one unit, so rows sum to 1: the "
    "softmax runs over the last axis, the keys."
)
def softmax_over_queries(scores: Tensor) -> Tensor:
    return _masked(scores).softmax(-2)


@attention_pattern.wrong(
    "you masked after the softmax. The future had already taken its share, so your rows sum to "
    "less than 1. Mask the scores first."
)
def masked_after_softmax(scores: Tensor) -> Tensor:
    return scores.softmax(-1).tril()


@attention_pattern.wrong(
    "there is no mask: the queries look at tokens that have not been read yet."
)
def unmasked(scores: Tensor) -> Tensor:
    return scores.softmax(-1)


@attention_pattern.wrong("these are logarithms: use softmax, not log_softmax.")
def log_pattern(scores: Tensor) -> Tensor:
    return _masked(scores).log_softmax(-1)


@attention_pattern.wrong(
    "the exponentials are not normalised: divide each row by its sum, or let softmax do both."
)
def not_normalised(scores: Tensor) -> Tensor:
    return _masked(scores).exp()


@attention_pattern.wrong(
    "the future has score 0 and so still gets attention: exp(0) is 1. Its scores have to be -inf."
)
def zero_scores_for_the_future(scores: Tensor) -> Tensor:
    return scores.tril().softmax(-1)


@attention_pattern.wrong(
    "each row is divided by the sum of its scores; the softmax takes exponentials first, so that "
    "negative scores count as little, not as less than nothing."
)
def shares_of_raw_scores(scores: Tensor) -> Tensor:
    kept = scores.tril()
    return kept / kept.sum(-1, keepdim=True)


@attention_pattern.wrong(
    "the scores are divided by another square root. They come scaled; twice is too much."
)
def scaled_twice(scores: Tensor) -> Tensor:
    return _masked(scores / scores.shape[-1] ** 0.5).softmax(-1)


@attention_pattern.wrong(
    "the softmax runs over a whole square of queries and keys together, which leaves each query a "
    "part of one unit. Every row needs its own: dim=-1."
)
def softmax_over_everything(scores: Tensor) -> Tensor:
    return _masked(scores).flatten(-2).softmax(-1).view_as(scores)


# --- mix_values -------------------------------------------------------------------------------

mix_values = checks.exercise(
    "mix_values",
    difficulty=2,
    importance=5,
    minutes=5,
    hints=[
        "A query that attends 0.25 to key 0 and 0.75 to key 1 takes home a quarter of one value "
        "and three quarters of the other.",
        "Which axis do `pattern` and `v` share, and is not wanted in the result? It is summed.",
        '"batch head query key, batch head key d_head -> batch head query d_head".',
    ],
)


@mix_values.cases
def _mix_cases() -> Iterator[Case]:
    pattern = torch.tensor([[[[1.0, 0.0], [0.25, 0.75]]]])
    yield Case("a query that attends 0.25 to value 8 and 0.75 to value 4", pattern,
               torch.tensor([[[[8.0], [4.0]]]]))  # fmt: skip
    for seed, (batch, head, pos, d_head) in enumerate([(2, 3, 5, 7), (4, 2, 6, 3), (3, 3, 3, 3)]):
        pattern = _pattern_oracle(normal(batch, head, pos, pos, seed=seed))
        yield Case("random numbers", pattern, normal(batch, head, pos, d_head, seed=seed + 9))


@mix_values.oracle
def _mix_oracle(pattern: Tensor, v: Tensor) -> Tensor:
    out = torch.zeros_like(v)
    for i in range(v.shape[-2]):
        for j in range(v.shape[-2]):
            out[:, :, i] += pattern[:, :, i, j, None] * v[:, :, j]
    return out


@mix_values.wrong(
    "the pattern is used transposed: you summed over the queries. Row i of the pattern says where "
    "query i looks; sum over its columns, the keys."
)
def summed_over_queries(pattern: Tensor, v: Tensor) -> Tensor:
    return pattern.mT @ v


@mix_values.wrong(
    "each query took only the value it attends to most. Attention takes the weighted sum of all."
)
def hard_attention(pattern: Tensor, v: Tensor) -> Tensor:
    best = pattern.argmax(-1, keepdim=True).expand(-1, -1, -1, v.shape[-1])
    return v.gather(2, best)


@mix_values.wrong(
    "each position kept its own value, weighted by its attention to itself. Sum over all keys."
)
def own_value_only(pattern: Tensor, v: Tensor) -> Tensor:
    return pattern.diagonal(dim1=-2, dim2=-1)[..., None] * v


@mix_values.wrong("every value that may be seen counts the same. Weight them by the pattern.")
def plain_average(pattern: Tensor, v: Tensor) -> Tensor:
    count = torch.arange(1, v.shape[-2] + 1)[:, None]
    return v.cumsum(-2) / count


@mix_values.wrong(
    "you divided by the number of keys as well. The weights sum to 1 already: sum, not mean."
)
def mean_over_keys(pattern: Tensor, v: Tensor) -> Tensor:
    return _mix_oracle(pattern, v) / v.shape[-2]


@mix_values.wrong(
    "the head axis stands after the positions. Here it stays second: [batch, head, query, d_head]."
)
def heads_after_positions(pattern: Tensor, v: Tensor) -> Tensor:
    return _mix_oracle(pattern, v).transpose(1, 2)


@mix_values.wrong(
    "the heads were summed. Each head keeps its own result until it is written out through W_O."
)
def heads_already_summed(pattern: Tensor, v: Tensor) -> Tensor:
    return _mix_oracle(pattern, v).sum(1)


# --- expand_grouped_keys ----------------------------------------------------------------------

expand_grouped_keys = checks.exercise(
    "expand_grouped_keys",
    difficulty=2,
    importance=3,
    minutes=5,
    hints=[
        "With 6 heads in 2 groups, write down for each head whose keys it uses: 0 0 0 1 1 1.",
        "Each group has to stand there n_heads / n_groups times in a row. `repeat` and "
        "`repeat_interleave` differ in the order of the copies.",
        "k.repeat_interleave(n_heads // n_groups, dim=2).",
    ],
)


@expand_grouped_keys.cases
def _group_cases() -> Iterator[Case]:
    yield Case("two groups, holding 1 and 2, for six heads",
               torch.tensor([1.0, 2.0]).view(1, 1, 2, 1), 6)  # fmt: skip
    yield Case("random keys", normal(2, 5, 3, 4), 9)
    yield Case("as many groups as heads", normal(3, 2, 4, 5, seed=1), 4)
    yield Case("one group for all heads", normal(2, 6, 1, 3, seed=2), 5)
    yield Case("as many positions as groups", normal(4, 2, 2, 2, seed=3), 8)


@expand_grouped_keys.oracle
def _group_oracle(k: Tensor, n_heads: int) -> Tensor:
    size = n_heads / k.shape[2]
    return torch.stack([k[:, :, int(head // size)] for head in range(n_heads)], dim=2)


@expand_grouped_keys.wrong(
    "the copies come in turn, 0 1 0 1 0 1. Neighbouring heads share a group: 0 0 0 1 1 1, so each "
    "group is repeated in place (repeat_interleave)."
)
def tiled(k: Tensor, n_heads: int) -> Tensor:
    return k.repeat(1, 1, n_heads // k.shape[2], 1)


@expand_grouped_keys.wrong(
    "every group was copied n_heads times. A group serves n_heads // n_groups heads."
)
def too_many_copies(k: Tensor, n_heads: int) -> Tensor:
    return k.repeat_interleave(n_heads, dim=2)


@expand_grouped_keys.wrong(
    "you repeated positions instead of groups: the groups are axis 2 of [batch, pos, group, "
    "d_head]."
)
def positions_repeated(k: Tensor, n_heads: int) -> Tensor:
    return k.repeat_interleave(n_heads // k.shape[2], dim=1)


@expand_grouped_keys.wrong(
    "the groups are counted in the wrong direction: head 0 belongs to group 0."
)
def groups_backwards(k: Tensor, n_heads: int) -> Tensor:
    return _group_oracle(k, n_heads).flip(2)


@expand_grouped_keys.wrong(
    "the copies stand in an axis of their own. Flatten (group, copy) into one axis of n_heads."
)
def copies_in_a_new_axis(k: Tensor, n_heads: int) -> Tensor:
    return k[:, :, :, None].expand(-1, -1, -1, n_heads // k.shape[2], -1)


@expand_grouped_keys.wrong(
    "all heads got the first group. Head h uses group h // (heads per group)."
)
def first_group_for_all(k: Tensor, n_heads: int) -> Tensor:
    return k[:, :, :1].expand(-1, -1, n_heads, -1)


# --- multi_head_attention ---------------------------------------------------------------------

multi_head_attention = checks.exercise(
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


# --- qk_circuit and ov_circuit ----------------------------------------------------------------


def _product_view(output: Any, left: Tensor, right: Tensor) -> Any:
    """The product and the size of the axis between its factors.

    Other factors of the same product are as good, if they are as thin.
    """
    if not isinstance(output, FactoredMatrix):
        return output
    rank = min(left.shape[-2:])
    return {"axis between the factors": max(int(output.mdim), rank), "product": output.AB}


def _product_oracle(product: Tensor, rank: int) -> dict[str, Any]:
    return {"axis between the factors": rank, "product": product}


def _d_model_squared(output: Any, left: Tensor, right: Tensor) -> str | None:
    d_model = max(left.shape[-2:])
    if isinstance(output, Tensor) and output.shape[-2:] == (d_model, d_model):
        return f"expected a FactoredMatrix, got the whole product, {shape_text(output)}"
    return None


def _factored(output: Any, left: Tensor, right: Tensor) -> str | None:
    if isinstance(output, FactoredMatrix):
        return None
    got = f"tensor of shape {shape_text(output)}" if isinstance(output, Tensor) else type(output)
    return f"expected a FactoredMatrix, got a {getattr(got, '__name__', got)}"


qk_circuit = checks.exercise(
    "qk_circuit",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "Write a score out: (x_query @ W_Q) dot (x_key @ W_K). As one row of matrices from left to "
        "right, what stands between x_query and x_key?",
        "The dot product with x_key @ W_K is a product with its transpose: x_query @ W_Q @ W_K^T @ "
        "x_key^T.",
        "FactoredMatrix(W_Q, W_K.transpose(-2, -1)) holds the product without multiplying it out. "
        "transpose(-2, -1) leaves leading axes alone; .T turns all of them around.",
    ],
)


@qk_circuit.cases
def _qk_cases() -> Iterator[Case]:
    yield Case("one head that matches x[0] of the query with x[1] of the key",
               torch.eye(3)[:, :1], torch.eye(3)[:, 1:2])  # fmt: skip
    yield Case("one random head", normal(7, 4), normal(7, 4, seed=1))
    yield Case("all heads of a layer", normal(3, 8, 5, seed=2), normal(3, 8, 5, seed=3))
    yield Case("layers and heads", normal(2, 3, 6, 2, seed=4), normal(2, 3, 6, 2, seed=5))


qk_circuit.observe(_product_view)
qk_circuit.prop(_d_model_squared)
qk_circuit.prop(_factored)


@qk_circuit.oracle
def _qk_oracle(W_Q: Tensor, W_K: Tensor) -> dict[str, Any]:
    return _product_oracle(torch.einsum("...md,...nd->...mn", W_Q, W_K), W_Q.shape[-1])


@qk_circuit.wrong(
    "queries and keys are exchanged. Rows are the query side: W_Q comes first, W_K transposed."
)
def key_side_in_rows(W_Q: Tensor, W_K: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_K, W_Q.mT)


@qk_circuit.wrong(
    "the product is multiplied out: d_model x d_model numbers where the factors have 2 x d_model "
    "x d_head, and the low rank, which is the point, no longer shows. Hand the factors to "
    "FactoredMatrix."
)
def query_key_multiplied_out(W_Q: Tensor, W_K: Tensor) -> Tensor:
    return W_Q @ W_K.mT


@qk_circuit.wrong(
    "you multiplied over d_model: the result compares the head's inner dimensions. The axis to sum "
    "over is d_head; the result is d_model x d_model."
)
def summed_over_d_model(W_Q: Tensor, W_K: Tensor) -> Tensor:
    return W_Q.mT @ W_K


@qk_circuit.wrong(
    "you multiplied first and wrapped the whole product, so its inner axis is d_model and the low "
    "rank is lost. Give FactoredMatrix the two thin factors themselves."
)
def wrapped_product(W_Q: Tensor, W_K: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_Q @ W_K.mT, torch.eye(W_Q.shape[-2]))


@qk_circuit.wrong(
    "W_K has to be transposed: both factors are [d_model, d_head], and the axes that meet must be "
    "the two d_head."
)
def key_not_transposed(W_Q: Tensor, W_K: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_Q, W_K)


@qk_circuit.wrong(
    "the scale is in it. The QK circuit is the bare product; the division by sqrt(d_head) belongs "
    "to the scores."
)
def scale_included(W_Q: Tensor, W_K: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_Q, W_K.mT / W_Q.shape[-1] ** 0.5)


@qk_circuit.wrong(
    "`.T` turns around all axes, the heads' as well. Exchange the last two only: .transpose(-2, "
    "-1) or .mT."
)
def all_axes_turned(W_Q: Tensor, W_K: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_Q, W_K.permute(*reversed(range(W_K.ndim))))


ov_circuit = checks.exercise(
    "ov_circuit",
    difficulty=2,
    importance=4,
    minutes=5,
    hints=[
        "A head that attends to one key alone writes (x_key @ W_V) @ W_O. What stands after x_key?",
        "Both meet at d_head already: nothing to transpose in the order W_V, W_O.",
        "FactoredMatrix(W_V, W_O).",
    ],
)


@ov_circuit.cases
def _ov_cases() -> Iterator[Case]:
    yield Case("one head that reads x[0] and writes to x[1]",
               torch.eye(3)[:, :1], torch.eye(3)[1:2])  # fmt: skip
    yield Case("one random head", normal(7, 4), normal(4, 7, seed=1))
    yield Case("all heads of a layer", normal(3, 8, 5, seed=2), normal(3, 5, 8, seed=3))
    yield Case("layers and heads", normal(2, 3, 6, 2, seed=4), normal(2, 3, 2, 6, seed=5))


ov_circuit.observe(_product_view)
ov_circuit.prop(_d_model_squared)
ov_circuit.prop(_factored)


@ov_circuit.oracle
def _ov_oracle(W_V: Tensor, W_O: Tensor) -> dict[str, Any]:
    return _product_oracle(torch.einsum("...md,...dn->...mn", W_V, W_O), W_V.shape[-1])


@ov_circuit.wrong(
    "W_O stands first, as in papers that multiply columns from the left (W_O W_V). Here vectors "
    "are rows and are multiplied from the right: first W_V, then W_O."
)
def output_first(W_V: Tensor, W_O: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_O, W_V)


@ov_circuit.wrong(
    "this is the transpose: rows are what is read, columns what is written. Papers with column "
    "vectors have it the other way round."
)
def written_in_rows(W_V: Tensor, W_O: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_O.mT, W_V.mT)


@ov_circuit.wrong(
    "the product is multiplied out, so the low rank no longer shows. Hand W_V and W_O to "
    "FactoredMatrix."
)
def value_output_multiplied_out(W_V: Tensor, W_O: Tensor) -> Tensor:
    return W_V @ W_O


@ov_circuit.wrong(
    "the heads are summed. Each head has its own OV circuit, because each has its own pattern."
)
def circuits_summed(W_V: Tensor, W_O: Tensor) -> FactoredMatrix:
    if W_V.ndim == 2:
        return FactoredMatrix(W_V, W_O)
    return FactoredMatrix(W_V.sum(-3), W_O.sum(-3))


@ov_circuit.wrong(
    "you multiplied first and wrapped the whole product: its inner axis is d_model. Give "
    "FactoredMatrix the two thin factors."
)
def wrapped_write(W_V: Tensor, W_O: Tensor) -> FactoredMatrix:
    return FactoredMatrix(torch.eye(W_V.shape[-2]), W_V @ W_O)


@ov_circuit.wrong(
    "W_O is transposed, which it need not be: W_V ends in d_head, W_O begins with it."
)
def output_transposed(W_V: Tensor, W_O: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_V, W_O.mT)


# --- frozen_attention -------------------------------------------------------------------------

frozen_attention = checks.exercise(
    "frozen_attention",
    difficulty=3,
    importance=4,
    minutes=8,
    hints=[
        "Two things happen to x: positions are mixed, by the pattern, and each vector is changed, "
        "by W_OV. Each acts on an axis of its own.",
        "Because they act on different axes, the order does not matter: mix then change, or change "
        "then mix.",
        "In one einsum x's d_model needs two names: the one W_OV reads and the one it writes. "
        '"batch head query key, batch key d_in, head d_in d_out -> batch head query d_out".',
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


@frozen_attention.cases
def _frozen_cases() -> Iterator[Case]:
    pattern = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    yield Case("one head that looks at position 0 and writes what it reads in x[0] to x[1]",
               pattern, x, torch.tensor([[[0.0, 3.0], [0.0, 0.0]]]))  # fmt: skip
    for seed, (batch, head, pos, d_model) in enumerate([(2, 3, 5, 7), (4, 2, 3, 6), (3, 3, 3, 3)]):
        pattern = _pattern_oracle(normal(batch, head, pos, pos, seed=seed))
        x = normal(batch, pos, d_model, seed=seed + 5)
        W_OV = normal(head, d_model, d_model, seed=seed + 9)
        yield Case("random numbers", pattern, x, W_OV)


@frozen_attention.oracle
def _frozen_oracle(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    writes = [pattern[:, head] @ (x @ W) for head, W in enumerate(W_OV)]
    return torch.stack(writes, dim=1)


@frozen_attention.wrong(
    "W_OV is used transposed: its rows are what is read, so x meets its first d_model axis."
)
def circuit_transposed(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return _frozen_oracle(pattern, x, W_OV.mT)


@frozen_attention.wrong(
    "the pattern is used transposed: each query gathers over the keys, the last axis."
)
def pattern_transposed(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return _frozen_oracle(pattern.mT, x, W_OV)


@frozen_attention.wrong(
    "the heads are summed: keep the head axis, so that you can see who wrote what."
)
def writes_summed(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return _frozen_oracle(pattern, x, W_OV).sum(1)


@frozen_attention.wrong(
    "the pattern has not been used: that is what each position would write from itself alone."
)
def pattern_left_out(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return torch.einsum("bpm,hmn->bhpn", x, W_OV)


@frozen_attention.wrong(
    "W_OV has not been used: that is what each head has gathered, not what it writes."
)
def circuit_left_out(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return torch.einsum("bhqk,bkm->bhqm", pattern, x)


@frozen_attention.wrong("the head axis stands in another place: [batch, head, query, d_model].")
def head_axis_moved(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return _frozen_oracle(pattern, x, W_OV).transpose(1, 2)


# --- head_paths -------------------------------------------------------------------------------

head_paths = checks.exercise(
    "head_paths",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "The last step of the model is a product with W_U, and what it multiplies is a sum: the "
        "embedding and what each head wrote. Multiply the terms one by one.",
        'The cache has cache["embed"], [batch, pos, d_model], and cache["z", 0], [batch, pos, '
        "head, d_head]. The weights are model.W_O[0], [head, d_head, d_model], and model.W_U.",
        "Each head's write is \"batch pos head d_head, head d_head d_model -> head batch pos "
        'd_model" of z and W_O[0]. Multiply it, and the embedding, by W_U.',
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


@head_paths.cases
def _path_cases() -> Iterator[Case]:
    model = random_model(1, 3, seed=1)
    yield Case("a random model with three heads", model, random_tokens(2, 5))
    four = random_model(1, 4, seed=2)
    yield Case("as many heads as sequences", four, random_tokens(4, 7, seed=1))
    yield Case("one head", random_model(1, 1, seed=3), random_tokens(3, 6, seed=2))


@head_paths.oracle
def _paths_oracle(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    """By taking away: a head's part is what the logits lose when it is silenced."""
    whole = model(tokens)
    n_heads = model.cfg.n_heads
    heads = [whole - _silenced(model, tokens, [head]) for head in range(n_heads)]
    return {"direct": _silenced(model, tokens, range(n_heads)), "heads": torch.stack(heads)}


def _silenced(model: Any, tokens: Tensor, heads: Sequence[int]) -> Tensor:
    def silence(z: Tensor, hook: Any) -> Tensor:
        z[:, :, list(heads)] = 0.0
        return z

    return model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", silence)])


def _with(paths: dict[str, Tensor], **changed: Tensor) -> dict[str, Tensor]:
    return {**paths, **changed}


@head_paths.wrong(
    "your direct path is the whole residual stream after the heads have written to it, so the "
    "heads are counted twice. The direct path is the embedding alone times W_U."
)
def direct_is_everything(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    return _with(_paths_oracle(model, tokens), direct=model(tokens))


@head_paths.wrong(
    "positions are in your direct path. In this model they are added to what queries and keys read "
    "and never enter the residual stream."
)
def positions_in_direct(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    embedded = model.W_E[tokens] + model.W_pos[: tokens.shape[1]]
    return _with(_paths_oracle(model, tokens), direct=embedded @ model.W_U)


@head_paths.wrong(
    "the axes of `heads` stand in another order: it is [head, batch, pos, d_vocab], so that "
    "heads[0] is the path through head 0."
)
def head_axis_not_first(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    paths = _paths_oracle(model, tokens)
    return _with(paths, heads=paths["heads"].permute(1, 2, 0, 3))


@head_paths.wrong("the heads are summed: keep one path for each.")
def heads_as_one(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    paths = _paths_oracle(model, tokens)
    return _with(paths, heads=paths["heads"].sum(0))


@head_paths.wrong(
    "the paths end in the residual stream, [..., d_model]. Multiply each by W_U to get logits."
)
def not_unembedded(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    cache = model.run_with_cache(tokens)[1]
    heads = torch.einsum("bphd,hdm->hbpm", cache["z", 0], model.W_O[0])
    return {"direct": cache["embed"], "heads": heads}


@head_paths.wrong(
    "each head's path holds its values at the position itself, without the pattern. Take z, which "
    "is what the head has gathered, instead of v."
)
def values_not_mixed(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    v = model.run_with_cache(tokens)[1]["v", 0]
    heads = torch.einsum("bphd,hdm->hbpm", v, model.W_O[0]) @ model.W_U
    return _with(_paths_oracle(model, tokens), heads=heads)


@head_paths.wrong(
    "every head was written out through the sum of all W_O. Head h's z goes through W_O[h]."
)
def output_matrices_summed(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    z = model.run_with_cache(tokens)[1]["z", 0]
    heads = torch.einsum("bphd,gdm->hbpm", z, model.W_O[0]) @ model.W_U
    return _with(_paths_oracle(model, tokens), heads=heads)


@head_paths.wrong(
    "each head's path includes the embedding, so the direct path is counted once more per head."
)
def embedding_in_every_head(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    paths = _paths_oracle(model, tokens)
    return _with(paths, heads=paths["heads"] + paths["direct"])


@head_paths.wrong(
    "these are logits with one head taken away (or all but one), not the part that is the head's: "
    "subtract them from the whole."
)
def logits_without_the_head(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    paths = _paths_oracle(model, tokens)
    return _with(paths, heads=model(tokens) - paths["heads"])


# --- top_skip_trigrams ------------------------------------------------------------------------

top_skip_trigrams = checks.exercise(
    "top_skip_trigrams",
    difficulty=4,
    importance=5,
    minutes=20,
    hints=[
        "There are two halves. From the QK circuit: how much does a token dest attend to the token "
        "source? From the OV circuit: what does the head add to the logit of each token out when "
        "it attends to source? The strength is their product.",
        "Token by token, W_E @ W_QK @ W_E.T / sqrt(d_head) holds the score of every query token "
        "(row) with every key token (column). A softmax over the keys makes it attention; take the "
        "column of source. Row `source` of W_E @ W_OV @ W_U is the other half.",
        "attention[:, source, None] * ov[source] is a table [dest, out]. `flatten().topk(k)` finds "
        "the best; divmod(index, d_vocab) turns a flat index back into (dest, out); "
        "model.to_single_str_token names a token.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


@cache
def _idiom_model() -> CourseTransformer:
    """One head by hand: at "in" it looks at "keep" and adds to "mind"; the rest is idle."""
    words = ("BOS", "keep", "in", "mind", "a")
    cfg = CourseConfig(
        n_layers=1, n_heads=2, d_model=5, d_head=4, d_vocab=5, n_ctx=8, vocabulary=words
    )
    model = CourseTransformer.blank(cfg)
    hot = torch.eye(5)
    with torch.no_grad():
        model.embed.W_E.copy_(hot)
        model.unembed.W_U.copy_(hot)
    thin = torch.eye(5, 4)
    for head, keys, outs in ((0, "a", "a"), (1, "keep", "mind")):
        query = 8.0 * torch.outer(hot[words.index("in")], thin[0, :4])
        key = torch.outer(hot[words.index(keys)], thin[0, :4])
        write = 4.0 * torch.outer(thin[0, :4], hot[words.index(outs)])
        model.set_head(0, head, W_Q=query, W_K=key, W_V=key, W_O=write)
    return model.requires_grad_(False)


@top_skip_trigrams.cases
def _trigram_cases() -> Iterator[Case]:
    yield Case('a head written by hand for "keep ... in mind"', _idiom_model(), 1, "keep", 1)
    yield Case("a random model", random_model(1, 3, seed=1), 2, "c", 4)
    yield Case("another random model", random_model(1, 4, seed=2, d_head=5), 0, "h", 7)
    yield Case("its third head", random_model(1, 4, seed=2, d_head=5), 3, "b", 3)


@top_skip_trigrams.observe
def _named(found: Any, model: Any, head: int, source: str, k: int) -> Any:
    """Names for tokens and tuples for whatever holds the three."""
    if not isinstance(found, Sequence) or isinstance(found, str):
        return found
    return [_triple(item, model) for item in found]


def _triple(item: Any, model: Any) -> Any:
    if isinstance(item, Mapping):
        item = tuple(item.values())
    if not isinstance(item, Sequence) or len(item) != 3:
        return item
    dest, out, strength = item
    names = [t if isinstance(t, str) else model.cfg.vocabulary[int(t)] for t in (dest, out)]
    return (names[0].strip(), names[1].strip(), float(strength))


@top_skip_trigrams.oracle
def _trigrams_oracle(model: Any, head: int, source: str, k: int) -> list[tuple[str, str, float]]:
    """Word by word, with the head's own matrices; no circuit is ever multiplied out."""
    ranked = _all_trigrams(*_halves(model, head, source), model)
    return ranked[:k]


def _halves(model: Any, head: int, source: str) -> tuple[Tensor, Tensor]:
    """Attention of every dest to source, and what source adds to every out."""
    q, keys = model.W_E @ model.W_Q[0, head], model.W_E @ model.W_K[0, head]
    token = model.cfg.vocabulary.index(source)
    attention = [F.softmax(keys @ row / math.sqrt(len(row)), dim=0)[token] for row in q]
    write = model.W_E[token] @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return torch.stack(attention), write


def _all_trigrams(attention: Tensor, write: Tensor, model: Any) -> list[tuple[str, str, float]]:
    names = model.cfg.vocabulary
    table = [
        (names[dest], names[out], (attention[dest] * write[out]).item())
        for dest in range(len(names))
        for out in range(len(names))
    ]
    return sorted(table, key=lambda row: -row[2])


def _raw(model: Any, head: int) -> Tensor:
    q, k = model.W_E @ model.W_Q[0, head], model.W_E @ model.W_K[0, head]
    return q @ k.T / model.cfg.d_head**0.5


def _token(model: Any, source: str) -> int:
    return model.cfg.vocabulary.index(source)


Trigrams = list[tuple[str, str, float]]


@top_skip_trigrams.wrong(
    "you multiplied scores with logits, without the softmax. Two negative numbers then make a "
    "strong trigram, and a constant added to a row of scores, which attention does not feel, "
    "changes the ranking. Turn scores into attention first."
)
def scores_instead_of_attention(model: Any, head: int, source: str, k: int) -> Trigrams:
    _, write = _halves(model, head, source)
    return _all_trigrams(_raw(model, head)[:, _token(model, source)], write, model)[:k]


@top_skip_trigrams.wrong(
    "source and dest are exchanged in the QK circuit: source is the key, the one looked at, so "
    "take its column, not its row."
)
def source_as_query(model: Any, head: int, source: str, k: int) -> Trigrams:
    _, write = _halves(model, head, source)
    return _all_trigrams(_raw(model, head).softmax(-1)[_token(model, source)], write, model)[:k]


@top_skip_trigrams.wrong(
    "the softmax runs over the queries. Each query shares out its attention over the keys: "
    "dim=-1 of [query token, key token]."
)
def softmax_over_dests(model: Any, head: int, source: str, k: int) -> Trigrams:
    _, write = _halves(model, head, source)
    return _all_trigrams(_raw(model, head).softmax(0)[:, _token(model, source)], write, model)[:k]


@top_skip_trigrams.wrong(
    "what the head writes is read from dest. A head reads its values where it looks, so the OV "
    "circuit is applied to source: strength[dest, out] = attention[dest, source] * ov[source, out]."
)
def written_from_dest(model: Any, head: int, source: str, k: int) -> Trigrams:
    attention, _ = _halves(model, head, source)
    ov = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    names = model.cfg.vocabulary
    values, flat = (attention[:, None] * ov).flatten().topk(k)
    pairs = [divmod(index, len(names)) for index in flat.tolist()]
    return [(names[d], names[o], v) for (d, o), v in zip(pairs, values.tolist(), strict=True)]


@top_skip_trigrams.wrong("the scores are not divided by sqrt(d_head) before the softmax.")
def trigrams_unscaled(model: Any, head: int, source: str, k: int) -> Trigrams:
    _, write = _halves(model, head, source)
    raw = _raw(model, head) * model.cfg.d_head**0.5
    return _all_trigrams(raw.softmax(-1)[:, _token(model, source)], write, model)[:k]


@top_skip_trigrams.wrong(
    "the column of the OV circuit was taken instead of the row: that is how much other tokens "
    "raise the logit of source. Rows of W_E @ W_OV @ W_U are what is read."
)
def written_to_source(model: Any, head: int, source: str, k: int) -> Trigrams:
    attention, _ = _halves(model, head, source)
    ov = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return _all_trigrams(attention, ov[:, _token(model, source)], model)[:k]


@top_skip_trigrams.wrong("these are the weakest: sort in descending order.")
def weakest_first(model: Any, head: int, source: str, k: int) -> Trigrams:
    return _all_trigrams(*_halves(model, head, source), model)[::-1][:k]


@top_skip_trigrams.wrong(
    "dest and out are exchanged in your triples. In a flat index of a [dest, out] table, "
    "divmod(index, d_vocab) gives dest first."
)
def dest_and_out_exchanged(model: Any, head: int, source: str, k: int) -> Trigrams:
    return [(out, dest, value) for dest, out, value in _trigrams_oracle(model, head, source, k)]


@top_skip_trigrams.wrong("`head` has not been used: these are the trigrams of head 0.")
def always_head_zero(model: Any, head: int, source: str, k: int) -> Trigrams:
    return _trigrams_oracle(model, 0, source, k)


@top_skip_trigrams.wrong(
    "you ranked by size regardless of sign. A strong negative number means the head lowers that "
    "token's logit."
)
def ranked_by_size(model: Any, head: int, source: str, k: int) -> Trigrams:
    ranked = _all_trigrams(*_halves(model, head, source), model)
    return sorted(ranked, key=lambda row: -abs(row[2]))[:k]


# --- questions --------------------------------------------------------------------------------

checks.quiz(
    "einsum_axis",
    'From chapter 00: in einsum(x, W, "batch pos d_model, head d_model d_head -> batch pos head '
    'd_head"), what happens to d_model?',
    {
        "it is summed over": "It stands on the left of the arrow and not on the right.",
        "it is averaged over": "einsum never divides. What is missing on the right is summed.",
        "nothing, it stays an axis": "It would have to stand on the right of the arrow for that.",
    },
    answer="it is summed over",
)

checks.quiz(
    "pattern_row",
    "From chapter 00: pattern[5, 2] of one head and one sequence is 0.9. Who looks at whom?",
    {
        "position 5 looks at position 2": "Rows are queries, the ones who look; columns are keys.",
        "position 2 looks at position 5": "That would be pattern[2, 5]: rows are queries, the ones "
        "who look. And position 2 comes earlier, so it could not.",
        "both look at each other": "Attention has a direction. pattern[5, 2] says nothing about "
        "pattern[2, 5].",
    },
    answer="position 5 looks at position 2",
)

checks.quiz(
    "hook_or_cache",
    "From chapter 00: you want to know what the logits would be without head 1. What do you need?",
    {
        "the cache": "The cache tells what was computed, not what would have been.",
        "a hook on z": "It sets that head's z to zero while the model runs, and all that follows "
        "is computed anew.",
        "the attention pattern": "Looking at where the head looks does not take it away.",
    },
    answer="a hook on z",
)

checks.prediction(
    "long_vectors",
    "Queries and keys are drawn at random, each entry with variance 1. Their vectors grow from 16 "
    "numbers to 64. What happens to the typical size (standard deviation) of their dot product?",
    {
        "it stays": "It would if the terms cancelled out completely; they cancel in part.",
        "it doubles": "Variances of independent terms add up: 4 times the terms, 4 times the "
        "variance, twice the standard deviation.",
        "it becomes four times as large": "That is the variance. Its square root, the standard "
        "deviation, doubles.",
        "it becomes 48 larger": "Each term adds to the variance, not to the size: the terms have "
        "random signs.",
    },
    answer="it doubles",
)

checks.prediction(
    "zero_or_infinity",
    "To hide a future key, somebody sets its score to 0 before the softmax. How much attention "
    "does it get?",
    {
        "none": "The softmax takes exp(score), and exp(0) is 1: not nothing.",
        "as much as an allowed key with score 0": "exp(0) = 1 for both. Only a score of minus "
        "infinity gives exp = 0.",
        "more than every allowed key": "Only if all of those have negative scores.",
    },
    answer="as much as an allowed key with score 0",
)

checks.prediction(
    "first_row",
    "Whatever the weights: what does the first position of a causal model attend to?",
    {
        "itself, entirely": "There is nothing else it may see, and its one unit has to go "
        "somewhere.",
        "nothing": "A softmax always shares out one whole unit. There is no way to attend to "
        "nothing, a fact that shapes what trained heads do.",
        "it depends on its key": "With only one key, every score gives the same softmax: 1.",
    },
    answer="itself, entirely",
)

checks.prediction(
    "rotation",
    "In a model with rotary positions, you put the q and k from before the rotation into your "
    "attention_scores. Where do the scores still agree with the model's?",
    {
        "nowhere": "One place is left: where query and key have been turned by the same angle.",
        "where a position looks at itself": "Query and key of the same position are turned by the "
        "same angles, and a dot product does not feel a turn that both share.",
        "everywhere": "Only the difference of the two angles matters, but away from the diagonal "
        "there is one.",
    },
    answer="where a position looks at itself",
)

checks.prediction(
    "rank",
    "W_QK = W_Q W_K^T has d_model x d_model entries. What is the largest rank it can have?",
    {
        "d_model": "Every query has to pass through d_head numbers on its way to the key.",
        "d_head": "A product cannot have a larger rank than its thinnest factor.",
        "2 x d_head": "The two factors are multiplied, not added.",
    },
    answer="d_head",
)

checks.prediction(
    "frozen",
    "An input is the sum of two parts, x = a + b. Is what the heads write for x the sum of what "
    "they write for a and for b?",
    {
        "always": "The pattern itself depends on x, through a softmax.",
        "if the pattern is held fixed": "Given the pattern, each write is a weighted sum of "
        "values, and values are x times a matrix: linear.",
        "never": "Held at the same pattern it is.",
    },
    answer="if the pattern is held fixed",
)

checks.prediction(
    "the_bug",
    'One head learned "keep ... in mind" and "keep ... at bay". It attends from "in" to "keep" and '
    'from "at" to "keep". What does it do to "bay" after "keep ... in"?',
    {
        "it lowers it": 'It would have to know, when it writes, that the query was "in". What it '
        'writes depends on "keep" alone.',
        "it raises it": "What the head writes is decided by the token it looks at. Looking at "
        '"keep" raises "mind" and "bay", whoever looks.',
        "nothing": 'It attends from "in" to "keep" and then writes whatever "keep" tells it '
        "to write.",
    },
    answer="it raises it",
)

checks.prediction(
    "no_source",
    'The direct path puts "mind" ahead of "bay" after "in", whether or not there was a "keep". '
    'What does the model say after "in" where no source stood before?',
    {
        "mind comes too often": "That is what the direct path alone would do. The next cell "
        "measures the whole model.",
        "bay comes too often": 'Something would have to object to "mind" more strongly than the '
        "direct path speaks for it. The next cell measures.",
        "both come about as often as they should": "Then something must take the direct path's "
        'preference back where there is no "keep". The next cells look for it.',
    },
)

checks.explanation(
    "why_the_root",
    "Why are scores divided by the square root of d_head, and not by d_head or by nothing?",
    "A dot product of d_head random terms has a standard deviation of sqrt(d_head); dividing by it "
    "keeps scores of the same size whatever the head, so that the softmax neither freezes nor "
    "flattens.",
)

checks.explanation(
    "two_circuits",
    "In your own words: which question does the QK circuit answer, and which the OV circuit?",
    "QK decides where a head looks, from the query's and the key's content; OV decides what it "
    "writes once it looks there, from the key's content alone.",
)

checks.explanation(
    "why_the_bug",
    'Why can one head not learn "keep ... in mind" and "keep ... at bay" without a side effect?',
    "Its strength for (source, dest, out) is a product f(source, dest) g(source, out): with the "
    "source given, every dest that looks gets every out that the source writes.",
)
