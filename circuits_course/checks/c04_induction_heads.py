"""Chapter 04, Induction heads: finding, tracing, weighing and growing them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.checking.compare import Tolerance, same
from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.inputs import matching_model, normal, random_model, random_tokens
from circuits_course.circuits.heads import InductionTrace

checks = ChapterChecks("04_induction_heads")

Heads = list[tuple[int, int]]


# --- repeated_tokens --------------------------------------------------------------------------

repeated_tokens = checks.exercise(
    "repeated_tokens",
    difficulty=1,
    importance=4,
    minutes=10,
    hints=[
        "Write one sequence of period 3 on paper: BOS q x b q x b. How many tokens is that, and "
        "how many random draws does it take?",
        "Draw only the first copy, [batch, period], with `torch.randint(..., "
        "generator=generator)`. The second copy is the same tensor once more.",
        "torch.cat([start, copy, copy], dim=1). If bos could turn up among the draws, it would "
        "begin the sequence a second time: draw from one token fewer and step over it.",
    ],
)


@repeated_tokens.cases
def _repeated_cases() -> Iterator[Case]:
    yield Case("2 sequences of period 3, BOS being token 0", 2, 3, 64, 0, 0)
    yield Case("a vocabulary of 7 tokens, many draws", 40, 25, 7, 0, 1)
    yield Case("a vocabulary of 50,000 in which BOS is token 1", 5, 11, 50_000, 1, 2)
    yield Case("the last token of the vocabulary being BOS", 3, 8, 200, 199, 3)
    yield Case("one sequence of period 30", 1, 30, 64, 0, 4)


@repeated_tokens.prop
def is_a_tensor(output: Any, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if not isinstance(output, Tensor):
        return f"expected a torch tensor, got a {type(output).__name__}: wrap it in torch.tensor"
    return None


@repeated_tokens.prop
def has_a_batch_axis(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if list(output.shape) == [1 + 2 * period]:
        return f"expected {batch} sequences, [{batch}, {1 + 2 * period}], got one"
    return None


@repeated_tokens.prop
def has_a_bos(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if list(output.shape) == [batch, 2 * period]:
        return f"expected {1 + 2 * period} tokens a sequence, BOS included, got {2 * period}"
    return None


@repeated_tokens.prop
def has_one_bos(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if list(output.shape) == [batch, 2 + 2 * period] and (output[:, 1 + period] == bos).all():
        return f"expected {1 + 2 * period} tokens a sequence, got one more"
    return None


@repeated_tokens.prop
def has_two_copies(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if list(output.shape) == [batch, 1 + period]:
        return f"expected two copies of {period} tokens after BOS, got {period} tokens in all"
    return None


@repeated_tokens.prop
def has_the_right_shape(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if list(output.shape) != [batch, 1 + 2 * period]:
        return f"expected the shape [{batch}, {1 + 2 * period}], got {list(output.shape)}"
    return None


@repeated_tokens.prop
def is_made_of_integers(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if output.is_floating_point():
        return f"tokens are int64 numbers, got {str(output.dtype).removeprefix('torch.')}"
    return None


@repeated_tokens.prop
def is_int64(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if output.dtype != torch.int64:
        return f"expected int64, got {str(output.dtype).removeprefix('torch.')}: use .long()"
    return None


@repeated_tokens.prop
def begins_with_bos(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if (output[:, 0] != bos).any():
        return f"every sequence begins with bos={bos}, yours with {output[:, 0].tolist()}"
    return None


@repeated_tokens.prop
def neighbours_are_not_doubled(
    output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int
):
    if period > 2 and (output[:, 1::2] == output[:, 2::2]).all():
        return f"each token stands there twice in a row: {output[0].tolist()}"
    return None


@repeated_tokens.prop
def repeats(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    first, second = output[:, 1 : 1 + period], output[:, 1 + period :]
    if (first != second).any():
        row = int((first != second).any(-1).nonzero()[0])
        return (
            f"the second copy differs from the first: {first[row].tolist()} and then "
            f"{second[row].tolist()}"
        )
    return None


@repeated_tokens.prop
def stays_in_the_vocabulary(
    output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int
):
    if output.min() < 0 or output.max() >= d_vocab:
        return f"tokens run from 0 to {d_vocab - 1}, yours from {output.min()} to {output.max()}"
    return None


@repeated_tokens.prop
def sequences_differ(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if batch > 1 and (output == output[:1]).all():
        return f"all {batch} sequences are the same"
    return None


@repeated_tokens.prop
def uses_the_vocabulary(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    missing = set(range(d_vocab)) - {bos} - set(output[:, 1:].flatten().tolist())
    if batch * period > 100 * d_vocab and missing:
        return f"{batch * period} draws from {d_vocab} tokens never gave {sorted(missing)}"
    return None


@repeated_tokens.trial
def gives_the_same_again(attempt: Callable, batch: int, period: int, d_vocab: int, bos: int, seed):
    first, second = (attempt(batch, period, d_vocab, bos, seed) for _ in range(2))
    if not torch.equal(first, second):
        return f"two calls with seed={seed} gave different tokens"
    return None


@repeated_tokens.trial
def heeds_the_seed(attempt: Callable, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    if torch.equal(*(attempt(batch, period, d_vocab, bos, s) for s in (seed, seed + 1))):
        return f"seed={seed} and seed={seed + 1} gave the same tokens"
    return None


def _draw(batch: int, period: int, d_vocab: int, bos: int, seed: int | None) -> Tensor:
    """Random tokens [batch, period] without bos."""
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    draws = torch.randint(0, d_vocab - 1, (batch, period), generator=generator)
    return draws + (draws >= bos)


def _led(bos: int, *copies: Tensor) -> Tensor:
    return torch.cat([torch.full((len(copies[0]), 1), bos), *copies], dim=1)


def _repeated(batch: int, period: int, d_vocab: int, bos: int, seed: int | None) -> Tensor:
    copy = _draw(batch, period, d_vocab, bos, seed)
    return _led(bos, copy, copy)


@repeated_tokens.wrong(
    "BOS is missing. Models are trained with a token that begins every sequence, and many heads "
    "rest their attention on it."
)
def without_bos(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    copy = _draw(batch, period, d_vocab, bos, seed)
    return torch.cat([copy, copy], dim=1)


@repeated_tokens.wrong("BOS stands before each copy. It begins the sequence, once.")
def bos_before_each_copy(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    copy = _led(bos, _draw(batch, period, d_vocab, bos, seed))
    return torch.cat([copy, copy], dim=1)


@repeated_tokens.wrong(
    "`period` is the length of one copy, not of both: the whole is 1 + 2 * period tokens long."
)
def period_is_the_whole(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    copy = _draw(batch, period, d_vocab, bos, seed)
    return _led(bos, copy, copy)[:, : 1 + period]


@repeated_tokens.wrong(
    "the second copy was drawn anew, so nothing is repeated. Draw once and use the draw twice."
)
def drawn_twice(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    both = _draw(batch, 2 * period, d_vocab, bos, seed)
    return _led(bos, both[:, :period], both[:, period:])


@repeated_tokens.wrong(
    "each token is doubled on the spot (`repeat_interleave`: q q x x). The copy as a whole comes "
    "twice: q x q x."
)
def doubled_in_place(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    return _led(bos, _draw(batch, period, d_vocab, bos, seed).repeat_interleave(2, dim=1))


@repeated_tokens.wrong(
    "every row is the same draw: draw [batch, period] numbers, not [period] for all rows."
)
def one_draw_for_all(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    copy = _draw(1, period, d_vocab, bos, seed).expand(batch, period)
    return _led(bos, copy, copy)


@repeated_tokens.wrong("the batch axis is missing: the result is [batch, 1 + 2 * period].")
def no_batch_axis(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    return _repeated(1, period, d_vocab, bos, seed)[0]


@repeated_tokens.wrong(
    "the draw does not use the seed: hand the generator to randint, or seed torch just before."
)
def unseeded(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    return _repeated(batch, period, d_vocab, bos, None)


@repeated_tokens.wrong("the seed is fixed inside the function: use the argument `seed`.")
def seed_ignored(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    return _repeated(batch, period, d_vocab, bos, 0)


@repeated_tokens.wrong(
    "the end of `torch.randint(low, high)` is exclusive: with d_vocab - 1 there, the last token is "
    "never drawn."
)
def last_token_never(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    return _repeated(batch, period, d_vocab - 1, bos, seed)


@repeated_tokens.wrong("tokens are whole numbers; these are floats, with which no embedding works.")
def floats(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    return _repeated(batch, period, d_vocab, bos, seed).float()


@repeated_tokens.wrong("0 stands for BOS whatever `bos` says; each model has its own.")
def bos_is_always_zero(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    return _repeated(batch, period, d_vocab, 0, seed)


@repeated_tokens.wrong("the second copy runs backwards.")
def mirrored(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    copy = _draw(batch, period, d_vocab, bos, seed)
    return _led(bos, copy, copy.flip(1))


# --- loss_per_token ---------------------------------------------------------------------------

loss_per_token = checks.exercise(
    "loss_per_token",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "The logits at position 0 are the model's guess about the token at position 1. Which "
        "position's logits guess the last token? What do the logits of the last position guess?",
        "Softmax over the vocabulary, the last axis, turns logits into probabilities; log_softmax "
        "gives their logs at once. For each position pick the entry of the token that came.",
        "logits[:, :-1] meet tokens[:, 1:]. `gather(-1, target[..., None])` picks one entry per "
        "position; a loop over batch and position is as good.",
    ],
)


@loss_per_token.cases
def _loss_cases() -> Iterator[Case]:
    sure = torch.full((1, 3, 3), -20.0)
    sure[0, 0, 1] = sure[0, 1, 2] = sure[0, 2, 0] = 20.0  # says 1, then 2, then 0
    yield Case("a model that is sure, and right each time", sure, torch.tensor([[0, 1, 2]]))
    even = torch.zeros(2, 4, 5)
    yield Case("a model that has no idea (5 tokens)", even, random_tokens(2, 4, 5))
    yield Case("random logits", normal(2, 7, 11, seed=1) * 3, random_tokens(2, 7, 11, seed=1))
    yield Case("random logits", normal(5, 4, 9, seed=2), random_tokens(5, 4, 9, seed=2))
    yield Case("equal sizes on every axis", normal(6, 6, 6, seed=3), random_tokens(6, 6, 6, 3))


@loss_per_token.oracle
def _loss_oracle(logits: Tensor, tokens: Tensor) -> Tensor:
    batch, pos = tokens.shape
    loss = torch.zeros(batch, pos - 1)
    for b in range(batch):
        for i in range(pos - 1):
            weights = [math.exp(x) for x in logits[b, i].tolist()]
            loss[b, i] = math.log(sum(weights)) - float(logits[b, i, int(tokens[b, i + 1])])
    return loss


def _pick(values: Tensor, tokens: Tensor) -> Tensor:
    return values.gather(-1, tokens[..., None])[..., 0]


@loss_per_token.wrong(
    "the logits of each position are compared with the token *at* that position, which the model "
    "has already seen. They are its guess about the next one."
)
def not_shifted(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_pick(logits.log_softmax(-1), tokens)[:, :-1]


@loss_per_token.wrong(
    "the shift is the wrong way round: logits[:, :-1] guess tokens[:, 1:], the future, not the "
    "past."
)
def shifted_backwards(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_pick(logits[:, 1:].log_softmax(-1), tokens[:, :-1])


@loss_per_token.wrong(
    "the last position is still there. Its guess is about a token that the sequence does not "
    "contain: drop it."
)
def last_position_kept(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_pick(logits.log_softmax(-1), tokens.roll(-1, dims=1))


@loss_per_token.wrong("the sign is turned: loss is *minus* the log-probability, so it is positive.")
def log_probability(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_loss_oracle(logits, tokens)


@loss_per_token.wrong("these are probabilities: take minus the log of them.")
def probability(logits: Tensor, tokens: Tensor) -> Tensor:
    return (-_loss_oracle(logits, tokens)).exp()


@loss_per_token.wrong(
    "these are logits, not log-probabilities: without the softmax they are not compared with the "
    "other tokens' logits."
)
def no_softmax(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_pick(logits[:, :-1], tokens[:, 1:])


@loss_per_token.wrong(
    "the softmax runs over positions. Probabilities sum to 1 over the vocabulary, the last axis."
)
def softmax_over_positions(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_pick(logits[:, :-1].log_softmax(1), tokens[:, 1:])


@loss_per_token.wrong("this is the mean loss: keep one number for each predicted token.")
def mean_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    return _loss_oracle(logits, tokens).mean()


@loss_per_token.wrong("this is the mean over the batch: keep one row for each sequence.")
def mean_over_batch(logits: Tensor, tokens: Tensor) -> Tensor:
    return _loss_oracle(logits, tokens).mean(0)


@loss_per_token.wrong(
    "these are bits: the natural logarithm gives nats, as the literature has them."
)
def in_bits(logits: Tensor, tokens: Tensor) -> Tensor:
    return _loss_oracle(logits, tokens) / math.log(2)


@loss_per_token.wrong(
    "this is the loss of the model's own favourite token. Pick the token that really came."
)
def loss_of_favourite(logits: Tensor, tokens: Tensor) -> Tensor:
    return -logits[:, :-1].log_softmax(-1).amax(-1)


# --- induction_score --------------------------------------------------------------------------

induction_score = checks.exercise(
    "induction_score",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "Draw the 7 x 7 pattern for BOS q x b q x b and mark the cells that should be bright: what "
        "shape do they make?",
        "For query i the same token stood at i - period. The token after it stands one further on. "
        "Which diagonal is that? And which queries belong to the second copy?",
        "`pattern.diagonal(offset, dim1, dim2)` runs along queries and keys together; its offset "
        "is key minus query. The last `period` of its entries belong to the second copy. A loop "
        "over queries 1 + period, ..., 2 * period is as good.",
    ],
)


def _looking(period: int, target: Callable[[int], int]) -> Tensor:
    """A pattern on [BOS, copy, copy] whose every query looks at one key only, BOS if none fits."""
    n_pos = 1 + 2 * period
    pattern = torch.zeros(n_pos, n_pos)
    for q in range(n_pos):
        pattern[q, target(q) if 0 <= target(q) <= q else 0] = 1.0
    return pattern


def _causal(*shape: int, seed: int) -> Tensor:
    """Random attention patterns of the shape [..., q, k]."""
    future = torch.ones(shape[-2:]).triu(1).bool()
    return (2 * normal(*shape, seed=seed)).masked_fill(future, -torch.inf).softmax(-1)


@induction_score.cases
def _score_cases() -> Iterator[Case]:
    yield Case("a perfect induction head", _looking(3, lambda q: q - 2), 3)
    yield Case("a head that attends only to the earlier copy of the same token",
               _looking(5, lambda q: q - 5), 5)  # fmt: skip
    yield Case("a head that attends only to the token before", _looking(6, lambda q: q - 1), 6)
    halves = (_looking(4, lambda q: q - 3) + _looking(4, lambda q: 0)) / 2
    yield Case("one head that spends half of its attention on the right place, and one on BOS",
               torch.stack([halves, _looking(4, lambda q: 0)]), 4)  # fmt: skip
    yield Case("random patterns", _causal(3, 4, 21, 21, seed=1), 10)
    yield Case("random patterns", _causal(2, 15, 15, seed=2), 7)
    yield Case("patterns of several layers", _causal(2, 3, 5, 9, 9, seed=3), 4)


@induction_score.oracle
def _score_oracle(pattern: Tensor, period: int) -> Tensor:
    return _mean_attention(pattern, range(1 + period, 1 + 2 * period), lambda q: q - period + 1)


def _mean_attention(pattern: Tensor, queries: Sequence[int], key: Callable[[int], int]) -> Tensor:
    """Mean over the queries of the attention from q to key(q)."""
    return sum((pattern[..., q, key(q)] for q in queries), torch.tensor(0.0)) / len(queries)


def _second_copy(period: int) -> range:
    return range(1 + period, 1 + 2 * period)


@induction_score.wrong(
    "you measured the duplicate-token diagonal. From query i the same token stood at i - period; "
    "the induction target is one further on."
)
def duplicate_token(pattern: Tensor, period: int) -> Tensor:
    return _mean_attention(pattern, _second_copy(period), lambda q: q - period)


@induction_score.wrong(
    "you measured the token *before* the first occurrence. What followed it stands at i - period + "
    "1."
)
def token_before(pattern: Tensor, period: int) -> Tensor:
    return _mean_attention(pattern, _second_copy(period), lambda q: q - period - 1)


@induction_score.wrong(
    "your target is two after the first occurrence: for query i, the key is i - period + 1."
)
def two_after(pattern: Tensor, period: int) -> Tensor:
    return _mean_attention(pattern, _second_copy(period), lambda q: q - period + 2)


@induction_score.wrong(
    "this is the previous-token diagonal, the attention from i to i - 1 (chapter 03)."
)
def previous_token(pattern: Tensor, period: int) -> Tensor:
    return _mean_attention(pattern, _second_copy(period), lambda q: q - 1)


@induction_score.wrong(
    "your score uses keys as rows. pattern[q, k]: q is the one who looks, k is looked at."
)
def keys_as_rows(pattern: Tensor, period: int) -> Tensor:
    return _score_oracle(pattern.mT, period)


@induction_score.wrong(
    "you divide by all queries, the first copy's too, where there is nothing to look back to. "
    "Queries of the second copy start at 1 + period."
)
def divided_by_all_queries(pattern: Tensor, period: int) -> Tensor:
    return _score_oracle(pattern, period) * period / pattern.shape[-1]


@induction_score.wrong(
    "you took the whole diagonal. Its first two entries belong to queries of the first copy: take "
    "the last `period`."
)
def whole_diagonal(pattern: Tensor, period: int) -> Tensor:
    return pattern.diagonal(1 - period, -2, -1).mean(-1)


@induction_score.wrong(
    "your queries start at `period`, the last token of the first copy. BOS takes position 0, so "
    "the second copy starts at 1 + period."
)
def forgot_bos(pattern: Tensor, period: int) -> Tensor:
    return _mean_attention(pattern, range(period, 2 * period), lambda q: q - period + 1)


@induction_score.wrong(
    "the last query is missing: the second copy runs from 1 + period to 2 * period inclusive."
)
def last_query_missing(pattern: Tensor, period: int) -> Tensor:
    return _mean_attention(pattern, range(1 + period, 2 * period), lambda q: q - period + 1)


@induction_score.wrong("this is the sum over the queries: divide by their number, `period`.")
def sum_not_mean(pattern: Tensor, period: int) -> Tensor:
    return _score_oracle(pattern, period) * period


@induction_score.wrong(
    "one number came out for all heads: average over the queries only, and keep the leading axes."
)
def one_number_for_all(pattern: Tensor, period: int) -> Tensor:
    if pattern.ndim == 2:
        return _score_oracle(pattern, period)
    return _score_oracle(pattern, period).mean()


@induction_score.wrong("this is the largest attention of any query; the score is the mean.")
def largest(pattern: Tensor, period: int) -> Tensor:
    return pattern.diagonal(1 - period, -2, -1)[..., -period:].amax(-1)


@induction_score.wrong(
    "you counted how often the right place is the brightest. The score is the mean attention "
    "itself."
)
def share_of_brightest(pattern: Tensor, period: int) -> Tensor:
    target = torch.arange(2, 2 + period)
    return (pattern[..., 1 + period :, :].argmax(-1) == target).float().mean(-1)


# --- find_induction_heads ---------------------------------------------------------------------

find_induction_heads = checks.exercise(
    "find_induction_heads",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "You have all the parts: `repeated_tokens` makes the test, the cache holds the patterns, "
        '`induction_score` scores them. What are the axes of cache["pattern", layer]?',
        'induction_score(cache["pattern", layer], period) has the axes [batch, head]: average '
        "over the batch, and one number for each head is left.",
        "Note (layer, head) -> score for every head over the threshold, and sort by score with "
        "reverse=True. Return the heads without their scores.",
    ],
)

_FIRST = (
    (("even", 0), ("duplicate", 8), ("induction", 5.5)),
    (("induction", 3.0), ("even", 0), ("duplicate", 4)),
    (("even", 0), ("induction", 2.0), ("even", 0)),
    (("duplicate", 6), ("even", 0), ("induction", 9.0)),
)
_SECOND = (
    (("duplicate", 7), ("even", 0), ("even", 0), ("induction", 10.0)),
    (("even", 0), ("induction", 5.5), ("induction", 2.5), ("even", 0)),
)


@find_induction_heads.cases
def _find_cases() -> Iterator[Case]:
    first, second = matching_model(_FIRST), matching_model(_SECOND)
    yield Case("a model built with induction heads 3.2 and 0.2, a weak one in layer 1, and "
               "duplicate-token heads 0.1, 1.2 and 3.0", first)  # fmt: skip
    yield Case("the same model and a threshold of 0.75", first, threshold=0.75)
    yield Case("the same model and a low threshold", first, threshold=0.1, batch=12, seed=3)
    yield Case("a model of two layers, periods of 30", second, period=30, batch=6, seed=1)
    yield Case("a threshold that no head reaches", second, threshold=0.99, batch=2)


@find_induction_heads.oracle
def _find_oracle(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    ranked = _ranked(model, period, threshold)
    return [head for head, _ in ranked]


def _ranked(
    model: Any,
    period: int,
    threshold: float,
    shift: int = 1,
    repeated: bool = True,
) -> list[tuple[tuple[int, int], float]]:
    """Heads and scores, strongest first, on the checker's own random tokens."""
    scores = _scores(model, period, shift, repeated)
    over = [(head, score) for head, score in scores.items() if score > threshold]
    return sorted(over, key=lambda pair: -pair[1])


