"""Chapter 05, Composition: scores from weights, virtual heads, paths, and cutting one path."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.checking.compare import Tolerance, same
from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.inputs import normal, random_tokens
from circuits_course.circuits.basis import Basis, HeadWeights
from circuits_course.circuits.composition import CutPath, HeadCircuits
from circuits_course.models.config import BOS_SYMBOL, CourseConfig
from circuits_course.models.transformer import CourseTransformer

checks = ChapterChecks("05_composition")

Path = tuple[tuple[int, int], ...]


def _head(d_model: int, d_head: int, seed: int) -> HeadCircuits:
    W_Q, W_K, W_V = normal(3, d_model, d_head, seed=seed)
    return HeadCircuits(W_Q, W_K, W_V, normal(d_head, d_model, seed=seed + 100))


def _axis_head(query: int, key: int, value: int, output: int, d_model: int = 4) -> HeadCircuits:
    """A head of one dimension that reads and writes along single axes."""
    unit = torch.eye(d_model)
    W_Q, W_K, W_V = (unit[i][:, None] for i in (query, key, value))
    return HeadCircuits(W_Q, W_K, W_V, unit[output][None])


@cache
def _model(n_layers: int, n_heads: int, seed: int, d_head: int = 6) -> CourseTransformer:
    """Random weights of a size at which every path and every position leaves a mark."""
    cfg = CourseConfig(
        n_layers=n_layers, n_heads=n_heads, d_model=20, d_head=d_head, d_vocab=30, n_ctx=16
    )
    model = CourseTransformer(cfg)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            weight.copy_(drawn * (2.0 / weight.shape[-2]) ** 0.5)
        model.W_E.copy_(normal(30, 20, seed=seed + 1))
        model.W_pos.copy_(normal(16, 20, seed=seed + 2))
    return model.requires_grad_(False)


def _hooked(model: Any, tokens: Tensor, name: str) -> Tensor:
    """One activation of a plain run, without the cache object."""
    seen: list[Tensor] = []
    hook = (name, lambda value, hook: seen.append(value.clone()))
    model.run_with_hooks(tokens, fwd_hooks=[hook])
    return seen[0]


def _pattern(model: Any, tokens: Tensor, layer: int) -> Tensor:
    return _hooked(model, tokens, f"blocks.{layer}.attn.hook_pattern")


# --- composition_score ------------------------------------------------------------------------

composition_score = checks.exercise(
    "composition_score",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "A row vector x leaves the source as x @ OV. Where does it arrive: as the query x of "
        "x @ QK @ y.T, as its key y, or at the values of the target?",
        "For queries x @ OV takes the place of x, so the product is OV @ QK. For keys it takes the "
        "place of y: transpose the whole expression, and y comes first.",
        'The three matrices that meet it: target.QK for "Q", target.QK.T for "K", target.OV for '
        '"V".',
    ],
)


@composition_score.cases
def _score_cases() -> Iterator[Case]:
    source = _axis_head(query=2, key=2, value=0, output=1)
    by_key = _axis_head(query=0, key=1, value=2, output=3)
    yield Case("a target whose keys read exactly what the source writes", "K", source, by_key)
    yield Case("a target whose queries read something else", "Q", source, by_key)
    yield Case(
        "a target whose values read exactly what the source writes", "V", source,
        _axis_head(query=0, key=0, value=1, output=3),
    )  # fmt: skip
    for seed, kind in enumerate("KQVQKV"):
        sizes = (7 + seed, 2 + seed % 3)
        source, target = _head(*sizes, seed=seed), _head(7 + seed, 4, seed=seed + 50)
        yield Case(f"random heads, kind {kind!r}", kind, source, target)


def _products(source: HeadCircuits, target: HeadCircuits) -> dict[str, tuple[Tensor, Tensor]]:
    OV = source.W_V @ source.W_O
    QK = target.W_Q @ target.W_K.mT
    return {"Q": (OV, QK), "K": (OV, QK.mT), "V": (OV, target.W_V @ target.W_O)}


def _size(matrix: Tensor) -> Tensor:
    return (matrix**2).sum().sqrt()


@composition_score.oracle
def _score_oracle(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    return _size(written @ read) / _size(written) / _size(read)


@composition_score.wrong(
    "queries and keys are exchanged. QK has its query side in the rows, so `OV @ QK` puts the "
    "source's write into the query; for keys QK has to be transposed."
)
def queries_for_keys(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    return _score_oracle({"Q": "K", "K": "Q", "V": "V"}[kind], source, target)


@composition_score.wrong(
    "the product is the wrong way round. With row vectors the source acts first, so it stands on "
    "the left: source.OV @ ..., not ... @ source.OV (the paper has column vectors)."
)
def target_on_the_left(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    return _size(read @ written) / _size(written) / _size(read)


@composition_score.wrong(
    "the score is not divided by the norms of the two matrices, so large weights look like good "
    "composition."
)
def not_normalised(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    return _size(3.0 * written @ read) / 3.0


@composition_score.wrong(
    "one norm is missing below the line: divide by the source's and by the target's."
)
def one_norm_missing(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    return _size(written @ read) / _size(written)


@composition_score.wrong(
    "that is the square of the score: the Frobenius norm is the root of the sum of squares."
)
def squared(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    return _score_oracle(kind, source, target) ** 2


@composition_score.wrong(
    "these are spectral norms (the largest singular value). The score is defined with Frobenius "
    "norms, `.norm()` of a FactoredMatrix."
)
def spectral(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    norm = torch.linalg.matrix_norm
    written, read = _products(source, target)[kind]
    return norm(written @ read, 2) / norm(written, 2) / norm(read, 2)


@composition_score.wrong(
    "the source's OV is transposed: you compared what the source *reads* with the target. What it "
    "writes is the column side of OV."
)
def what_the_source_reads(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    return _size(written.mT @ read) / _size(written) / _size(read)


@composition_score.wrong(
    "below the line stand the norms of the factors (W_V, W_O, ...). Divide by the norms of their "
    "products, OV and QK: a product can be much smaller than its factors."
)
def norms_of_factors(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    factors = (target.W_V, target.W_O) if kind == "V" else (target.W_Q, target.W_K)
    below = math.prod(_size(w) for w in (source.W_V, source.W_O, *factors))
    return _size(written @ read) / below


@composition_score.wrong(
    "all three kinds give the value circuit's score: choose QK, its transpose, or OV by `kind`."
)
def always_values(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    return _score_oracle("V", source, target)


# --- random_composition_baseline --------------------------------------------------------------

random_composition_baseline = checks.exercise(
    "random_composition_baseline",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=[
        "One pair of heads needs eight matrices, all independent of each other. Draw them with "
        "torch.randn and the generator, so that the seed decides.",
        "torch.randn(3, d_model, d_head, generator=generator) unpacks into W_Q, W_K and W_V. W_O "
        "is the other way round: [d_head, d_model].",
        'Collect composition_score("K", random_head(), random_head()) n times in a list.',
    ],
    tolerance=Tolerance(atol=0.0, rtol=0.35),  # of a mean of 20 to 60 draws
)


@random_composition_baseline.cases
def _baseline_cases() -> Iterator[Case]:
    yield Case("heads of one dimension in two: |cos| of the angle between two arrows", 2, 1, 40, 0)
    yield Case("heads of one dimension in ten", 10, 1, 60, 1)
    yield Case("heads of 8 dimensions in 36", 36, 8, 20, 2)


def _drawn(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    """Batched, from another stream of random numbers than the reference."""
    generator = torch.Generator().manual_seed(seed + 12345)
    W_Q, W_K, W_V, W_O = torch.randn(4, n, d_model, d_head, generator=generator)
    OV, KQ = W_V @ W_O.mT, W_K @ W_Q.mT
    return (OV @ KQ).norm(dim=(-2, -1)) / OV.norm(dim=(-2, -1)) / KQ.norm(dim=(-2, -1))


@random_composition_baseline.oracle
def _baseline_oracle(d_model: int, d_head: int, n: int, seed: int) -> float:
    return _drawn(d_model, d_head, 4000, seed).mean().item()


@random_composition_baseline.observe
def _baseline_mean(scores: Any, d_model: int, d_head: int, n: int, seed: int) -> float:
    return torch.as_tensor(scores).double().mean().item()


@random_composition_baseline.prop
def one_score_a_pair(scores: Any, d_model: int, d_head: int, n: int, seed: int) -> str | None:
    shape = list(torch.as_tensor(scores).shape)
    return None if shape == [n] else f"expected one score for each of n = {n} pairs, got {shape}"


@random_composition_baseline.prop
def not_the_formula(scores: Any, d_model: int, d_head: int, n: int, seed: int) -> str | None:
    scores = torch.as_tensor(scores).double()
    if (scores - d_model**-0.5).abs().max() > 1e-6:
        return None
    return f"all {n} scores are exactly 1 / sqrt(d_model)"


@random_composition_baseline.prop
def scores_differ(scores: Any, d_model: int, d_head: int, n: int, seed: int) -> str | None:
    scores = torch.as_tensor(scores).double()
    if scores.std() > 1e-3 * scores.mean():
        return None
    return f"all {n} scores are the same number, {scores[0].item():.3f}"


@random_composition_baseline.trial
def same_seed_same_scores(attempt: Any, d_model: int, d_head: int, n: int, seed: int) -> str | None:
    if seed:
        return None  # once is enough
    first, again = (torch.as_tensor(attempt(d_model, d_head, 3, seed)) for _ in range(2))
    return None if same(first, again) else "the same seed gave other scores when called again"


@random_composition_baseline.trial
def other_seed_other_scores(
    attempt: Any, d_model: int, d_head: int, n: int, seed: int
) -> str | None:
    if seed:
        return None
    one, other = (torch.as_tensor(attempt(d_model, d_head, 3, s)) for s in (seed, seed + 1))
    if not same(one, other):
        return None
    return f"seeds {seed} and {seed + 1} gave the same scores: let the seed start the generator"


@random_composition_baseline.wrong(
    "the seed is not used. Draw from a generator that starts from it, so that anyone can draw the "
    "same numbers again, or others."
)
def seed_unused(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    return _drawn(d_model, d_head, n, 0)


@random_composition_baseline.wrong(
    "you returned the mean. Return all n scores, so that their spread can be seen as well."
)
def mean_only(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    return _drawn(d_model, d_head, n, seed).mean()


@random_composition_baseline.wrong(
    "torch.rand draws numbers between 0 and 1. Their mean is not zero, so all heads share one "
    "large direction and seem to compose. Use torch.randn."
)
def uniform_weights(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    W_Q, W_K, W_V, W_O = torch.rand(4, n, d_model, d_head, generator=generator)
    OV, KQ = W_V @ W_O.mT, W_K @ W_Q.mT
    return (OV @ KQ).norm(dim=(-2, -1)) / OV.norm(dim=(-2, -1)) / KQ.norm(dim=(-2, -1))


@random_composition_baseline.wrong(
    "all n scores are the same number: the heads were drawn once (or the generator was made anew "
    "for every pair). Draw new heads for each pair from one generator."
)
def one_pair_only(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    return _drawn(d_model, d_head, 1, seed).expand(n)


@random_composition_baseline.wrong(
    "that is the formula, n times. Draw random heads and measure: the question is whether the "
    "formula holds."
)
def formula_itself(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    return torch.full((n,), d_model**-0.5)


@random_composition_baseline.wrong(
    "these are squares of scores. The score is a ratio of norms, not of squared norms."
)
def squares(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    return _drawn(d_model, d_head, n, seed) ** 2


@random_composition_baseline.wrong(
    "the scores are not divided by the norms of OV and QK; use composition_score, which does it."
)
def raw_norms(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    W_Q, W_K, W_V, W_O = normal(4, n, d_model, d_head, seed=seed)
    return (W_V @ W_O.mT @ W_K @ W_Q.mT).norm(dim=(-2, -1))


@random_composition_baseline.wrong(
    "the two heads of a pair share weights: the matrix that writes is also the one that reads. "
    "Draw source and target independently."
)
def shared_weights(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    W_Q, W_V, W_O = normal(3, n, d_model, d_head, seed=seed)
    OV, KQ = W_V @ W_O.mT, W_O @ W_Q.mT
    return (OV @ KQ).norm(dim=(-2, -1)) / OV.norm(dim=(-2, -1)) / KQ.norm(dim=(-2, -1))


# --- virtual_pattern --------------------------------------------------------------------------

virtual_pattern = checks.exercise(
    "virtual_pattern",
    difficulty=1,
    importance=4,
    minutes=5,
    hints=[
        "Follow one query q of head b. It looks at some position m. What stands at m was put there "
        "by head a, which looked from m at k.",
        "Sum over all positions m in between: b[q, m] * a[m, k]. Which operation is that?",
        "A matrix product, with the head that acts last on the left: pattern_b @ pattern_a.",
    ],
)


def _looking_back(n_pos: int, offset: int) -> Tensor:
    keys = (torch.arange(n_pos) - offset).clamp_min(0)
    return torch.eye(n_pos)[keys]


def _random_pattern(*shape: int, seed: int) -> Tensor:
    scores = 2.0 * normal(*shape, shape[-1], seed=seed)
    future = torch.ones(shape[-1], shape[-1], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


@virtual_pattern.cases
def _virtual_pattern_cases() -> Iterator[Case]:
    at_two = torch.eye(5)[torch.tensor([0, 1, 2, 2, 2])]
    yield Case(
        "a, which looks one back, below b, which looks at position 2", _looking_back(5, 1), at_two
    )
    yield Case("two heads that each look one back", _looking_back(6, 1), _looking_back(6, 1))
    for seed, shape in enumerate([(5,), (3, 6), (2, 3, 4)]):
        a, b = _random_pattern(*shape, seed=seed), _random_pattern(*shape, seed=seed + 10)
        yield Case("random patterns", a, b)


@virtual_pattern.oracle
def _virtual_pattern_oracle(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    out = torch.zeros_like(pattern_a)
    for between in range(pattern_a.shape[-1]):
        out += pattern_b[..., :, between, None] * pattern_a[..., between, None, :]
    return out


@virtual_pattern.wrong(
    "the order is reversed. The query belongs to b, which acts last: b's rows, a's columns, so "
    "pattern_b stands on the left."
)
def a_after_b(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return pattern_a @ pattern_b


@virtual_pattern.wrong(
    "an entry-by-entry product asks where both heads look at once. Here one looks *after* the "
    "other: sum over the position in between, with a matrix product."
)
def entry_by_entry(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return pattern_a * pattern_b


@virtual_pattern.wrong(
    "rows and columns of the result are exchanged: rows are queries, the positions that receive."
)
def keys_as_rows(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return (pattern_b @ pattern_a).mT


@virtual_pattern.wrong("one pattern is transposed: both have queries as rows, as they come.")
def one_transposed(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return pattern_b @ pattern_a.mT


@virtual_pattern.wrong(
    "you took a mean of the two patterns: that is where two heads of one layer look between them. "
    "Two heads in sequence multiply."
)
def mean_of_both(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return (pattern_a + pattern_b) / 2


@virtual_pattern.wrong(
    "no softmax is needed: rows of a product of two patterns sum to 1 already, and a second "
    "softmax blurs them."
)
def softmax_again(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return (pattern_b @ pattern_a).softmax(-1)


# --- virtual_ov -------------------------------------------------------------------------------

virtual_ov = checks.exercise(
    "virtual_ov",
    difficulty=1,
    importance=4,
    minutes=4,
    hints=[
        "x leaves head a as x @ head_a.OV. What does head b make of that row vector?",
        "`@` between two FactoredMatrix objects gives a FactoredMatrix.",
        "head_a.OV @ head_b.OV",
    ],
)


@virtual_ov.cases
def _virtual_ov_cases() -> Iterator[Case]:
    first = _axis_head(query=0, key=0, value=0, output=1)
    second = _axis_head(query=0, key=0, value=1, output=2)
    yield Case("a head that moves axis 0 to axis 1, then one that moves 1 to 2", first, second)
    yield Case("random heads", _head(7, 3, seed=0), _head(7, 3, seed=1))
    yield Case("random heads, the lower one wider", _head(9, 4, seed=2), _head(9, 2, seed=3))


@virtual_ov.oracle
def _virtual_ov_oracle(head_a: HeadCircuits, head_b: HeadCircuits) -> Tensor:
    rows = torch.eye(head_a.W_V.shape[0])
    return torch.stack([x @ head_a.W_V @ head_a.W_O @ head_b.W_V @ head_b.W_O for x in rows])


@virtual_ov.observe
def _multiplied_out(out: FactoredMatrix, head_a: HeadCircuits, head_b: HeadCircuits) -> Tensor:
    return out.AB


@virtual_ov.prop
def kept_as_factors(out: Any, head_a: HeadCircuits, head_b: HeadCircuits) -> str | None:
    if isinstance(out, FactoredMatrix):
        return None
    return f"expected a FactoredMatrix, got a {type(out).__name__}; the cells below use its factors"


@virtual_ov.wrong(
    "the order is reversed. x @ (first matrix) @ (second matrix): with row vectors the lower head "
    "stands on the left."
)
def b_before_a(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return head_b.OV @ head_a.OV


@virtual_ov.wrong(
    "the product is multiplied out. It has the rank of one head at most: keep it as a "
    "FactoredMatrix, which `head_a.OV @ head_b.OV` is."
)
def multiplied_out(head_a: HeadCircuits, head_b: HeadCircuits) -> Tensor:
    return (head_a.OV @ head_b.OV).AB


@virtual_ov.wrong(
    "a sum of two OV matrices is what two heads of the same layer do. In sequence they multiply."
)
def summed(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return FactoredMatrix(
        torch.cat([head_a.W_V, head_b.W_V], 1), torch.cat([head_a.W_O, head_b.W_O])
    )


@virtual_ov.wrong(
    "the second matrix is QK. Head b's QK decides where it looks; what it moves goes through OV."
)
def through_qk(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return head_a.OV @ head_b.QK


@virtual_ov.wrong("the result is transposed: rows are what is read, columns are what is written.")
def transposed_result(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return (head_a.OV @ head_b.OV).T


@virtual_ov.wrong(
    "what lies between the heads is missing: between W_V of a and W_O of b stand W_O of a and W_V "
    "of b, through which a writes and b reads."
)
def outer_factors_only(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    width = min(head_a.W_V.shape[1], head_b.W_O.shape[0])
    return FactoredMatrix(head_a.W_V[:, :width], head_b.W_O[:width])


# --- two_back ---------------------------------------------------------------------------------

two_back = checks.exercise(
    "two_back",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "The attention is written already: both heads look one back. What is left is what each "
        "moves. Which directions does the second head have to read, so that it passes on what the "
        "first one brought?",
        "W_V picks up: basis.token.T turns the direction of symbol t into coordinate t. W_O lays "
        "down: its row t is the direction that coordinate t is written along.",
        "First head: from token to previous. Second head: from previous to out, a few times larger "
        "so that the logits are clear.",
    ],
)


@cache
def _basis(n_symbols: int, n_ctx: int, seed: int | None) -> Basis:
    return Basis((BOS_SYMBOL, *"abcdefghij"[:n_symbols]), n_ctx, {}, seed)


@two_back.cases
def _two_back_cases() -> Iterator[Case]:
    yield Case("random sequences of four symbols", _basis(4, 7, None))
    yield Case("a basis of six symbols, turned", _basis(6, 10, 3))


def _sequences(basis: Basis) -> Tensor:
    tokens = random_tokens(6, basis.n_ctx, basis.d_vocab, seed=4)
    tokens[:, 0] = 0
    return tokens


@two_back.oracle
def _two_back_oracle(basis: Basis) -> Tensor:
    return _sequences(basis)[:, 1:-2]


@two_back.observe
def _predicted(heads: Any, basis: Basis) -> Tensor:
    return basis.model(*heads)(_sequences(basis))[:, 3:].argmax(-1)


@two_back.prop
def two_heads(heads: Any, basis: Basis) -> str | None:
    if isinstance(heads, tuple | list) and len(heads) == 2 and all(len(h) == 4 for h in heads):
        return None
    return "expected two heads (first, second), each with W_Q, W_K, W_V and W_O"


@two_back.prop
def only_together(heads: Any, basis: Basis) -> str | None:
    """With the first head silent, or its write kept from the second, the answer has to go."""
    first, second = heads
    W_Q, W_K, W_V, W_O = first
    silent = HeadWeights(W_Q, W_K, W_V, torch.zeros_like(torch.as_tensor(W_O)))
    tokens = _sequences(basis)
    right = (basis.model(silent, second)(tokens)[:, 3:].argmax(-1) == tokens[:, 1:-2]).float()
    if right.mean() < 0.9:
        return None
    return (
        "the answer is still right when the first head is silent, so the second does it alone; "
        "let each look one back"
    )


@two_back.prop
def first_is_silent(heads: Any, basis: Basis) -> str | None:
    """Where the answer is wrong: is it that the first head speaks for itself?"""
    tokens = _sequences(basis)
    if (_predicted(heads, basis) == tokens[:, 1:-2]).all():
        return None
    alone = basis.model(heads[0])(tokens)[:, 3:].argmax(-1)
    if (alone == tokens[:, 2:-1]).float().mean() < 0.9:
        return None
    return "the first head alone makes the model predict the symbol one back"


def _one_back(basis: Basis) -> tuple[Tensor, Tensor]:
    return 40.0 * basis.position.T, basis.position.T.roll(1, dims=1)


def _two(basis: Basis, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Any:
    W_Q, W_K = _one_back(basis)
    return HeadWeights(W_Q, W_K, *first), HeadWeights(W_Q, W_K, *second)


@two_back.wrong(
    "the second head reads `token`: it moves the symbol that stands one back, and what the first "
    "head brought there stays unread. Let it read `previous`."
)
def second_reads_token(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, basis.previous), (basis.token.T, 10 * basis.out))


@two_back.wrong(
    "the first head writes to `out`, where the unembedding reads it at once: the model predicts "
    "the symbol one back. Write to `previous`, which only the second head reads."
)
def first_writes_to_out(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, 10 * basis.out), (basis.previous.T, 10 * basis.out))


@two_back.wrong(
    "the second head writes to `previous` again, where nobody reads it: all logits are zero. The "
    "unembedding reads `out`."
)
def never_written_out(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, basis.previous), (basis.previous.T, 10 * basis.previous))


@two_back.wrong(
    "the heads are in the wrong order: the one that reads `token` belongs into layer 0. A head "
    "cannot read what is written above it."
)
def heads_exchanged(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, basis.previous), (basis.previous.T, 10 * basis.out))[::-1]


@two_back.wrong(
    "the first head writes into `token`, on top of the symbol that stands there already. The "
    "second head cannot tell the two apart; use `previous`, which is free."
)
def first_writes_to_token(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, basis.token), (basis.token.T, 10 * basis.out))


@two_back.wrong(
    "the signs turn the answer round: one of the heads writes with a minus, so the right symbol "
    "gets the lowest logit."
)
def written_with_a_minus(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, basis.previous), (basis.previous.T, -10 * basis.out))


@two_back.wrong(
    "the second head looks two back by itself and needs no first head. That is a good head, but "
    "not a composed one: let each look one back, and pass the symbol on through `previous`."
)
def one_head_does_it(basis: Basis) -> Any:
    W_Q, W_K = _one_back(basis)
    looks_two_back = W_Q, basis.position.T.roll(2, dims=1)
    first = HeadWeights(W_Q, W_K, basis.token.T, basis.previous)
    return first, HeadWeights(*looks_two_back, basis.token.T, 10 * basis.out)


# --- path_expansion ---------------------------------------------------------------------------

path_expansion = checks.exercise(
    "path_expansion",
    difficulty=4,
    importance=5,
    minutes=15,
    hints=[
        "A head with a frozen pattern is two matrix products: `pattern @ x` mixes positions, then "
        "W_V and W_O change the vector at each position.",
        "Every stream that exists below a head goes through it and becomes a new stream: the "
        "embedding, and for a head of layer 1 also what each head of layer 0 wrote.",
        "moved = pattern @ x @ model.W_V[layer, head] @ model.W_O[layer, head], kept under the key "
        "(*path, (layer, head)). With two layers of two heads there are 1 + 2 + 2 * 3 = 9 paths.",
    ],
)


@path_expansion.cases
def _path_cases() -> Iterator[Case]:
    yield Case("a model with one head a layer: four paths", _model(2, 1, 5), random_tokens(1, 4))
    yield Case("two layers of two heads", _model(2, 2, 0), random_tokens(2, 5, seed=1))
    yield Case("two layers of three heads", _model(2, 3, 9, 4), random_tokens(3, 7, seed=2))


def _ov(model: Any, layer: int, head: int) -> Tensor:
    return model.blocks[layer].attn.W_V[head] @ model.blocks[layer].attn.W_O[head]


@path_expansion.oracle
def _path_oracle(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    """Each path on its own: virtual pattern times embedding times virtual OV."""
    heads = range(model.cfg.n_heads)
    W_U, x = model.unembed.W_U, model.embed(tokens)
    low, high = (_pattern(model, tokens, layer) for layer in (0, 1))
    out: dict[Path, Tensor] = {(): x @ W_U}
    for a in heads:
        out[((0, a),)] = low[:, a] @ (x @ (_ov(model, 0, a) @ W_U))
        out[((1, a),)] = high[:, a] @ (x @ (_ov(model, 1, a) @ W_U))
    for a in heads:
        for b in heads:
            both = _ov(model, 0, a) @ _ov(model, 1, b) @ W_U
            out[((0, a), (1, b))] = high[:, b] @ low[:, a] @ (x @ both)
    return out


@path_expansion.wrong(
    "the virtual heads are missing: a head of layer 1 also moves what each head of layer 0 wrote. "
    "As it is, the paths do not sum to the logits."
)
def no_virtual_heads(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    return {path: out for path, out in _path_oracle(model, tokens).items() if len(path) < 2}


@path_expansion.wrong(
    "the direct path, embedding to unembedding past all heads, is missing; its key is ()."
)
def no_direct_path(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    return {path: out for path, out in _path_oracle(model, tokens).items() if path}


@path_expansion.wrong(
    "a head of layer 1 was given the whole residual stream, so its path contains the virtual ones "
    "as well and they count twice. Give it the embedding alone."
)
def counted_twice(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    out = _path_oracle(model, tokens)
    heads = range(model.cfg.n_heads)
    twice = {((1, b),): sum(out[((0, a), (1, b))] for a in heads) + out[((1, b),)] for b in heads}
    return {**out, **twice}


@path_expansion.wrong(
    "the keys name the higher head first. A path lists its heads in the order in which they are "
    "passed, lowest layer first."
)
def higher_head_first(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    return {path[::-1]: out for path, out in _path_oracle(model, tokens).items()}


@path_expansion.wrong(
    "the position vectors are in the streams. In this model positions enter queries and keys only; "
    "what is moved is the token embedding alone."
)
def positions_moved(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    return _expanded(model, tokens, model.embed(tokens) + model.W_pos[: tokens.shape[1]])


def _expanded(
    model: Any, tokens: Tensor, x: Tensor, patterns: list[Tensor] | None = None
) -> dict[Path, Tensor]:
    patterns = patterns or [_pattern(model, tokens, layer) for layer in (0, 1)]
    streams: dict[Path, Tensor] = {(): x}
    for layer, pattern in enumerate(patterns):
        for path, value in dict(streams).items():
            for head in range(model.cfg.n_heads):
                moved = pattern[:, head] @ value @ _ov(model, layer, head)
                longer = (*path, (layer, head))
                streams[longer] = moved
    return {path: value @ model.W_U for path, value in streams.items()}


@path_expansion.wrong(
    "the patterns are transposed: rows are queries, so `pattern @ x` gathers, `pattern.mT @ x` "
    "scatters."
)
def patterns_transposed(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    patterns = [_pattern(model, tokens, layer).mT for layer in (0, 1)]
    return _expanded(model, tokens, model.embed(tokens), patterns)


@path_expansion.wrong(
    "the attention is missing: every stream stays at its own position. Multiply by the head's "
    "pattern, `pattern @ x`, to move it."
)
def not_moved(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    here = torch.eye(tokens.shape[1]).expand(len(tokens), model.cfg.n_heads, -1, -1)
    return _expanded(model, tokens, model.embed(tokens), [here, here])


@path_expansion.wrong(
    "layer 1 has the attention of layer 0. Each layer has a pattern of its own, taken from the "
    "full run."
)
def one_pattern_for_both(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    low = _pattern(model, tokens, 0)
    return _expanded(model, tokens, model.embed(tokens), [low, low])


@path_expansion.wrong(
    "the patterns of layer 1 were computed anew from the embedding alone. Freeze them as they were "
    "in the full run: only then do the paths sum to the logits."
)
def patterns_not_frozen(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    x = model.embed(tokens)
    with_positions = x + model.W_pos[: tokens.shape[1]]
    attn = model.blocks[1].attn
    q, k = (torch.einsum("bpm,hmd->bphd", with_positions, w) for w in (attn.W_Q, attn.W_K))
    patterns = [_pattern(model, tokens, 0), attn.scores(q, k).softmax(-1)]
    return _expanded(model, tokens, x, patterns)


@path_expansion.wrong(
    "these are vectors of the residual stream: multiply each by W_U to see what it adds to the "
    "logits."
)
def not_unembedded(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    x = model.embed(tokens)
    streams: dict[Path, Tensor] = {(): x}
    for layer in (0, 1):
        pattern = _pattern(model, tokens, layer)
        for path, value in dict(streams).items():
            for head in range(model.cfg.n_heads):
                moved = pattern[:, head] @ value @ _ov(model, layer, head)
                longer = (*path, (layer, head))
                streams[longer] = moved
    return streams


# --- path_importance --------------------------------------------------------------------------

path_importance = checks.exercise(
    "path_importance",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=[
        "The logits are the sum of all paths. What are they when one path is left out?",
        "Take the path away from the sum (do not rebuild the sum: subtract), measure the loss, and "
        "subtract the loss of the whole.",
        "{path: loss(logits - added) - whole for path, added in paths.items()}",
    ],
)


@path_importance.cases
def _importance_cases() -> Iterator[Case]:
    tokens = torch.tensor([[0, 1, 1, 1]])
    useful, harmful = torch.zeros(1, 4, 3), torch.zeros(1, 4, 3)
    useful[..., 1], harmful[..., 2] = 2.0, 1.0
    yield Case(
        "a path that helps and a virtual head that hurts",
        {(): useful, ((0, 0), (1, 0)): harmful}, tokens,
    )  # fmt: skip
    for seed, (batch, pos, vocab) in enumerate([(2, 5, 7), (3, 4, 9)]):
        names: list[Path] = [(), ((0, 1),), ((1, 0),), ((0, 1), (1, 0))]
        paths = {n: normal(batch, pos, vocab, seed=10 * seed + i) for i, n in enumerate(names)}
        yield Case("random paths", paths, random_tokens(batch, pos, vocab, seed=seed))


def _loss(logits: Tensor, tokens: Tensor) -> float:
    flat = logits[:, :-1].flatten(0, 1)
    return torch.nn.functional.cross_entropy(flat, tokens[:, 1:].flatten()).item()


@path_importance.oracle
def _importance_oracle(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    out, whole = {}, _loss(_whole(paths), tokens)
    for left_out in paths:
        rest = torch.stack([value for path, value in paths.items() if path != left_out]).sum(0)
        out[left_out] = _loss(rest, tokens) - whole
    return out


def _whole(paths: dict[Path, Tensor]) -> Tensor:
    return torch.stack(list(paths.values())).sum(0)


@path_importance.wrong(
    "the sign is turned: a path that helps should have a positive number, the loss without it less "
    "the loss with it."
)
def sign_turned(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    return {path: -rise for path, rise in _importance_oracle(paths, tokens).items()}


@path_importance.wrong("you kept the path and left out all others. Leave out one path at a time.")
def path_alone(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    whole = _loss(_whole(paths), tokens)
    return {path: _loss(value, tokens) - whole for path, value in paths.items()}


@path_importance.wrong(
    "that is the loss without the path. How much it *rises* is that, less the loss of the whole."
)
def loss_not_rise(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    return {path: _loss(_whole(paths) - value, tokens) for path, value in paths.items()}


@path_importance.wrong(
    "the loss is summed over tokens instead of averaged, so it grows with the length of the text."
)
def summed_loss(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    count = tokens[:, 1:].numel()
    return {path: count * rise for path, rise in _importance_oracle(paths, tokens).items()}


@path_importance.wrong(
    "the logits at a position were compared with the token that stands there. They predict the "
    "*next* one: logits[:, :-1] belong to tokens[:, 1:]."
)
def same_position(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    def loss(logits: Tensor) -> float:
        flat = logits[:, :-1].flatten(0, 1)
        return torch.nn.functional.cross_entropy(flat, tokens[:, :-1].flatten()).item()

    whole = loss(_whole(paths))
    return {path: loss(_whole(paths) - value) - whole for path, value in paths.items()}


@path_importance.wrong(
    "these are logits of the right tokens, not losses: take the log-softmax first."
)
def logits_not_losses(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    return {
        path: value[:, :-1].gather(-1, tokens[:, 1:, None]).mean().item()
        for path, value in paths.items()
    }


# --- decompose_keys ---------------------------------------------------------------------------

decompose_keys = checks.exercise(
    "decompose_keys",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "The key's input is a sum: embedding, position, and what each lower head wrote. W_K and "
        "the dot product with the query are linear, so the score is a sum too.",
        'Head (l, h) wrote z @ W_O: cache["z", l] is [batch, pos, head, d_head], W_O is '
        "[layer, head, d_head, d_model].",
        "Append one [batch, pos, d_model] for each lower head, stack, multiply by "
        "model.W_K[layer, head]. The query stays whole.",
    ],
)


@decompose_keys.cases
def _keys_cases() -> Iterator[Case]:
    model = _model(3, 3, 2)
    yield Case("a head of layer 0: nobody wrote before it", model, random_tokens(2, 4), 0, 1)
    yield Case("head 1.2 of a random model", model, random_tokens(2, 5, seed=1), 1, 2)
    yield Case("head 2.1 of three layers", model, random_tokens(3, 6, seed=2), 2, 1)
    yield Case("four heads a layer", _model(2, 4, 3, 4), random_tokens(1, 7, seed=3), 1, 3)


def _lower_writes(model: Any, tokens: Tensor, layer: int) -> list[Tensor]:
    """What every head below a layer writes, heads of layer 0 first."""
    out = []
    for below in range(layer):
        z = _hooked(model, tokens, f"blocks.{below}.attn.hook_z")
        W_O = model.blocks[below].attn.W_O
        out += [z[:, :, source] @ W_O[source] for source in range(model.cfg.n_heads)]
    return out


def _keys_with(model: Any, tokens: Tensor, layer: int, head: int, first: list[Tensor]) -> Tensor:
    """Scores of the whole query against the keys made of each write."""
    attn = model.blocks[layer].attn
    q = _hooked(model, tokens, f"blocks.{layer}.attn.hook_q")[:, :, head]
    writes = torch.stack([*first, *_lower_writes(model, tokens, layer)])
    keys = torch.einsum("cbpm,md->cbpd", writes, attn.W_K[head])
    return torch.einsum("bqd,cbkd->cbqk", q, keys) / math.sqrt(attn.W_K.shape[-1])


def _visible_part(parts: Tensor) -> Tensor:
    n_pos = parts.shape[-1]
    future = torch.ones(n_pos, n_pos, dtype=torch.bool).triu(1)
    return parts.masked_fill(future, 0.0)


def _start(model: Any, tokens: Tensor) -> Tensor:
    return model.embed(tokens) + model.W_pos[: tokens.shape[1]]


@decompose_keys.oracle
def _keys_oracle(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _visible_part(_keys_with(model, tokens, layer, head, [_start(model, tokens)]))


@decompose_keys.observe
def _keys_seen(parts: Any, model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    parts = torch.stack(list(parts)) if isinstance(parts, list | tuple) else parts
    return _visible_part(parts) if parts.ndim > 1 and parts.is_floating_point() else parts


@decompose_keys.wrong("the scale is missing: scores are divided by the square root of d_head.")
def without_scale(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _keys_oracle(model, tokens, layer, head) * model.cfg.d_head**0.5


@decompose_keys.wrong(
    "the scores are divided by the square root of d_model. The dot product runs over d_head "
    "numbers."
)
def scaled_by_d_model(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    cfg = model.cfg
    return _keys_oracle(model, tokens, layer, head) * (cfg.d_head / cfg.d_model) ** 0.5


@decompose_keys.wrong(
    "the position is missing from component 0: keys read the embedding *plus* model.W_pos, and "
    "without it the components do not sum to the scores."
)
def position_left_out(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _keys_with(model, tokens, layer, head, [model.embed(tokens)])


@decompose_keys.wrong(
    "the position is added to every component, so it counts many times. It enters the key's input "
    "once, with the embedding."
)
def position_everywhere(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    parts = _keys_oracle(model, tokens, layer, head)
    attn = model.blocks[layer].attn
    q = _hooked(model, tokens, f"blocks.{layer}.attn.hook_q")[:, :, head]
    place = q @ (model.W_pos[: tokens.shape[1]] @ attn.W_K[head]).mT / model.cfg.d_head**0.5
    return torch.cat([parts[:1], parts[1:] + place])


@decompose_keys.wrong(
    "embedding and position are two components. Here they are one, the first: what stands at the "
    "key before any head has written."
)
def embedding_and_position_apart(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    x = model.embed(tokens)
    place = (_start(model, tokens) - x).expand_as(x)
    return _keys_with(model, tokens, layer, head, [x, place])


@decompose_keys.wrong(
    "you split the queries. Keep the query whole, and split what the *keys* are made of."
)
def queries_split(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    attn = model.blocks[layer].attn
    k = _hooked(model, tokens, f"blocks.{layer}.attn.hook_k")[:, :, head]
    writes = torch.stack([_start(model, tokens), *_lower_writes(model, tokens, layer)])
    return writes @ attn.W_Q[head] @ k.mT / model.cfg.d_head**0.5


@decompose_keys.wrong(
    "rows and columns are exchanged: a score is [query, key], q @ k.T and not k @ q.T."
)
def key_rows(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _keys_with(model, tokens, layer, head, [_start(model, tokens)]).mT


@decompose_keys.wrong(
    "the heads of the layer itself are there too. They write after this layer's keys were made: "
    "stop at the layer below."
)
def own_layer_too(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    attn = model.blocks[layer].attn
    q = _hooked(model, tokens, f"blocks.{layer}.attn.hook_q")[:, :, head]
    writes = torch.stack([_start(model, tokens), *_lower_writes(model, tokens, layer + 1)])
    return q @ (writes @ attn.W_K[head]).mT / model.cfg.d_head**0.5


@decompose_keys.wrong(
    "the components are in another order: embedding first, then head 0 of layer 0, head 1 of layer "
    "0, and so on upwards."
)
def embedding_last(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _keys_oracle(model, tokens, layer, head).roll(-1, 0)


@decompose_keys.wrong(
    "the keys were made with W_Q: this head's keys are what W_K makes of its input."
)
def made_with_W_Q(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    W_Q = model.blocks[layer].attn.W_Q[head]
    q = _hooked(model, tokens, f"blocks.{layer}.attn.hook_q")[:, :, head]
    writes = torch.stack([_start(model, tokens), *_lower_writes(model, tokens, layer)])
    return q @ (writes @ W_Q).mT / model.cfg.d_head**0.5


@decompose_keys.wrong(
    "each layer's heads are one component together. Keep them apart: the question is which head "
    "wrote it."
)
def whole_layers(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    parts = _keys_oracle(model, tokens, layer, head)
    layers = parts[1:].unflatten(0, (layer, model.cfg.n_heads)).sum(1) if layer else parts[1:]
    return torch.cat([parts[:1], layers])


# --- visible_scores ---------------------------------------------------------------------------

visible_scores = checks.exercise(
    "visible_scores",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "Add 5 to all scores of one query. What happens to its softmax? So what about a row can "
        "the softmax not see?",
        "Query q may see the keys 0 to q. The mean of row q runs over those q + 1 entries, not "
        "over the whole row.",
        "past = torch.ones_like(scores).tril(); mean = (scores * past).sum(-1, keepdim=True) / "
        "past.sum(-1, keepdim=True).",
    ],
)


@visible_scores.cases
def _visible_cases() -> Iterator[Case]:
    flat = torch.tensor([[9.0, 7.0, 7.0], [4.0, 4.0, 8.0], [1.0, 1.0, 4.0]])
    yield Case("scores that prefer no key, except the last query's", flat)
    for seed, shape in enumerate([(5, 5), (3, 4, 4), (2, 3, 6, 6)]):
        yield Case("random scores", normal(*shape, seed=seed))


@visible_scores.oracle
def _visible_oracle(scores: Tensor) -> Tensor:
    out = torch.zeros_like(scores)
    for q in range(scores.shape[-1]):
        row = scores[..., q, : q + 1]
        out[..., q, : q + 1] = row - row.mean(-1, keepdim=True)
    return out


@visible_scores.wrong(
    "the mean runs over the whole row. Query q sees keys 0 to q only; scores of the future are "
    "masked and must not count."
)
def mean_over_the_future_too(scores: Tensor) -> Tensor:
    return (scores - scores.mean(-1, keepdim=True)).tril()


@visible_scores.wrong(
    "the future was set to zero and then counted: divide the sum of row q by the number of its "
    "visible keys, q + 1, not by the length of the row."
)
def future_counted_as_zero(scores: Tensor) -> Tensor:
    return (scores - scores.tril().mean(-1, keepdim=True)).tril()


@visible_scores.wrong(
    "you took means over queries (columns). The softmax compares the keys of one query: the mean "
    "is one number a row."
)
def mean_over_queries(scores: Tensor) -> Tensor:
    count = torch.ones_like(scores).tril().sum(-2, keepdim=True)
    return (scores - scores.tril().sum(-2, keepdim=True) / count).tril()


@visible_scores.wrong(
    "one mean for the whole matrix is not enough: every query has a softmax of its own, so every "
    "row has its own mean."
)
def one_mean_for_all(scores: Tensor) -> Tensor:
    count = torch.ones_like(scores).tril().sum((-2, -1), keepdim=True)
    return (scores - scores.tril().sum((-2, -1), keepdim=True) / count).tril()


@visible_scores.wrong("the entries in the future are still there: set them to 0, they are masked.")
def future_kept(scores: Tensor) -> Tensor:
    past = torch.ones_like(scores).tril()
    return scores - (scores * past).sum(-1, keepdim=True) / past.sum(-1, keepdim=True)


@visible_scores.wrong(
    "that is the pattern, after the softmax. Asked is what of the scores the softmax can see."
)
def pattern_instead(scores: Tensor) -> Tensor:
    future = torch.ones_like(scores).triu(1).bool()
    return scores.masked_fill(future, -torch.inf).softmax(-1)


@visible_scores.wrong(
    "you took away the largest score of each row (as a softmax does for safety). Then a row "
    "without preference is zero, but so is the favourite key of every other row; take the mean."
)
def maximum_instead(scores: Tensor) -> Tensor:
    future = torch.ones_like(scores).triu(1).bool()
    return (scores - scores.masked_fill(future, -torch.inf).amax(-1, keepdim=True)).tril()


# --- causal_k_composition ---------------------------------------------------------------------

causal_k_composition = checks.exercise(
    "causal_k_composition",
    difficulty=4,
    importance=5,
    minutes=12,
    hints=[
        "What the source wrote is in a first, plain run: z @ W_O. What it adds to the target's "
        "keys is that, times the target's W_K.",
        "Take exactly this away from the target's keys, and from nothing else. hook_k is "
        "[batch, pos, head, d_head]: pick the head.",
        "Inside the hook: k[:, :, head] -= written @ model.W_K[target]",
    ],
)


@causal_k_composition.cases
def _cut_cases() -> Iterator[Case]:
    model = _model(2, 3, 0)
    yield Case("the path from 0.1 to 1.2", model, random_tokens(2, 5), (0, 1), (1, 2))
    yield Case("the path from 0.0 to 1.1", model, random_tokens(3, 6, seed=1), (0, 0), (1, 1))
    deep = _model(3, 2, 4)
    yield Case("a path past a layer", deep, random_tokens(2, 7, seed=2), (0, 1), (2, 0))
    yield Case("a path between layers 1 and 2", deep, random_tokens(1, 8, seed=3), (1, 0), (2, 1))


def _split_run(model: Any, tokens: Tensor, edits: dict[str, Any], target: tuple[int, int]) -> Any:
    """A run with the inputs of queries, keys and values split, and edits at named hooks of them."""
    before = model.cfg.use_split_qkv_input
    seen: list[Tensor] = []
    layer, head = target
    keep = (f"blocks.{layer}.attn.hook_pattern", lambda p, hook: seen.append(p.clone()))
    model.set_use_split_qkv_input(True)
    try:
        logits = model.run_with_hooks(tokens, fwd_hooks=[*edits.items(), keep])
    finally:
        model.set_use_split_qkv_input(before)
    return CutPath(seen[0][:, head], logits)


def _written(model: Any, tokens: Tensor, source: tuple[int, int]) -> Tensor:
    z = _hooked(model, tokens, f"blocks.{source[0]}.attn.hook_z")
    return z[:, :, source[1]] @ model.blocks[source[0]].attn.W_O[source[1]]


def _without(written: Tensor, head: int | slice, sign: float = 1.0) -> Any:
    def edit(x: Tensor, hook: Any) -> Tensor:
        taken = written[:, :, None] if isinstance(head, slice) else written
        x[:, :, head] = x[:, :, head] - sign * taken
        return x

    return edit


def _cut(model: Any, tokens: Tensor, source: Any, target: Any, which: str = "k") -> CutPath:
    name = f"blocks.{target[0]}.attn.hook_{which}_input"
    edit = _without(_written(model, tokens, source), target[1])
    return _split_run(model, tokens, {name: edit}, target)


@causal_k_composition.oracle
def _cut_oracle(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    return _cut(model, tokens, source, target)


@causal_k_composition.wrong("nothing was cut: this is the model's ordinary run.")
def nothing_cut(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    return _split_run(model, tokens, {}, target)


@causal_k_composition.wrong(
    "you cut the path into the target's queries. What moves the induction head's target is in its "
    "keys: hook_k and W_K."
)
def queries_cut(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    return _cut(model, tokens, source, target, "q")


@causal_k_composition.wrong(
    "you cut the path into the target's values: that changes what it moves, and not where it looks."
)
def values_cut(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    return _cut(model, tokens, source, target, "v")


@causal_k_composition.wrong(
    "the keys of every head of the target's layer were changed. Only one path is to be cut: pick "
    "the target's head, on axis 2 of k."
)
def every_target_cut(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    name = f"blocks.{target[0]}.attn.hook_k_input"
    edit = _without(_written(model, tokens, source), slice(None))
    return _split_run(model, tokens, {name: edit}, target)


@causal_k_composition.wrong(
    "you silenced the source altogether. Then everything that depends on it changes; the question "
    "is about this one path: the source's share of the target's keys."
)
def source_silenced(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    def silence(z: Tensor, hook: Any) -> Tensor:
        z[:, :, source[1]] = 0.0
        return z

    return _split_run(model, tokens, {f"blocks.{source[0]}.attn.hook_z": silence}, target)


@causal_k_composition.wrong(
    "the target's keys are all zero now: embedding, position and every other head were taken away "
    "too. Take away the source's share only."
)
def whole_key_removed(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    def flat(k: Tensor, hook: Any) -> Tensor:
        k[:, :, target[1]] = 0.0
        return k

    return _split_run(model, tokens, {f"blocks.{target[0]}.attn.hook_k": flat}, target)


@causal_k_composition.wrong(
    "the source's share was added once more instead of being taken away: look at the sign."
)
def added_instead(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    name = f"blocks.{target[0]}.attn.hook_k_input"
    edit = _without(_written(model, tokens, source), target[1], sign=-1.0)
    return _split_run(model, tokens, {name: edit}, target)


@causal_k_composition.wrong(
    "the pattern is that of the run before the cut; the logits are right. Read both from the run "
    "with the hook."
)
def pattern_before_the_cut(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    plain = _split_run(model, tokens, {}, target)
    return CutPath(plain.pattern, _cut(model, tokens, source, target).logits)


@causal_k_composition.wrong(
    "the pattern holds every head of the layer: keep the target's, [batch, q, k]."
)
def every_pattern(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    patterns = [
        _split_run(model, tokens, {}, (target[0], head)).pattern
        for head in range(model.cfg.n_heads)
    ]
    cut = _cut(model, tokens, source, target)
    patterns[target[1]] = cut.pattern
    return CutPath(torch.stack(patterns, 1), cut.logits)


@causal_k_composition.wrong(
    "you took away all that the source's layer wrote. Other heads of that layer feed the target "
    "too; pick the source's head, on axis 2 of z."
)
def whole_source_layer(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    heads = range(model.cfg.n_heads)
    written = torch.stack([_written(model, tokens, (source[0], h)) for h in heads]).sum(0)
    name = f"blocks.{target[0]}.attn.hook_k_input"
    return _split_run(model, tokens, {name: _without(written, target[1])}, target)


# --- questions --------------------------------------------------------------------------------

checks.quiz(
    "what_qk_decides",
    "From chapter 01: a head has two circuits, QK and OV. Which of them decides where it looks?",
    {
        "QK": "Query times key gives the score, and the scores the pattern. OV is about what is "
        "moved from there.",
        "OV": "OV (W_V, then W_O) says what is moved once the head looks somewhere. Where it looks "
        "is up to queries and keys: QK.",
        "both together": "They act one after the other and share no weights: QK makes the pattern, "
        "OV says what is moved.",
    },
    answer="QK",
)

checks.quiz(
    "what_previous_token_writes",
    "From chapter 03: what does a previous-token head add to the residual stream at position i?",
    {
        "a prediction of token i + 1": "Its direct effect on the prediction is small; the direct "
        "path does the bigrams. What it adds at i is about the token at i - 1.",
        "something about the token at i - 1": "It looks one back and moves what stands there. This "
        "chapter asks who reads it.",
        "the position i - 1": "In these models values carry no position vector: what is moved is "
        "about the token.",
    },
    answer="something about the token at i - 1",
)

checks.quiz(
    "why_two_layers",
    "From chapter 04: an induction head at the second `q` of `q x b q` attends to `x`. What must "
    "the key at `x` say?",
    {
        "that x comes next": "The answer is not in the key. The key has to match the query, which "
        "knows that q stands here.",
        "that q stood one before": "The query asks for q, so the key at x has to carry what stood "
        "before x. A head below has to write that first.",
        "that x stands here": "Then a query of x would match it, not a query of q: that would be a "
        "duplicate-token head.",
    },
    answer="that q stood one before",
)

checks.prediction(
    "which_kind",
    "Sixteen pairs of heads, three ways to compose. Where does the previous-token head of layer 0 "
    "stand out against the induction heads of layer 1?",
    {
        "queries": "The query of an induction head is about the token that stands here; it needs "
        "no head below.",
        "keys": "The key has to say what stood one before, and that is what the previous-token "
        "head writes.",
        "values": "What is copied is the token at the key's own position, which the embedding "
        "holds already.",
    },
    answer="keys",
)

checks.prediction(
    "random_heads",
    "Two heads with random weights, 16 dimensions each, in a residual stream of 64. What is their "
    "composition score on average?",
    {
        "0, they have nothing to do with each other": "A random subspace of 16 dimensions is never "
        "exactly orthogonal to another one.",
        "about 0.12": "One over the square root of 64: what a random vector keeps when it is read "
        "along random directions.",
        "about 0.25, since 16 / 64 of the dimensions are shared": "The width of the heads cancels: "
        "it makes the product larger and the norms below the line too.",
    },
    answer="about 0.12",
)

checks.prediction(
    "importance_of_previous",
    "The induction heads die without the previous-token head. How many of the five costliest "
    "paths pass through that head?",
    {
        "most of them": "",
        "about half": "",
        "none, or nearly none": "",
    },
)

checks.prediction(
    "who_wrote_the_keys",
    "The score of the second `q` for the key at `x` is large. Which part of the key makes it so?",
    {
        "the embedding of x, with its position": "",
        "what the previous-token head wrote there": "",
        "what all heads of layer 0 wrote, about equally": "",
    },
)

checks.prediction(
    "high_score_no_effect",
    "Among the pairs that do not end in an induction head, one has a high K-composition score. You "
    "cut it. What becomes of the loss on the second copy?",
    {
        "it rises about as much as for the induction heads": "",
        "it rises, but less": "",
        "nothing": "",
    },
)

checks.prediction(
    "real_model",
    "In a real model, with a norm before each layer and other ways to know positions: does the "
    "K-composition score still find the head that feeds the induction heads?",
    {
        "yes, the right head stands out": "",
        "no, it drowns among the others": "",
    },
)

checks.explanation(
    "frozen_patterns",
    "Why does the path expansion give the previous-token head no credit, although cutting it "
    "destroys induction?",
    "The expansion takes all attention patterns as given, and the previous-token head works "
    "through the pattern of the induction head: it decides where that head looks, which is frozen.",
)

checks.explanation(
    "weights_or_cause",
    "A pair of heads has a high composition score and cutting it changes nothing. Name a reason.",
    "The score knows weights alone: on real inputs the source may write nothing there, or the same "
    "to every key, which the softmax cannot see, or the target may not do anything that matters.",
)
