"""Exercise `repeated_tokens`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c04_induction_heads.shared import led
from circuits_course.checks.slips import slip

repeated_tokens = Exercise(
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
    yield Case("the last of 7 tokens being BOS, many draws", 40, 25, 7, 6, 5)
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
def runs_forwards(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    first, second = output[:, 1 : 1 + period], output[:, 1 + period :]
    if (first != second).any() and (first == second.flip(1)).all():
        return f"the second copy runs backwards: {first[0].tolist()} and then {second[0].tolist()}"
    return None


@repeated_tokens.prop
def begins_where_the_first_does(
    output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int
):
    first, second = output[:, 1 : 1 + period], output[:, 1 + period :]
    turns = [by for by in range(1, period) if (first.roll(by, 1) == second).all()]
    if turns and (first != second).any():
        return f"the second copy is the first turned by {turns[0]}: {output[0, 1:].tolist()}"
    return None


@repeated_tokens.prop
def keeps_the_order(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    first, second = output[:, 1 : 1 + period], output[:, 1 + period :]
    if (first != second).any() and (first.sort(-1).values == second.sort(-1).values).all():
        return f"the second copy has the first one's tokens in another order: {output[0].tolist()}"
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


@repeated_tokens.prop
def rows_are_drawn_anew(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    contents = output[:, 1 : 1 + period].sort(-1).values
    if batch > 1 and period > 2 and (contents == contents[:1]).all():
        return "every row holds the same tokens, in another order"
    return None


@repeated_tokens.prop
def neighbours_are_independent(
    output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int
):
    """Of tokens drawn one by one, one in d_vocab or so equals the one before."""
    if batch * period < 100 * d_vocab:
        return None
    copy = output[:, 1 : 1 + period]
    equal, wanted = float((copy[:, 1:] == copy[:, :-1]).float().mean()), 1 / (d_vocab - 1)
    if 0.5 * wanted < equal < 1.6 * wanted:
        return None
    how = "as many as" if equal > wanted else "no more than"
    return (
        f"{how} {equal:.0%} of the tokens of a copy equal the one before; of {d_vocab - 1} tokens "
        f"drawn anew each time {wanted:.0%} would"
    )


@repeated_tokens.prop
def reaches_far(output: Tensor, batch: int, period: int, d_vocab: int, bos: int, seed: int):
    drawn = output[:, 1:]
    if batch * period > 20 and drawn.max() < 0.7 * (d_vocab - 1):
        return f"of {d_vocab} tokens only those up to {int(drawn.max())} were drawn"
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


def _repeated(batch: int, period: int, d_vocab: int, bos: int, seed: int | None) -> Tensor:
    copy = _draw(batch, period, d_vocab, bos, seed)
    return led(bos, copy, copy)


@repeated_tokens.wrong(
    "BOS is missing. Models are trained with a token that begins every sequence, and many heads "
    "rest their attention on it."
)
def without_bos(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    copy = _draw(batch, period, d_vocab, bos, seed)
    return torch.cat([copy, copy], dim=1)


@repeated_tokens.wrong("BOS stands before each copy. It begins the sequence, once.")
def bos_before_each_copy(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    copy = led(bos, _draw(batch, period, d_vocab, bos, seed))
    return torch.cat([copy, copy], dim=1)


@repeated_tokens.wrong(
    "`period` is the length of one copy, not of both: the whole is 1 + 2 * period tokens long."
)
def period_is_the_whole(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    copy = _draw(batch, period, d_vocab, bos, seed)
    return led(bos, copy, copy)[:, : 1 + period]


@repeated_tokens.wrong(
    "the second copy was drawn anew, so nothing is repeated. Draw once and use the draw twice."
)
def drawn_twice(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    both = _draw(batch, 2 * period, d_vocab, bos, seed)
    return led(bos, both[:, :period], both[:, period:])


@repeated_tokens.wrong(
    "each token is doubled on the spot (`repeat_interleave`: q q x x). The copy as a whole comes "
    "twice: q x q x."
)
def doubled_in_place(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    return led(bos, _draw(batch, period, d_vocab, bos, seed).repeat_interleave(2, dim=1))


@repeated_tokens.wrong(
    "every row is the same draw: draw [batch, period] numbers, not [period] for all rows."
)
def one_draw_for_all(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    copy = _draw(1, period, d_vocab, bos, seed).expand(batch, period)
    return led(bos, copy, copy)


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
    return led(bos, copy, copy.flip(1))


@repeated_tokens.wrong(
    "token 0 is never drawn. It is a token like any other unless it is `bos`, which each model has "
    "at another place."
)
def zero_never_drawn(batch: int, period: int, d_vocab: int, bos: int, seed: int) -> Tensor:
    copy = _draw(batch, period, d_vocab, 0, seed)
    return led(bos, copy, copy)


slip(
    repeated_tokens,
    "copy_turned",
    "the second copy begins at another place than the first. Repeat the same row.",
    ("[start, copy, copy]", "[start, copy, copy.roll(1, 1)]"),
)


slip(
    repeated_tokens,
    "rotations_of_one_row",
    "the rows are rotations of one draw. Draw every row anew, or the model sees the same "
    "neighbours in each.",
    (
        "start = torch",
        "copy = torch.stack([copy[0].roll(i) for i in range(batch)])\n    start = torch",
    ),
)


slip(
    repeated_tokens,
    "part_of_the_vocabulary",
    "only part of the vocabulary is drawn from. Every token but bos is as likely as any other.",
    ("d_vocab - 1, (", "min(d_vocab - 1, 20), ("),
)


slip(
    repeated_tokens,
    "copy_shuffled",
    "the second copy was put into another order. The very same row comes again.",
    (
        "return torch.cat([start, copy, copy], dim=1)",
        "order = torch.randperm(period, generator=generator)\n"
        "    return torch.cat([start, copy, copy[:, order]], dim=1)",
    ),
)


slip(
    repeated_tokens,
    "drawn_without_replacement",
    "no token comes twice until all have come. Draw each anew: torch.randint, not randperm.",
    (
        "copy = torch.randint(0, d_vocab - 1, (batch, period), generator=generator)",
        "rounds = 1 + period // (d_vocab - 1)\n"
        "    orders = [torch.randperm(d_vocab - 1, generator=generator) for _ in range(batch "
        "* rounds)]\n"
        "    copy = torch.cat(orders).view(batch, -1)[:, :period]",
    ),
)


slip(
    repeated_tokens,
    "sorted_rows",
    "the tokens of a copy are sorted. They should come in the order in which they were drawn.",
    (
        "start = torch",
        "copy = copy.sort(-1).values\n    start = torch",
    ),
)