@cache
def _scores(
    model: Any, period: int, shift: int = 1, repeated: bool = True
) -> dict[tuple[int, int], float]:
    """Mean attention of every head from the second copy to `shift` after the first occurrence."""
    copy, other = (random_tokens(8, period, model.cfg.d_vocab, seed) for seed in (11, 12))
    tokens = _led(0, copy, copy if repeated else other)
    patterns = _patterns(model, tokens)
    return {
        (layer, head): _mean_attention(
            patterns[layer][:, head], _second_copy(period), lambda q: q - period + shift
        ).mean().item()
        for layer in range(model.cfg.n_layers)
        for head in range(model.cfg.n_heads)
    }  # fmt: skip


def _patterns(model: Any, tokens: Tensor) -> list[Tensor]:
    """Attention of every layer, [batch, head, q, k] each."""
    kept: dict[str, Tensor] = {}
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    hooks = [(name, lambda pattern, hook: kept.update({hook.name: pattern})) for name in names]
    model.run_with_hooks(tokens, fwd_hooks=hooks)
    return [kept[name] for name in names]


@find_induction_heads.wrong("the pairs are (head, layer): the layer comes first.")
def head_before_layer(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    return [(head, layer) for layer, head in _find_oracle(model, period, batch, threshold, seed)]


@find_induction_heads.wrong("the weakest head comes first: sort with reverse=True.")
def weakest_first(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    return _find_oracle(model, period, batch, threshold, seed)[::-1]


@find_induction_heads.wrong("the heads stand in order of layer: sort them by their score.")
def in_order_of_layer(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    return sorted(_find_oracle(model, period, batch, threshold, seed))


@find_induction_heads.wrong("a threshold of 0.4 is written into the function: use the argument.")
def threshold_ignored(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    return _find_oracle(model, period, batch, 0.4, seed)


@find_induction_heads.wrong("these are the heads *below* the threshold: keep those above it.")
def below_the_threshold(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    ranked = _ranked(model, period, -1.0)
    return [head for head, score in ranked if score < threshold]


@find_induction_heads.wrong(
    "these heads look at the earlier copy of the same token: duplicate-token heads. Score the "
    "token after it."
)
def duplicate_token_heads(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    return [head for head, _ in _ranked(model, period, threshold, shift=0)]


@find_induction_heads.wrong(
    "nothing is repeated in your test sequences, so no head has anything to look back to."
)
def nothing_repeated(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    return [head for head, _ in _ranked(model, period, threshold, repeated=False)]


@find_induction_heads.wrong("all heads are listed: keep those whose score is over the threshold.")
def every_head(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    return [head for head, _ in _ranked(model, period, -1.0)]


@find_induction_heads.wrong("only one head came back: a model can have several.")
def strongest_only(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    return _find_oracle(model, period, batch, threshold, seed)[:1]


@find_induction_heads.wrong("the scores are still with them: return the pairs (layer, head) alone.")
def with_scores(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> list[tuple[int, int, float]]:
    return [(*head, score) for head, score in _ranked(model, period, threshold)]


@find_induction_heads.wrong("the last layer is missing: layers run from 0 to n_layers - 1.")
def last_layer_missing(
    model: Any, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> Heads:
    found = _find_oracle(model, period, batch, threshold, seed)
    return [head for head in found if head[0] < model.cfg.n_layers - 1]


# --- trace_induction --------------------------------------------------------------------------

trace_induction = checks.exercise(
    "trace_induction",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=[
        "`places` holds every position before the last at which the last token stands. Which of "
        "them is the nearest?",
        "A pattern in the cache has the axes [batch, head, query, key]. There is one prompt; the "
        "one who looks is the last position.",
        "earlier = int(places[-1]), and for each head the whole row of the last query: "
        'cache["pattern", layer][0, head, last].',
    ],
)


@trace_induction.cases
def _trace_cases() -> Iterator[Case]:
    copies, watches = matching_model(_FIRST), matching_model(_SECOND)
    yield Case("'qxbzq', q having stood first", copies, "qxbzq")
    yield Case("'xbqaqdezq', q having occurred twice before", copies, "xbqaqdezq")
    yield Case("'qxq' by another model", watches, "qxq")
    yield Case("'aabcdeab' by another model", watches, "aabcdeab")


@trace_induction.oracle
def _trace_oracle(model: Any, prompt: str) -> InductionTrace:
    return _trace(model, prompt)


def _trace(
    model: Any,
    prompt: str,
    place: Callable[[list[int]], int] = max,
    look: Callable[[Tensor, int, int], float] = lambda pattern, last, k: pattern[last, k].item(),
    heads: Heads | None = None,
) -> InductionTrace:
    """place picks one of the earlier positions; look(pattern[q, k], last, key) reads a pattern."""
    words = model.to_str_tokens(prompt)
    last = len(words) - 1
    earlier = place([i for i, word in enumerate(words[:-1]) if word == words[-1]])
    tokens = model.to_tokens(prompt)
    layers, logits = _patterns(model, tokens), model(tokens)
    heads = _find_oracle(model) if heads is None else heads
    patterns = {(layer, head): layers[layer][0, head] for layer, head in heads}
    return InductionTrace(
        token=words[-1],
        earlier=earlier,
        followed_by=words[min(earlier + 1, last)],
        predicted=model.to_single_str_token(int(logits[0, -1].argmax())),
        to_earlier={head: look(pattern, last, earlier) for head, pattern in patterns.items()},
        to_next={
            head: look(pattern, last, min(earlier + 1, last)) for head, pattern in patterns.items()
        },
    )


@trace_induction.wrong(
    "this is the *first* earlier position. The nearest one is the last entry of `places`."
)
def first_place(model: Any, prompt: str) -> InductionTrace:
    return _trace(model, prompt, place=min)


@trace_induction.wrong(
    "your position does not count BOS. In the cache it is position 0, and the first symbol 1."
)
def bos_not_counted(model: Any, prompt: str) -> InductionTrace:
    return _trace(model, prompt, place=lambda places: max(places) - 1)


@trace_induction.wrong(
    "this is already the position after it: `earlier` is where the token itself stood."
)
def one_too_far(model: Any, prompt: str) -> InductionTrace:
    return _trace(model, prompt, place=lambda places: max(places) + 1)


@trace_induction.wrong(
    "you read a column: who looks *at* the last position. Rows are queries: the row of the last "
    "position says where it looks."
)
def column_not_row(model: Any, prompt: str) -> InductionTrace:
    return _trace(model, prompt, look=lambda pattern, last, k: pattern[k, last].item())


@trace_induction.wrong(
    "you read the row of the earlier position. The one who looks is the last position."
)
def row_of_the_earlier(model: Any, prompt: str) -> InductionTrace:
    earlier = _trace(model, prompt).earlier
    return _trace(model, prompt, look=lambda pattern, last, k: pattern[earlier, k].item())


@trace_induction.wrong(
    "you read every head of layer 0: take each head's pattern from its own layer."
)
def always_layer_zero(model: Any, prompt: str) -> InductionTrace:
    right = _trace(model, prompt)
    heads = {head: (0, head[1]) for head in right.to_next}
    base = _trace(model, prompt, heads=list(heads.values()))
    return InductionTrace(
        right.token,
        right.earlier,
        right.followed_by,
        right.predicted,
        {head: base.to_earlier[other] for head, other in heads.items()},
        {head: base.to_next[other] for head, other in heads.items()},
    )


@trace_induction.wrong(
    "all heads are listed: the induction heads alone, `for layer, head in heads`."
)
def all_heads(model: Any, prompt: str) -> InductionTrace:
    heads = [(i, j) for i in range(model.cfg.n_layers) for j in range(model.cfg.n_heads)]
    return _trace(model, prompt, heads=heads)


# --- copying_score ----------------------------------------------------------------------------

copying_score = checks.exercise(
    "copying_score",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=[
        "What would it mean for a token's eigenvalue to be positive? Attending to that token "
        "raises its own logit. The score asks how the positive ones weigh against the others.",
        "A B is [d_vocab, d_vocab]: 10 GB for a real vocabulary. B A is r by r and has the same "
        "non-zero eigenvalues. What are the names of the two factors?",
        "torch.linalg.eigvals(W_full_OV.B @ W_full_OV.A). Eigenvalues may be complex: add them "
        "(pairs cancel their imaginary parts), and divide by the sum of their absolute values.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


def _with_eigenvalues(blocks: Sequence[Sequence[Sequence[float]]], d_vocab: int, seed: int):
    """A factored matrix [d_vocab, d_vocab] with the eigenvalues of the given small blocks."""
    core = torch.block_diag(*[torch.tensor(block) for block in blocks])
    A = normal(d_vocab, len(core), seed=seed)
    inverse = torch.linalg.pinv(A)
    return FactoredMatrix(A @ core, inverse)


def _real(*eigenvalues: float) -> list[list[list[float]]]:
    return [[[value]] for value in eigenvalues]


def _too_large_to_multiply() -> FactoredMatrix:
    """8 million tokens: the product would take 256 TB, more than any address space has."""
    n = 8_000_000
    A, B = torch.zeros(n, 1), torch.zeros(1, n)
    A[:4], B[:, :4] = normal(4, 1, seed=8), normal(1, 4, seed=8)
    return FactoredMatrix(A, B)


@copying_score.cases
def _copying_cases() -> Iterator[Case]:
    yield Case("eigenvalues 3, 1 and -2", _with_eigenvalues(_real(3.0, 1.0, -2.0), 7, 0))
    yield Case("a head that copies every token", FactoredMatrix(torch.eye(5), 2 * torch.eye(5)))
    yield Case("a head that suppresses what it attends to",
               FactoredMatrix(-torch.eye(4), torch.eye(4)))  # fmt: skip
    turn = [[1.0, -3.0], [3.0, 1.0]]
    yield Case("complex eigenvalues 1 + 3i and 1 - 3i beside a real 2",
               _with_eigenvalues([turn, [[2.0]]], 9, 1))  # fmt: skip
    yield Case("random factors", FactoredMatrix(normal(12, 5, seed=2), normal(5, 12, seed=3)))
    model = random_model(seed=4)
    full_OV = FactoredMatrix(model.W_E @ model.W_V[1, 2], model.W_O[1, 2] @ model.W_U)
    yield Case("layer 1, head 2 of a random model", full_OV)
    yield Case("a vocabulary of 8 million", _too_large_to_multiply())


@copying_score.oracle
def _copying_oracle(W_full_OV: FactoredMatrix) -> float:
    """The long way, over the whole matrix; the one too large for it copies in one direction."""
    if len(W_full_OV.A) > 1000:
        return 1.0
    values = torch.linalg.eigvals(W_full_OV.A.double() @ W_full_OV.B.double()).tolist()
    return sum(values).real / sum(abs(value) for value in values)


def _eigenvalues(W_full_OV: FactoredMatrix) -> Tensor:
    return torch.linalg.eigvals(W_full_OV.B @ W_full_OV.A)


@copying_score.wrong(
    "you multiplied the factors out to [d_vocab, d_vocab], which no memory holds for a large "
    "vocabulary. B @ A is small and has the same non-zero eigenvalues."
)
def multiplied_out(W_full_OV: FactoredMatrix) -> Tensor:
    eigenvalues = torch.linalg.eigvals(W_full_OV.A @ W_full_OV.B)
    return eigenvalues.sum().real / eigenvalues.abs().sum()


@copying_score.wrong(
    "this is the share of positive eigenvalues; the score weighs each by its size."
)
def share_of_positive(W_full_OV: FactoredMatrix) -> Tensor:
    return (_eigenvalues(W_full_OV).real > 0).float().mean()


@copying_score.wrong(
    "in the denominator stand the absolute values of the real parts. |a + bi| is sqrt(a² + b²): "
    "take abs() of the complex numbers."
)
def real_parts_only(W_full_OV: FactoredMatrix) -> Tensor:
    real = _eigenvalues(W_full_OV).real
    return real.sum() / real.abs().sum()


@copying_score.wrong(
    "the numerator is the absolute value of the sum, so a head that suppresses looks as if it "
    "copied."
)
def sign_lost(W_full_OV: FactoredMatrix) -> Tensor:
    eigenvalues = _eigenvalues(W_full_OV)
    return eigenvalues.sum().abs() / eigenvalues.abs().sum()


@copying_score.wrong(
    "this is the sum of the eigenvalues alone, which grows with the head's size: divide by the sum "
    "of their absolute values."
)
def not_normalised(W_full_OV: FactoredMatrix) -> Tensor:
    return _eigenvalues(W_full_OV).sum().real


@copying_score.wrong(
    "these are singular values, which are never negative. Whether a token maps onto *itself* is a "
    "question for eigenvalues."
)
def singular_values(W_full_OV: FactoredMatrix) -> Tensor:
    core = W_full_OV.B @ W_full_OV.A
    return _eigenvalues(W_full_OV).sum().real / torch.linalg.svdvals(core).sum()


@copying_score.wrong(
    "`eigvalsh` is for symmetric matrices; this one is not symmetric: use `eigvals`."
)
def as_if_symmetric(W_full_OV: FactoredMatrix) -> Tensor:
    eigenvalues = torch.linalg.eigvalsh(W_full_OV.B @ W_full_OV.A)
    return eigenvalues.sum() / eigenvalues.abs().sum()


@copying_score.wrong(
    "in the denominator the eigenvalues stand with their signs, so the ratio is always 1."
)
def divided_by_itself(W_full_OV: FactoredMatrix) -> Tensor:
    eigenvalues = _eigenvalues(W_full_OV)
    return (eigenvalues.sum() / eigenvalues.sum()).real


@copying_score.wrong(
    "these are the entries on the diagonal of B A. They have the same sum as the eigenvalues, but "
    "not the same absolute values."
)
def diagonal_entries(W_full_OV: FactoredMatrix) -> Tensor:
    diagonal = (W_full_OV.B @ W_full_OV.A).diagonal()
    return diagonal.sum() / diagonal.abs().sum()


@copying_score.wrong(
    "this is still a complex number, though its imaginary part is next to nothing: take `.real`."
)
def still_complex(W_full_OV: FactoredMatrix) -> Tensor:
    eigenvalues = _eigenvalues(W_full_OV)
    return eigenvalues.sum() / eigenvalues.abs().sum()


# --- ablate_heads -----------------------------------------------------------------------------

ablate_heads = checks.exercise(
    "ablate_heads",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "In chapter 00 you silenced one head with a hook on z, [batch, pos, head, d_head]. What "
        "has to be different for a list of heads, in several layers?",
        "One hook for each layer is enough, if it knows its layer: hook.name tells. The mean of a "
        "head is over all sequences and positions, the first two axes; d_head stays.",
        'z[:, :, head] = z[:, :, head].mean((0, 1)) if mode == "mean" else 0.0',
    ],
    tolerance=Tolerance(atol=1e-3, rtol=1e-3),
)


@ablate_heads.cases
def _ablate_cases() -> Iterator[Case]:
    model, square = random_model(), random_model(3, 3, seed=5)
    tokens = random_tokens(4, 6, seed=1)
    yield Case("one head of the last layer set to zero", model, tokens, [(2, 3)], "zero")
    yield Case("one head of the last layer set to its mean", model, tokens, [(2, 1)], "mean")
    yield Case("two heads of one layer", model, random_tokens(3, 7, seed=2), [(1, 0), (1, 2)],
               "mean")  # fmt: skip
    yield Case("heads in three layers", model, tokens, [(2, 0), (0, 3), (1, 1)], "zero")
    yield Case("heads in three layers", model, tokens, [(0, 1), (1, 3), (2, 2)], "mean")
    yield Case("as many heads as layers and sequences", square, random_tokens(3, 3, seed=3),
               [(0, 2), (1, 0)], "zero")  # fmt: skip
    yield Case("no heads at all", model, tokens, [], "zero")


@ablate_heads.oracle
def _ablate_oracle(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, mode)


Mean = Callable[[Tensor], Tensor]


def _overall(z: Tensor) -> Tensor:
    """Mean of z [batch, pos, d_head] over sequences and positions."""
    return z.mean((0, 1))


def _by_position(z: Tensor) -> Tensor:
    return z.mean(0)


def _replaced(
    model: Any, tokens: Tensor, heads: Heads, mode: str, mean: Mean = _overall, clean: bool = False
) -> Tensor:
    """Ablation without hooks on the way: layer by layer, from the weights.

    clean: means are those of the untouched run, instead of this one's.
    """
    _, cache = model.run_with_cache(tokens)
    resid, positions = cache["embed"], model.W_pos[: tokens.shape[1]]
    for layer, block in enumerate(model.blocks):
        z, untouched = _gathered(block, resid, positions), cache["z", layer]
        for head in (head for other, head in heads if other == layer):
            source = untouched if clean else z
            new = torch.tensor(0.0) if mode == "zero" else mean(source[:, :, head].clone())
            z[:, :, head] = new
        resid = resid + torch.einsum("bphd,hdm->bpm", z, block.attn.W_O)
    return resid @ model.W_U


def _gathered(block: Any, resid: Tensor, positions: Tensor) -> Tensor:
    """z [batch, pos, head, d_head] of an attention-only block without norm."""
    attn = block.attn
    q, k = (torch.einsum("bpm,hmd->bphd", resid + positions, W) for W in (attn.W_Q, attn.W_K))
    v = torch.einsum("bpm,hmd->bphd", resid, attn.W_V)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / attn.cfg.attn_scale
    future = torch.ones(scores.shape[-2:]).triu(1).bool()
    return torch.einsum("bhqk,bkhd->bqhd", scores.masked_fill(future, -torch.inf).softmax(-1), v)


@ablate_heads.observe
def _ablation_meant(output: Tensor, model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    """Means by position, and means of the untouched run, are ablations as good as the docstring's:
    who gives one of them is taken to have given the other."""
    if mode == "mean":
        for mean, clean in product((_overall, _by_position), (False, True)):
            other = _replaced(model, tokens, heads, mode, mean, clean)
            if same(output, other, ablate_heads.tolerance):
                return _replaced(model, tokens, heads, mode)
    return output


def _hooked(model: Any, tokens: Tensor, edits: list[tuple[str, Callable]]) -> Tensor:
    return model.run_with_hooks(tokens, fwd_hooks=edits)


@ablate_heads.wrong("nothing was changed: these are the logits of the whole model.")
def without_effect(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return model(tokens)


@ablate_heads.wrong("the heads are set to zero whatever `mode` says.")
def always_zero(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, "zero")


@ablate_heads.wrong("the heads are set to their mean whatever `mode` says.")
def always_mean(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, "mean")


@ablate_heads.wrong(
    "the mean is over d_head, the last axis. It should be one vector of d_head numbers: average "
    "over sequences and positions, the first two axes."
)
def mean_over_d_head(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, mode, lambda z: z.mean(-1, keepdim=True))


@ablate_heads.wrong(
    "each sequence keeps its own mean over positions, and with it most of what it knows. Average "
    "over the sequences as well."
)
def mean_within_sequence(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, mode, lambda z: z.mean(1, keepdim=True))


@ablate_heads.wrong("one number stands for the whole head: the mean is a vector of d_head numbers.")
def one_number(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, mode, lambda z: z.mean())


@ablate_heads.wrong("the pairs are (layer, head); you read them as (head, layer).")
def head_as_layer(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    return _replaced(model, tokens, [(j % n_layers, i % n_heads) for i, j in heads], mode)


@ablate_heads.wrong("whole layers are ablated: pick the heads, on axis 2 of z.")
def whole_layers(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    layers = {layer for layer, _ in heads}
    every = [(layer, head) for layer in layers for head in range(model.cfg.n_heads)]
    return _replaced(model, tokens, every, mode)


@ablate_heads.wrong(
    "positions are ablated instead of heads: z is [batch, pos, head, d_head], heads are axis 2."
)
def positions_ablated(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    def edit(head: int) -> Callable:
        def hook(z: Tensor, hook: Any) -> Tensor:
            z[:, head] = 0.0 if mode == "zero" else z[:, head].mean((0, 1))
            return z

        return hook

    return _hooked(model, tokens, [(f"blocks.{i}.attn.hook_z", edit(j)) for i, j in heads])


@ablate_heads.wrong("the heads are ablated at the last position only: all positions are meant.")
def last_position_only(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    def edit(head: int) -> Callable:
        def hook(z: Tensor, hook: Any) -> Tensor:
            z[:, -1, head] = 0.0 if mode == "zero" else z[:, :, head].mean((0, 1))
            return z

        return hook

    return _hooked(model, tokens, [(f"blocks.{i}.attn.hook_z", edit(j)) for i, j in heads])


@ablate_heads.wrong("only the first head of the list is ablated.")
def first_head_only(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads[:1], mode)


@ablate_heads.wrong(
    "every hook uses the last head of the list: a function made in a loop sees the loop's variable "
    "as it is when it runs. Give it the value as a default argument, or use one function that "
    "knows its layer."
)
def late_binding(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, [(layer, heads[-1][1]) for layer, _ in heads], mode)


@ablate_heads.wrong("these are probabilities: return the logits as they come, without a softmax.")
def probabilities(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, mode).softmax(-1)


@ablate_heads.wrong(
    "the hook stayed on the model after the run, so every later run would be changed as well. Use "
    "run_with_hooks, which takes it off again."
)
def hooks_left_behind(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    for layer, head in heads:

        def hook(z: Tensor, hook: Any, head: int = head) -> Tensor:
            z[:, :, head] = 0.0 if mode == "zero" else z[:, :, head].mean((0, 1))
            return z

        model.add_hook(f"blocks.{layer}.attn.hook_z", hook)
    return model(tokens)


# --- in_context_learning_score ----------------------------------------------------------------

in_context_learning_score = checks.exercise(
    "in_context_learning_score",
    difficulty=1,
    importance=3,
    minutes=5,
    hints=[
        "If a model gets better with more context, is its loss late in the sequence larger or "
        "smaller than early? Which sign should the score have then?",
        "loss[..., i] is about token i + 1. So where is the loss of token `late`? Subtract the "
        "early one from it, and average over the sequences last.",
    ],
)


def _steps(*levels: tuple[int, float], length: int) -> Tensor:
    """A loss that falls in steps: (position from which, level)."""
    loss = torch.zeros(length)
    for start, level in levels:
        loss[start:] = level
    return loss


@in_context_learning_score.cases
def _context_cases() -> Iterator[Case]:
    """Losses are level around the two tokens, so that it does not matter whether tokens are
    counted from 0 or from 1; the literature does both."""
    falls = _steps((0, 4.0), (20, 3.0), (80, 2.5), (400, 2.0), (560, 1.0), length=600)
    yield Case("a loss of 3.0 around token 50 and of 2.0 around token 500", falls)
    several = torch.stack([falls, 2 * falls, falls + 1, falls.flip(0)])
    yield Case("four sequences", several, early=100, late=500)
    bumpy = normal(3, 12, seed=1).repeat_interleave(5, dim=1)
    yield Case("other tokens than usual", bumpy, early=13, late=38)
    yield Case("an early token after the late one", bumpy, early=48, late=8)
    axes = normal(2, 5, 9, seed=2).repeat_interleave(5, dim=-1)
    yield Case("losses of two models on five sequences", axes, early=7, late=33)


@in_context_learning_score.oracle
def _context_oracle(loss: Tensor, early: int = 50, late: int = 500) -> float:
    rows = loss.reshape(-1, loss.shape[-1]).tolist()
    return sum(row[late - 1] - row[early - 1] for row in rows) / len(rows)


@in_context_learning_score.observe
def _averaged(output: Any, loss: Tensor, early: int = 50, late: int = 500) -> Any:
    """One score for each sequence is as good: their mean is compared."""
    if isinstance(output, Tensor) and output.ndim and output.shape == loss.shape[:-1]:
        return output.mean()
    return output


@in_context_learning_score.wrong(
    "the sign is turned: the score is late minus early, so that a model that profits from its "
    "context has a negative one."
)
def early_minus_late(loss: Tensor, early: int = 50, late: int = 500) -> float:
    return -_context_oracle(loss, early, late)


@in_context_learning_score.wrong("this is the ratio of the two losses; the score is a difference.")
def ratio(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return (loss[..., late - 1] / loss[..., early - 1]).mean()


@in_context_learning_score.wrong(
    "you averaged over all tokens up to each place. The score compares two tokens, not two "
    "stretches."
)
def means_up_to(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return loss[..., :late].mean() - loss[..., :early].mean()


@in_context_learning_score.wrong(
    "50 and 500 are written into the function: use the arguments `early` and `late`."
)
def fixed_tokens(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    last = loss.shape[-1] - 1
    return (loss[..., min(499, last)] - loss[..., min(49, last)]).mean()


@in_context_learning_score.wrong(
    "this is the sum over the sequences: a larger batch would give a larger score. Take the mean."
)
def summed_over_sequences(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return (loss[..., late - 1] - loss[..., early - 1]).sum()


@in_context_learning_score.wrong("this is only the loss at the late token: subtract the early one.")
def late_alone(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return loss[..., late - 1].mean()


@in_context_learning_score.wrong("only the first sequence is used: average over all of them.")
def first_sequence(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    row = loss.reshape(-1, loss.shape[-1])[0]
    return row[late - 1] - row[early - 1]


@in_context_learning_score.wrong(
    "you averaged everything after the late token and everything before the early one. The score "
    "compares two tokens."
)
def means_outside(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return loss[..., late - 1 :].mean() - loss[..., :early].mean()


@in_context_learning_score.wrong(
    "you took the size of each change: a sequence whose loss rises must count against one whose "
    "loss falls. Leave abs() out."
)
def size_of_change(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return (loss[..., late - 1] - loss[..., early - 1]).abs().mean()


# --- smear_keys -------------------------------------------------------------------------------

smear_keys = checks.exercise(
    "smear_keys",
    difficulty=2,
    importance=3,
    minutes=10,
    hints=[
        "alpha is any number; sigmoid(alpha) lies between 0 and 1. What should the key be with "
        "sigmoid(alpha) = 1? And with 0?",
        "k is [batch, pos, head, d_head] and s belongs to a head: with the shape [head, 1] it "
        "multiplies each head's keys by its own number.",
        "k[:, 1:] are the keys that have one before them, and k[:, :-1] are those before.",
    ],
)


@smear_keys.cases
def _smear_cases() -> Iterator[Case]:
    count = torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1)
    yield Case("keys 1, 10, 100 and a share of 3/4 for each key itself",
               count, torch.tensor([math.log(3.0)]))  # fmt: skip
    yield Case("one head that keeps its keys and one that takes the ones before",
               normal(2, 4, 2, 3, seed=1), torch.tensor([40.0, -40.0]))  # fmt: skip
    yield Case("random numbers", normal(2, 5, 3, 4, seed=2), normal(3, seed=3))
    yield Case("as many heads as positions, numbers and sequences",
               normal(4, 4, 4, 4, seed=4), normal(4, seed=5))  # fmt: skip
    yield Case("a single position", normal(3, 1, 2, 5, seed=6), normal(2, seed=7))


@smear_keys.oracle
def _smear_oracle(k: Tensor, alpha: Tensor) -> Tensor:
    out = k.clone()
    for head in range(len(alpha)):
        s = 1 / (1 + math.exp(-float(alpha[head])))
        for j in range(1, k.shape[1]):
            out[:, j, head] = s * k[:, j, head] + (1 - s) * k[:, j - 1, head]
    return out


def _smeared(k: Tensor, s: Tensor, before: Tensor) -> Tensor:
    """s k + (1 - s) before, the first key as it was."""
    mixed = s * k + (1 - s) * before
    return torch.cat([k[:, :1], mixed[:, 1:]], dim=1)


def _before(k: Tensor) -> Tensor:
    return k.roll(1, dims=1)


@smear_keys.wrong(
    "the shares are exchanged: sigmoid(alpha) is the share of the key itself, the rest goes to the "
    "one before."
)
def shares_exchanged(k: Tensor, alpha: Tensor) -> Tensor:
    return _smear_oracle(k, -alpha)


@smear_keys.wrong(
    "each key is mixed with the one *after* it. A key may know its past: mix with k[:, :-1]."
)
def with_the_next(k: Tensor, alpha: Tensor) -> Tensor:
    s = alpha.sigmoid()[:, None]
    mixed = s * k[:, :-1] + (1 - s) * k[:, 1:]
    return torch.cat([mixed, k[:, -1:]], dim=1)


@smear_keys.wrong(
    "alpha itself is the share; it may be any number, and only sigmoid(alpha) lies between 0 and 1."
)
def no_sigmoid(k: Tensor, alpha: Tensor) -> Tensor:
    return _smeared(k, alpha[:, None], _before(k))


@smear_keys.wrong("the first key shrank: it has none before it and stays as it is.")
def first_key_shrinks(k: Tensor, alpha: Tensor) -> Tensor:
    before = torch.cat([torch.zeros_like(k[:, :1]), k[:, :-1]], dim=1)
    s = alpha.sigmoid()[:, None]
    return s * k + (1 - s) * before


@smear_keys.wrong(
    "`roll` goes round: the first key is mixed with the last, which lies in its future."
)
def rolled_round(k: Tensor, alpha: Tensor) -> Tensor:
    s = alpha.sigmoid()[:, None]
    return s * k + (1 - s) * _before(k)


@smear_keys.wrong(
    "the first key is missing: keep it as it is, so that there is one key a position."
)
def first_key_missing(k: Tensor, alpha: Tensor) -> Tensor:
    return _smear_oracle(k, alpha)[:, 1:]


@smear_keys.wrong(
    "alpha met d_head, the last axis. It is one number a head: give it the shape [head, 1]."
)
def alpha_on_d_head(k: Tensor, alpha: Tensor) -> Tensor:
    return _smeared(k, alpha.sigmoid(), _before(k))


@smear_keys.wrong(
    "you went through the positions in place, so each key was mixed with one already mixed. Take "
    "the keys before from the unchanged k."
)
def mixed_in_place(k: Tensor, alpha: Tensor) -> Tensor:
    out, s = k.clone(), alpha.sigmoid()[:, None]
    for j in range(1, k.shape[1]):
        out[:, j] = s * out[:, j] + (1 - s) * out[:, j - 1]
    return out


@smear_keys.wrong(
    "the key before is added whole: give it the share that is left, 1 - sigmoid(alpha)."
)
def added_whole(k: Tensor, alpha: Tensor) -> Tensor:
    s = alpha.sigmoid()[:, None]
    mixed = s * k[:, 1:] + k[:, :-1]
    return torch.cat([k[:, :1], mixed], dim=1)


@smear_keys.wrong(
    "you mixed neighbouring heads: positions are axis 1 of [batch, pos, head, d_head]."
)
def across_heads(k: Tensor, alpha: Tensor) -> Tensor:
    s = alpha.sigmoid()[:, None]
    mixed = s * k + (1 - s) * k.roll(1, dims=2)
    return torch.cat([k[:, :, :1], mixed[:, :, 1:]], dim=2)


# --- questions --------------------------------------------------------------------------------

checks.quiz(
    "what_is_moved",
    "(01) A head attends to some position. Which of its matrices decide what it then writes?",
    {
        "W_Q and W_K": "Those decide where it looks.",
        "W_V and W_O": "Their product W_OV reads at the source and writes at the destination.",
        "all four": "Once the pattern is fixed, W_Q and W_K have no more say.",
    },
    answer="W_V and W_O",
)

checks.quiz(
    "what_a_key_knows",
    "(02) You want a head to look at every position that stands after a q. What must a position's "
    "key know?",
    {
        "its own token": "Then the head can find q itself, not the position after it.",
        "the token before it": "The position after q is the one whose predecessor is q.",
        "its position": "Nobody knows beforehand at which positions a q will stand.",
    },
    answer="the token before it",
)

checks.quiz(
    "previous_token_writes",
    "(03) A previous-token head attends from position i to i - 1. What does it put into the "
    "residual stream at position i?",
    {
        "a prediction of token i + 1": "Bigram statistics are the business of the direct path from "
        "embedding to unembedding.",
        "which token stood at i - 1": "Later heads can then find position i by its predecessor.",
        "the number i - 1": "Values carry what the source knows, its token first of all.",
    },
    answer="which token stood at i - 1",
)

checks.prediction(
    "second_copy",
    "63 symbols, drawn at random, then the same again. What will the model's loss be like?",
    {
        "high throughout: random is random": "The first copy is unpredictable. The second is not, "
        "to one who looks back.",
        "low throughout": "Nobody can predict a random token that has not been seen yet.",
        "high in the first copy, low in the second": "Everything in the second copy has been seen "
        "once before.",
    },
    answer="high in the first copy, low in the second",
)

checks.prediction(
    "where_from_second_q",
    "BOS q x b q x b. If one head alone knew what comes after the second q, which earlier position "
    "would it attend to from there?",
    {
        "BOS": "BOS knows nothing about this sequence. Heads rest there when they are idle.",
        "the first q": "A head that looks there has found the match but not the answer: a "
        "duplicate-token head, which you will meet in chapter 06.",
        "the first x": "The token after the earlier q. What it says can be copied as it is.",
        "the first b": "That is one too far: b comes after x.",
    },
    answer="the first x",
)

checks.prediction(
    "which_layer",
    "In which layer of this two-layer model can a head do that?",
    {
        "layer 0": "Keys of layer 0 know their own token and position, and not the token before.",
        "layer 1": "Its keys can know what layer 0 wrote: the token before.",
        "either": "Ask what the keys of layer 0 know. The token before them is not among it.",
    },
    answer="layer 1",
)

checks.prediction(
    "copying_alone",
    "Is a high copying score enough to call a head an induction head?",
    {
        "yes": "The score is about W_OV alone: what is written if something is attended to.",
        "no, it does not say where the head looks": "Half of an induction head is its pattern.",
    },
    answer="no, it does not say where the head looks",
)

checks.prediction(
    "who_carries",
    "Now one head at a time. Whose absence alone will ruin the second copy?",
    {
        "the induction head": "It finds and copies, but only where the head below left word.",
        "the previous-token head below it": "Without it the induction head finds nothing. But "
        "without the induction head nobody reads what it wrote.",
        "each of those two": "The circuit is a chain: either link breaks it.",
        "every head, a little": "You have seen that removing others of the layer costs next to "
        "nothing.",
    },
    answer="each of those two",
)

checks.prediction(
    "one_layer",
    "Two models of one layer are trained on the same data, one of them with smeared keys. Which "
    "will learn to predict second copies well?",
    {
        "neither: it takes two layers": "It took two layers because keys did not know the token "
        "before them. Smearing tells them.",
        "only the one with smeared keys": "Its keys know the token before without a head below.",
        "both": "Without smearing, a key of the first layer knows its own token only.",
    },
    answer="only the one with smeared keys",
)

checks.prediction(
    "cat_sat",
    "'The cat sat on the mat. The cat': what will the language model say next?",
    {" sat": "", " was": "", "something else": ""},
)

checks.prediction(
    "how_deep",
    "Where in a language model of many layers will its induction heads be?",
    {
        "in layer 1, as in the small model": "",
        "in the first third": "",
        "around the middle": "",
        "in the last third": "",
    },
)

checks.explanation(
    "why_two_layers",
    "Why must an induction head sit above another head?",
    "Its key has to say which token stood before, and in the first layer a key knows only its own "
    "token and position; another head must have written it there.",
)

checks.explanation(
    "zero_or_mean",
    "Why does replacing a head by zero not measure the same as replacing it by its mean?",
    "The mean leaves what the head always says and takes away only what it says about this input; "
    "zero takes both, and puts later layers in front of something they have never seen.",
)

checks.explanation(
    "what_would_convince",
    "Somebody tells you that head 4.3 of some model is an induction head. What would you want to "
    "see?",
    "Its attention on repeated random tokens, what its OV circuit writes, and that second copies "
    "are predicted worse without it than without other heads of its layer.",
)
