"""Chapter 02, Attention as computation: heads written by hand, graded by what they do.

Answers are weights. None is compared with the reference's: each is put into a model and described
by where it looks and what it writes on random sequences (see `behaviour`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.behaviour import (
    ENOUGH,
    Run,
    bases,
    bos_where_none,
    earlier,
    mass,
    misses,
    miswrites,
    other_basis,
    percent,
    run,
    sequences,
    shares,
    strays,
    summary,
    unusable,
)
from circuits_course.checks.inputs import normal
from circuits_course.circuits.basis import Basis, HeadWeights, kind, small_basis

checks = ChapterChecks("02_attention_as_computation")
BEHAVIOUR = Tolerance(atol=0.06, rtol=0.0)  # two heads that agree to this do the same
GAP = 12.0  # a score that leaves nothing for anybody else


def _position_head(basis: Basis, back: int, scale: float = 1.0) -> HeadWeights:
    """Looks `back` positions back and copies: the ground that many wrong answers stand on."""
    W_K = basis.position.T
    W_Q = torch.zeros_like(W_K)
    for q in range(max(back, 0), basis.n_ctx + min(back, 0)):
        W_Q[:, q - back] = basis.position[q]
    sharp = scale * GAP * math.sqrt(basis.n_ctx)
    return HeadWeights(sharp * W_Q, W_K, basis.token.T, basis.out)


def _single(vector: Tensor) -> Tensor:
    """A direction as a matrix [d_model, 1]: a head with d_head 1 reads it."""
    return vector[:, None]


# --- read_feature -----------------------------------------------------------------------------

read_feature = checks.exercise(
    "read_feature",
    difficulty=1,
    importance=4,
    minutes=5,
    hints=[
        "A residual vector is a sum of directions, each times a number. Which operation with one "
        "direction makes all the others vanish, given that they are at right angles to it?",
        "The dot product with the direction: its own part gives the number, every other part 0. "
        "One dot product for each position of each sequence.",
        "resid @ direction, or an einsum that sums over d_model and keeps batch and pos.",
    ],
)


@read_feature.cases
def _read_cases() -> Iterator[Case]:
    basis, tokens = small_basis(), torch.tensor([[0, 1, 8]])
    yield Case("BOS a 3, whose 'value' is 0, 0, 3", basis.W_E[tokens], basis.direction("value"))
    rotated = other_basis()
    yield Case("random symbols in a rotated basis", rotated.W_E[sequences(rotated, batch=3)],
               rotated.direction("height"))  # fmt: skip
    direction = normal(7, seed=2)
    yield Case("random vectors", normal(2, 5, 7), direction / direction.norm())


@read_feature.oracle
def _read_oracle(resid: Tensor, direction: Tensor) -> Tensor:
    rows = [
        [sum(float(x) * float(d) for x, d in zip(vector, direction, strict=True)) for vector in row]
        for row in resid
    ]
    return torch.tensor(rows)


@read_feature.wrong(
    "you multiplied entry by entry and stopped. The amount is one number per position: sum the "
    "products over d_model."
)
def elementwise(resid: Tensor, direction: Tensor) -> Tensor:
    return resid * direction


@read_feature.wrong(
    "this is the part of the vector that lies along the direction, still a vector. Asked for is "
    "the number in front of it."
)
def projection(resid: Tensor, direction: Tensor) -> Tensor:
    return (resid @ direction)[..., None] * direction


@read_feature.wrong(
    "you divided by the length of the residual vector (a cosine). How much of the feature is there "
    "must not depend on what else is written in the same vector."
)
def cosine(resid: Tensor, direction: Tensor) -> Tensor:
    return torch.cosine_similarity(resid, direction, dim=-1)


@read_feature.wrong(
    "you read one coordinate. A direction is in general a mixture of coordinates; in a rotated "
    "basis no coordinate is the feature."
)
def one_coordinate(resid: Tensor, direction: Tensor) -> Tensor:
    return resid[..., int(direction.abs().argmax())]


@read_feature.wrong("you summed everything that is written there, whatever its direction.")
def everything(resid: Tensor, direction: Tensor) -> Tensor:
    return resid.sum(-1)


@read_feature.wrong(
    "you averaged over d_model instead of summing: a dot product is the sum of the products."
)
def mean_of_products(resid: Tensor, direction: Tensor) -> Tensor:
    return (resid * direction).mean(-1)


# --- sharpness --------------------------------------------------------------------------------

sharpness = checks.exercise(
    "sharpness",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "One key has the score s, each of the other n_keys - 1 has the score 0. Write the softmax "
        "of the first key with exp(s) and exp(0) = 1.",
        "share = exp(s) / (exp(s) + n_keys - 1). Solve for exp(s): how many times larger than the "
        "rest together must it be?",
        "exp(s) = share / (1 - share) * (n_keys - 1), so s is the log of that: math.log(...).",
    ],
)


@sharpness.cases
def _sharpness_cases() -> Iterator[Case]:
    yield Case("2 keys that should share evenly", 2, 0.5)
    yield Case("3 keys, one of which should get 0.9", 3, 0.9)
    yield Case("64 keys, one of which should get 0.99", 64, 0.99)
    yield Case("10 keys, one of which should get less than its even part", 10, 0.02)


@sharpness.oracle
def _sharpness_oracle(n_keys: int, share: float) -> float:
    """By halving an interval until the softmax gives the share."""
    low, high = -50.0, 50.0
    for _ in range(100):
        middle = (low + high) / 2
        scores = torch.zeros(n_keys, dtype=torch.float64)
        scores[0] = middle
        low, high = (middle, high) if scores.softmax(0)[0] < share else (low, middle)
    return round(low, 9) + 0.0  # + 0.0: not -0.0


@sharpness.wrong(
    "the others are missing. With n_keys - 1 keys at score 0, their part of the sum is n_keys - 1, "
    "not 1: the longer the sequence, the sharper a head has to be."
)
def only_one_other(n_keys: int, share: float) -> float:
    return math.log(share / (1 - share))


@sharpness.wrong("one key too many: besides the one that should win there are n_keys - 1.")
def counts_itself_too(n_keys: int, share: float) -> float:
    return math.log(share / (1 - share) * n_keys)


@sharpness.wrong(
    "you compared the key with the whole sum instead of with the rest of it: the odds are share / "
    "(1 - share)."
)
def share_for_odds(n_keys: int, share: float) -> float:
    return math.log(share * (n_keys - 1))


@sharpness.wrong(
    "these are the odds themselves. The softmax takes the exponential, so the score is their log."
)
def no_logarithm(n_keys: int, share: float) -> float:
    return share / (1 - share) * (n_keys - 1)


@sharpness.wrong("the logarithm is to base 10; the softmax uses e: math.log.")
def common_logarithm(n_keys: int, share: float) -> float:
    return math.log10(share / (1 - share) * (n_keys - 1))


@sharpness.wrong("the sign is turned: a score that wins is positive.")
def sign_turned(n_keys: int, share: float) -> float:
    return -math.log(share / (1 - share) * (n_keys - 1))


@sharpness.wrong(
    "you divided by the number of others. They add to what the key competes with, so the score "
    "must grow with them."
)
def divided_by_others(n_keys: int, share: float) -> float:
    return math.log(share / (1 - share) / (n_keys - 1))


# --- route ------------------------------------------------------------------------------------

route = checks.exercise(
    "route",
    difficulty=2,
    importance=5,
    minutes=12,
    tolerance=BEHAVIOUR,
    hints=[
        "Each of the d_head dimensions stands for one position that can be looked at. A key at "
        "position k lights up dimension k. Which dimension must a query at position q light up?",
        "The query wants the key at q - offset, so it lights up dimension q - offset. Column d of "
        "W_Q is the direction that lights up dimension d.",
        "W_Q[:, q - offset] = basis.position[q]",
    ],
)


@route.cases
def _route_cases() -> Iterator[Case]:
    for name, basis in bases():
        for offset in (2, 1):
            yield Case(f"{name}, offset {offset}", basis, offset)
    yield Case("the small basis, offset 0", small_basis(), 0)
    yield Case("a rotated basis with other symbols, offset 5", other_basis(4), 5)


def _offset_keys(basis: Basis, offset: int) -> Tensor:
    """Where each query should look: [1, q, k]."""
    keys = torch.zeros(1, basis.n_ctx, basis.n_ctx, dtype=torch.bool)
    for q in range(offset, basis.n_ctx):
        keys[0, q, q - offset] = True
    return keys


def _copied(basis: Basis, tokens: Tensor, offset: int) -> Tensor:
    """The symbol `offset` back as shares along `out`; rows of 0 where that is BOS or nothing."""
    wanted = torch.zeros(*tokens.shape, basis.d_vocab)
    for b, row in enumerate(tokens.tolist()):
        for q in range(offset + 1, len(row)):
            wanted[b, q, row[q - offset]] = 1.0
    return wanted


@route.prop
def _route_fits(head: Any, basis: Basis, offset: int) -> str | None:
    return unusable(basis, head)


@route.prop
def _route_looks(head: HeadWeights, basis: Basis, offset: int) -> str | None:
    ran = run(basis, head)
    keys = _offset_keys(basis, offset).expand_as(ran.patterns[0])
    return misses(ran.patterns[0], keys, f"the position {offset} back")


@route.prop
def _route_copies(head: HeadWeights, basis: Basis, offset: int) -> str | None:
    ran = run(basis, head)
    write = ran.writes[0]
    return strays(basis, write[:, offset + 1 :], "out") or miswrites(
        basis, ran.tokens, write, _copied(basis, ran.tokens, offset)
    )


@route.observe
def _route_seen(head: HeadWeights, basis: Basis, offset: int) -> Tensor:
    ran = run(basis, head)
    graded = _copied(basis, ran.tokens, offset).sum(-1, keepdim=True)
    looked = ran.patterns[0] * (torch.arange(basis.n_ctx) >= offset)[:, None]
    written = shares(basis, ran.writes[0]) * graded
    return summary(basis, ran.writes[0][:, offset + 1 :], looked, written)


@route.wrong(
    "the offset is counted from the wrong side. The query wants the key at q - offset; at q + "
    "offset lies the future, which the mask hides, so that all visible keys score 0 alike. (The "
    "same happens with W_Q and W_K exchanged.)"
)
def wrong_side(basis: Basis, offset: int) -> HeadWeights:
    return _position_head(basis, -offset)


@route.wrong("one position too far: the key is at q - offset, position 0 being BOS.")
def one_too_far(basis: Basis, offset: int) -> HeadWeights:
    return _position_head(basis, offset + 1)


@route.wrong("one position short: the key is at q - offset.")
def one_short(basis: Basis, offset: int) -> HeadWeights:
    return _position_head(basis, max(offset - 1, 0))


@route.wrong(
    "query and key light up the same dimension for the same position, so that everybody looks at "
    "themselves. Shift one of the two by `offset`."
)
def no_shift(basis: Basis, offset: int) -> HeadWeights:
    return _position_head(basis, 0)


@route.wrong("`offset` is not used: the head always looks one back.")
def always_one(basis: Basis, offset: int) -> HeadWeights:
    return _position_head(basis, 1)


@route.wrong(
    "the right key has the best score, but the softmax stays soft. Scale W_Q up: by the score that "
    "`sharpness` gives, and by sqrt(d_head), which attention divides by."
)
def too_soft(basis: Basis, offset: int) -> HeadWeights:
    head = _position_head(basis, offset)
    return head._replace(W_Q=head.W_Q / head.W_Q.max() / basis.position.abs().max())


@route.wrong(
    "the scale leaves out sqrt(d_head). Attention divides every score by it, so W_Q needs it on "
    "top of what `sharpness` gives."
)
def square_root_forgotten(basis: Basis, offset: int) -> HeadWeights:
    gap = math.log(99 * (basis.n_ctx - 1))
    return _position_head(basis, offset, gap / GAP / math.sqrt(basis.n_ctx))


@route.wrong(
    "every query looks at the fixed position number `offset`. How far back is relative: the key "
    "depends on q."
)
def fixed_place(basis: Basis, offset: int) -> HeadWeights:
    W_K = _single(GAP * basis.position[offset])
    return HeadWeights(_single(basis.direction("one")), W_K, basis.token.T, basis.out)


@route.wrong(
    "the copy goes back into `token`, on top of the symbol that stands there. Write it along "
    "`out`: row t of W_O is where symbol t is written."
)
def writes_into_token(basis: Basis, offset: int) -> HeadWeights:
    return _position_head(basis, offset)._replace(W_O=basis.token)


@route.wrong(
    "the sign of W_V or W_O is turned: the head pushes the right symbol down instead of up."
)
def pushes_down(basis: Basis, offset: int) -> HeadWeights:
    return _position_head(basis, offset)._replace(W_O=-basis.out)


@route.wrong(
    "the values read positions, and there are none: positions are added to the input of queries "
    "and keys only. W_V has to read `token`."
)
def values_read_positions(basis: Basis, offset: int) -> HeadWeights:
    W_O = basis.out[torch.arange(basis.n_ctx) % basis.d_vocab]
    return _position_head(basis, offset)._replace(W_V=basis.position.T, W_O=W_O)


@route.wrong(
    "you took the directions for coordinates. That works only where the basis happens to lie along "
    "them; build the weights from basis.position, basis.token and basis.out."
)
def coordinates(basis: Basis, offset: int) -> HeadWeights:
    plain = Basis(basis.vocabulary, basis.n_ctx, basis.features)
    return _position_head(plain, offset)


# --- lookup -----------------------------------------------------------------------------------

lookup = checks.exercise(
    "lookup",
    difficulty=2,
    importance=4,
    minutes=8,
    tolerance=BEHAVIOUR,
    hints=[
        "Where must the head look, and which of your heads already looks there? What is left is "
        "what it writes.",
        "W_V = basis.token.T lights up dimension t for symbol t. Row t of W_O is what is then "
        "written. In `route` that was basis.out[t].",
        "Row t of W_O must be basis.out[table[t]]. Indexing with a tensor does all rows at once: "
        "basis.out[table].",
    ],
)


def _table(basis: Basis, seed: int | None = None) -> Tensor:
    """The next symbol of the vocabulary, or random ones (many to one); BOS stays BOS."""
    if seed is None:
        return torch.tensor([0, *range(2, basis.d_vocab), 1])
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(1, basis.d_vocab, (basis.d_vocab,), generator=generator)
    return table.index_fill(0, torch.tensor([0]), 0)


@lookup.cases
def _lookup_cases() -> Iterator[Case]:
    basis = small_basis()
    yield Case("a table that holds the next symbol of the alphabet", basis, _table(basis))
    for seed, (name, other) in enumerate(bases()):
        yield Case(f"{name} and a random table", other, _table(other, seed))


def _looked_up(basis: Basis, tokens: Tensor, table: Tensor) -> Tensor:
    wanted = torch.zeros(*tokens.shape, basis.d_vocab)
    for b, row in enumerate(tokens.tolist()):
        for q, token in enumerate(row[1:], start=1):
            wanted[b, q, int(table[token])] = 1.0
    return wanted


@lookup.prop
def _lookup_fits(head: Any, basis: Basis, table: Tensor) -> str | None:
    return unusable(basis, head)


@lookup.prop
def _lookup_writes(head: HeadWeights, basis: Basis, table: Tensor) -> str | None:
    ran = run(basis, head)
    write = ran.writes[0]
    complaint = strays(basis, write[:, 1:], "out")
    complaint = complaint or miswrites(
        basis, ran.tokens, write, _looked_up(basis, ran.tokens, table)
    )
    itself = ran.patterns[0].diagonal(dim1=-2, dim2=-1)[:, 1:].mean()
    return complaint and f"{complaint}. (It has {itself:.2f} of its attention on itself)"


@lookup.observe
def _lookup_seen(head: HeadWeights, basis: Basis, table: Tensor) -> Tensor:
    write = run(basis, head).writes[0][:, 1:]
    return summary(basis, write, shares(basis, write))


@lookup.wrong(
    "the table is used backwards: you wrote symbol t where table[t] stands. Row t of W_O belongs "
    "to the symbol that is read."
)
def backwards(basis: Basis, table: Tensor) -> HeadWeights:
    W_O = torch.zeros_like(basis.out).index_add(0, table, basis.out)
    return _position_head(basis, 0)._replace(W_O=W_O)


@lookup.wrong(
    "the table is right, but the head gathers from every position so far and writes a mixture. A "
    "lookup works on one symbol: attend to the position itself."
)
def attends_everywhere(basis: Basis, table: Tensor) -> HeadWeights:
    return _position_head(basis, 0, 0.0)._replace(W_O=basis.out[table])


@lookup.wrong("the head looks up the symbol one back, not the one that stands here: offset 0.")
def looks_up_previous(basis: Basis, table: Tensor) -> HeadWeights:
    return _position_head(basis, 1)._replace(W_O=basis.out[table])


@lookup.wrong("the table is not used: this head copies the symbol that stands here.")
def table_unused(basis: Basis, table: Tensor) -> HeadWeights:
    return _position_head(basis, 0)


@lookup.wrong(
    "the table is shifted by one. It counts BOS as entry 0, as basis.token and basis.out do: row t "
    "belongs to table[t]."
)
def table_shifted(basis: Basis, table: Tensor) -> HeadWeights:
    return _position_head(basis, 0)._replace(W_O=basis.out[table.roll(1)])


@lookup.wrong("the result is written into `token`, over the symbol that was read; use `out`.")
def over_the_token(basis: Basis, table: Tensor) -> HeadWeights:
    return _position_head(basis, 0)._replace(W_O=basis.token[table])


@lookup.wrong("the table is applied twice, once in W_V and once in W_O.")
def applied_twice(basis: Basis, table: Tensor) -> HeadWeights:
    return _position_head(basis, 0)._replace(W_O=basis.out[table[table]])


# --- aggregate --------------------------------------------------------------------------------

aggregate = checks.exercise(
    "aggregate",
    difficulty=3,
    importance=4,
    minutes=10,
    tolerance=Tolerance(atol=0.02, rtol=0.0),
    hints=[
        "With W_Q = 0 every score is 0, and the softmax gives every visible position the same "
        "weight: that is already a mean. What is still wrong with it?",
        "BOS is among the positions and counts as a 0. One query-key pair is enough to be rid of "
        "it: a query that is the same everywhere, and a key that only BOS has.",
        "The direction `one` is 1 at every position, basis.token[0] only at BOS. Give their "
        "product a large negative score; d_head is 1.",
    ],
)


@aggregate.cases
def _aggregate_cases() -> Iterator[Case]:
    yield Case("the small basis, feature 'vowel'", small_basis(), "vowel")
    yield Case("the small basis, feature 'value'", small_basis(), "value")
    yield Case("a rotated basis with other symbols, feature 'round'", other_basis(), "round")
    yield Case("another rotated basis, feature 'height'", other_basis(5), "height")


def _values(basis: Basis, feature: str, tokens: Tensor) -> Tensor:
    of_symbol = basis.features[feature]
    rows = [[of_symbol.get(basis.vocabulary[t], 0.0) for t in row] for row in tokens.tolist()]
    return torch.tensor(rows)


def _running_means(basis: Basis, feature: str) -> Tensor:
    values = _values(basis, feature, sequences(basis))
    means = [[sum(row[1 : p + 1]) / p for p in range(1, len(row))] for row in values.tolist()]
    return torch.tensor(means)


def _written_result(head: HeadWeights, basis: Basis) -> Tensor:
    return run(basis, head).writes[0][:, 1:] @ basis.direction("result")


@aggregate.prop
def _aggregate_fits(head: Any, basis: Basis, feature: str) -> str | None:
    return unusable(basis, head)


@aggregate.prop
def _aggregate_writes(head: HeadWeights, basis: Basis, feature: str) -> str | None:
    return strays(basis, run(basis, head).writes[0], "result")


@aggregate.prop
def _aggregate_means(head: HeadWeights, basis: Basis, feature: str) -> str | None:
    wanted, written = _running_means(basis, feature), _written_result(head, basis)
    error = (wanted - written).abs()
    off = error > 0.02
    if not off.any():
        return None
    b, q = divmod(int(error.argmax()), error.shape[1])
    values = _values(basis, feature, sequences(basis))[b, 1 : q + 2].tolist()
    listed = ", ".join(f"{value:g}" for value in values)
    scale = float((wanted * written).sum() / wanted.square().sum())
    off_by = (
        f". It is {scale:.2f} times the mean everywhere" if _scaled(wanted, written, scale) else ""
    )
    return (
        f"after symbols whose {feature!r} is {listed} the head writes {written[b, q]:.2f} into "
        f"'result'; expected {wanted[b, q]:.2f}. Off at {percent(off)} of the positions{off_by}"
    )


def _scaled(wanted: Tensor, written: Tensor, scale: float) -> bool:
    return abs(scale) > 0.01 and bool((scale * wanted - written).abs().max() < 0.02)


@aggregate.observe
def _aggregate_seen(head: HeadWeights, basis: Basis, feature: str) -> Tensor:
    return summary(basis, run(basis, head).writes[0][:, 1:], _written_result(head, basis))


def _mean_head(basis: Basis, feature: str, bos_score: float) -> HeadWeights:
    return HeadWeights(
        _single(bos_score * basis.direction("one")),
        _single(basis.token[0]),
        _single(basis.direction(feature)),
        basis.direction("result")[None],
    )


@aggregate.wrong(
    "BOS is counted as one more value of 0: at position p you divide by p + 1 instead of p. Give "
    "it a score so low that the softmax leaves it out."
)
def counts_bos(basis: Basis, feature: str) -> HeadWeights:
    return _mean_head(basis, feature, 0.0)


@aggregate.wrong(
    "the score that should keep BOS out is too small: a weight of exp(score) is left to it. Make "
    "the score more negative."
)
def bos_half_out(basis: Basis, feature: str) -> HeadWeights:
    return _mean_head(basis, feature, -1.0)


@aggregate.wrong("the sign is turned: BOS gets all the attention, and it has no feature.")
def only_bos(basis: Basis, feature: str) -> HeadWeights:
    return _mean_head(basis, feature, GAP)


@aggregate.wrong(
    "the head attends to its own position only. A mean wants even attention over all positions so "
    "far."
)
def only_itself(basis: Basis, feature: str) -> HeadWeights:
    head = _position_head(basis, 0)
    W_V, W_O = _mean_head(basis, feature, 0.0)[2:]
    return head._replace(W_V=W_V, W_O=W_O)


@aggregate.wrong(
    "the head attends only where the feature is on, so that the mean is taken over those alone. "
    "All positions count the same, the zeros too."
)
def only_where_on(basis: Basis, feature: str) -> HeadWeights:
    head = _mean_head(basis, feature, 0.0)
    return head._replace(
        W_Q=_single(GAP * basis.direction("one")), W_K=_single(basis.direction(feature))
    )


@aggregate.wrong(
    "the result is multiplied up. Attention weights sum to 1, so what a head gathers is already a "
    "mean; it cannot sum."
)
def made_a_sum(basis: Basis, feature: str) -> HeadWeights:
    head = _mean_head(basis, feature, -GAP)
    return head._replace(W_O=basis.n_ctx * head.W_O)


@aggregate.wrong("the mean is written back into the feature that is read; it goes to `result`.")
def into_the_feature(basis: Basis, feature: str) -> HeadWeights:
    return _mean_head(basis, feature, -GAP)._replace(W_O=basis.direction(feature)[None])


@aggregate.wrong("`feature` is not used: the head averages the first feature whichever is asked.")
def first_feature(basis: Basis, feature: str) -> HeadWeights:
    return _mean_head(basis, next(iter(basis.features)), -GAP)


# --- select -----------------------------------------------------------------------------------

select = checks.exercise(
    "select",
    difficulty=3,
    importance=5,
    minutes=12,
    tolerance=BEHAVIOUR,
    hints=[
        "Whom the head attends to does not depend on who asks. So the query can be the same at "
        "every position, and d_head 1 is enough.",
        "There are three kinds of keys: the feature is on, BOS, everything else. Put them on three "
        "steps, each a `sharpness` above the next. Which step is BOS on?",
        "W_Q reads `one`; W_K is 2 * gap * (the feature's direction) + gap * (BOS's token "
        "direction), as a column.",
    ],
)


@select.cases
def _select_cases() -> Iterator[Case]:
    yield Case("the small basis, feature 'vowel'", small_basis(), "vowel")
    yield Case("the small basis, feature 'digit'", small_basis(), "digit")
    yield Case("a rotated basis with other symbols, feature 'round'", other_basis(), "round")
    yield Case("another rotated basis, feature 'late'", other_basis(5), "late")


def _on_keys(basis: Basis, feature: str, tokens: Tensor) -> Tensor:
    on = _values(basis, feature, tokens) > 0
    return earlier(basis, on[:, None, :].expand(-1, tokens.shape[1], -1))


@select.prop
def _select_fits(head: Any, basis: Basis, feature: str) -> str | None:
    return unusable(basis, head)


@select.prop
def _select_looks(head: HeadWeights, basis: Basis, feature: str) -> str | None:
    ran = run(basis, head)
    keys = _on_keys(basis, feature, ran.tokens)
    return misses(ran.patterns[0], keys, f"positions with {feature!r} on")


@select.prop
def _select_rests(head: HeadWeights, basis: Basis, feature: str) -> str | None:
    ran = run(basis, head)
    rest = bos_where_none(_on_keys(basis, feature, ran.tokens))
    complaint = misses(ran.patterns[0], rest, "BOS")
    return complaint and f"where {feature!r} was on nowhere so far, {complaint}"


def _gathered(basis: Basis, ran: Run) -> Tensor:
    """The symbols that the head looks at, in the shares in which it does."""
    return ran.patterns[0] @ torch.eye(basis.d_vocab)[ran.tokens]


@select.prop
def _select_copies(head: HeadWeights, basis: Basis, feature: str) -> str | None:
    ran = run(basis, head)
    wanted = _gathered(basis, ran) * _on_keys(basis, feature, ran.tokens).any(-1)[..., None]
    return strays(basis, ran.writes[0], "out") or miswrites(
        basis, ran.tokens, ran.writes[0], wanted
    )


@select.observe
def _select_seen(head: HeadWeights, basis: Basis, feature: str) -> Tensor:
    ran = run(basis, head)
    pattern, write = ran.patterns[0], ran.writes[0]
    keys = _on_keys(basis, feature, ran.tokens)
    astray = (_gathered(basis, ran) - shares(basis, write)).abs().sum(-1) * keys.any(-1)
    return summary(basis, write[:, 1:], mass(pattern, keys), pattern[:, 1:, 0], astray)


def _feature_head(basis: Basis, on: float, bos: float, feature: str) -> HeadWeights:
    key = on * basis.direction(feature) + bos * basis.token[0]
    return HeadWeights(_single(basis.direction("one")), _single(key), basis.token.T, basis.out)


@select.wrong(
    "where the feature was on nowhere so far, all keys score alike and the attention spreads over "
    "all of them: a softmax cannot attend to nothing. Give BOS a score between the two."
)
def no_place_to_rest(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, GAP, 0.0, feature)


@select.wrong(
    "BOS scores as high as a key with the feature and takes an equal part. It has to lie a step "
    "below."
)
def bos_takes_part(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, GAP, GAP, feature)


@select.wrong("BOS scores higher than the feature: the head always rests.")
def always_rests(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, GAP, 2 * GAP, feature)


@select.wrong("the sign is turned: the head avoids the positions where the feature is on.")
def avoids(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, -2 * GAP, -GAP, feature)


@select.wrong(
    "query and key are exchanged: the query reads the feature and every key offers `one`. All keys "
    "then score alike. What is looked for has to stand in the key."
)
def feature_in_query(basis: Basis, feature: str) -> HeadWeights:
    head = _feature_head(basis, 2 * GAP, GAP, feature)
    return head._replace(W_Q=head.W_K, W_K=head.W_Q)


@select.wrong(
    "the query reads the feature too, so that only positions that have it themselves look for it. "
    "Who asks should not matter: let the query read `one`."
)
def query_needs_it_too(basis: Basis, feature: str) -> HeadWeights:
    value, one, bos = basis.direction(feature), basis.direction("one"), basis.token[0]
    W_Q = math.sqrt(2) * torch.stack([2 * GAP * value, GAP * one], dim=1)
    return HeadWeights(W_Q, torch.stack([value, bos], dim=1), basis.token.T, basis.out)


@select.wrong(
    "the steps are too small: the softmax still leaves part of the attention to keys that should "
    "have none. Multiply by what `sharpness` gives."
)
def steps_too_small(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, 2.0, 1.0, feature)


@select.wrong(
    "the head looks at the right places and reads the wrong thing there: the feature itself. W_V "
    "has to read `token`."
)
def reads_the_feature(basis: Basis, feature: str) -> HeadWeights:
    W_V, W_O = _single(basis.direction(feature)), basis.out.sum(0, keepdim=True)
    return _feature_head(basis, 2 * GAP, GAP, feature)._replace(W_V=W_V, W_O=W_O)


@select.wrong("`feature` is not used: the head always selects by the same one.")
def fixed_feature(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, 2 * GAP, GAP, list(basis.features)[-1])


# --- duplicate --------------------------------------------------------------------------------

duplicate = checks.exercise(
    "duplicate",
    difficulty=4,
    importance=4,
    minutes=15,
    tolerance=BEHAVIOUR,
    hints=[
        "Scores add up over the dimensions of the head. Use one block of dimensions for each "
        "reason to look or not to look: the same symbol, the same position, BOS. torch.cat joins "
        "blocks.",
        "basis.token.T in both W_Q and W_K scores every copy of the symbol, the query's own "
        "position too. basis.position.T in both scores the own position alone: make that negative "
        "enough to undo the match.",
        "Scores: an earlier copy 2 * gap, the own position 2 * gap - 2 * gap = 0, BOS gap, the "
        "rest 0. Then W_V: something that is 1 on every symbol and 0 on BOS, written to `result`.",
    ],
)


@duplicate.cases
def _duplicate_cases() -> Iterator[Case]:
    for name, basis in [*bases(), ("another rotated basis", small_basis(3))]:
        yield Case(name, basis)


def _copies(basis: Basis, tokens: Tensor) -> Tensor:
    same = earlier(basis, tokens[:, :, None] == tokens[:, None, :])
    return same & ~torch.eye(tokens.shape[1], dtype=torch.bool)


@duplicate.prop
def _duplicate_fits(head: Any, basis: Basis) -> str | None:
    return unusable(basis, head)


@duplicate.prop
def _duplicate_looks(head: HeadWeights, basis: Basis) -> str | None:
    ran = run(basis, head)
    return misses(ran.patterns[0], _copies(basis, ran.tokens), "earlier copies of the symbol")


@duplicate.prop
def _duplicate_rests(head: HeadWeights, basis: Basis) -> str | None:
    ran = run(basis, head)
    complaint = misses(ran.patterns[0], bos_where_none(_copies(basis, ran.tokens)), "BOS")
    return complaint and f"where the symbol is new, {complaint}"


@duplicate.prop
def _duplicate_writes(head: HeadWeights, basis: Basis) -> str | None:
    ran = run(basis, head)
    found = _copies(basis, ran.tokens).any(-1)[:, 1:]
    result = _written_result(head, basis)
    off = (result - found.float()).abs() > 0.1
    if not off.any():
        return strays(basis, ran.writes[0][:, 1:], "result")
    new, seen = result[~found].mean(), result[found].mean()
    return (
        f"'result' is {seen:.2f} on average where the symbol stood before (expected 1) and "
        f"{new:.2f} where it is new (expected 0)"
    )


@duplicate.observe
def _duplicate_seen(head: HeadWeights, basis: Basis) -> Tensor:
    ran = run(basis, head)
    pattern, write = ran.patterns[0], ran.writes[0][:, 1:]
    itself = pattern.diagonal(dim1=-2, dim2=-1)[:, 1:]
    found = mass(pattern, _copies(basis, ran.tokens))
    return summary(basis, write, found, itself, pattern[:, 1:, 0], _written_result(head, basis))


def _duplicate_head(
    basis: Basis, match: float = 2.0, itself: float = -2.0, bos: float = 1.0, scale: float = 1.0
) -> HeadWeights:
    one, at_bos = _single(basis.direction("one")), _single(basis.token[0])
    W_Q = torch.cat([match * basis.token.T, itself * basis.position.T, bos * one], dim=1)
    W_K = torch.cat([basis.token.T, basis.position.T, at_bos], dim=1)
    sharp = scale * GAP * math.sqrt(W_Q.shape[1])
    return HeadWeights(sharp * W_Q, W_K, one - at_bos, basis.direction("result")[None])


@duplicate.wrong(
    "the head finds itself: the query's own position holds the same symbol. A second block of "
    "dimensions has to take that match back, by position."
)
def finds_itself(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis, itself=0.0)


@duplicate.wrong(
    "a new symbol has no earlier copy, and its attention spreads over everything. Give BOS a score "
    "between a match and no match."
)
def nowhere_to_rest(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis, bos=0.0)


@duplicate.wrong("BOS scores as high as a copy and takes part of the attention from it.")
def bos_as_good_as_a_copy(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis, bos=2.0)


@duplicate.wrong(
    "the own position is taken back only in part: its score, match minus penalty, is still as high "
    "as BOS's. Make the penalty as large as the match."
)
def penalty_too_small(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis, itself=-1.0)


@duplicate.wrong(
    "the head looks right but reads BOS as 1 too, so that `result` is 1 everywhere. W_V must be 0 "
    "on BOS: `one` minus BOS's token direction."
)
def bos_counts_as_found(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis)._replace(W_V=_single(basis.direction("one")))


@duplicate.wrong(
    "the head is too soft: the scale leaves out sqrt(d_head), and d_head is the width of all "
    "blocks together."
)
def duplicate_too_soft(basis: Basis) -> HeadWeights:
    width = 1 + basis.d_vocab + basis.n_ctx
    gap = math.log(99 * (basis.n_ctx - 1))
    return _duplicate_head(basis, scale=gap / GAP / math.sqrt(width))


@duplicate.wrong("the head copies the symbol into `out`; asked for is a 1 in `result`.")
def copies_the_symbol(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis)._replace(W_V=basis.token.T, W_O=basis.out)


@duplicate.wrong(
    "`result` is turned: it is 1 where the symbol is new. BOS, where a head without a match rests, "
    "has to give 0, the symbols 1."
)
def turned_round(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis)._replace(W_V=_single(basis.token[0]))


@duplicate.wrong("the head looks one back, whatever stands there: nothing compares symbols.")
def looks_one_back(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis)._replace(
        W_Q=_position_head(basis, 1).W_Q, W_K=_position_head(basis, 1).W_K
    )


# --- induction_circuit ------------------------------------------------------------------------

induction_circuit = checks.exercise(
    "induction_circuit",
    difficulty=4,
    importance=5,
    minutes=20,
    tolerance=BEHAVIOUR,
    hints=[
        "In BOS a b c a the last a wants to find b, because a stands before b. A key only shows "
        "what its own position holds. So what must be written at b before layer 1 looks?",
        "Layer 0: look one back and write the symbol found there along basis.previous. Layer 1: "
        "the query reads `token`, the key reads `previous`, the value reads `token`, and the write "
        "goes to `out`.",
        "For the rest on BOS add one dimension, as in `select` and `duplicate`: the query reads "
        "`one`, the key BOS's token direction, at half the score of a match. For the confidence, "
        "scale W_O: the output is a softmax over d_vocab symbols, so `sharpness` helps once more.",
    ],
)


@induction_circuit.cases
def _induction_cases() -> Iterator[Case]:
    for name, basis in [*bases(), ("another rotated basis", small_basis(3))]:
        yield Case(name, basis)


def _repeats(basis: Basis, batch: int = 8) -> Tensor:
    """Half random symbols, half two copies of symbols that all differ."""
    generator = torch.Generator().manual_seed(7)
    period = min(basis.d_vocab - 1, (basis.n_ctx - 1) // 2)
    order = torch.rand(batch, basis.d_vocab - 1, generator=generator).argsort(-1)[:, :period] + 1
    bos = torch.zeros(batch, 1, dtype=torch.int64)
    twice = torch.cat([bos, order, order, order], dim=1)[:, : basis.n_ctx]
    return torch.cat([twice, sequences(basis, seed=1, batch=batch)])


def _followers(basis: Basis, tokens: Tensor) -> Tensor:
    """Keys that stand right after an earlier copy of the query's symbol."""
    before = torch.zeros_like(tokens)
    before[:, 1:] = tokens[:, :-1]
    return earlier(basis, tokens[:, :, None] == before[:, None, :])


def _pair(basis: Basis, heads: Any) -> Run:
    return run(basis, *heads, draw=_repeats)


@induction_circuit.prop
def _pair_fits(heads: Any, basis: Basis) -> str | None:
    if not isinstance(heads, list | tuple) or len(heads) != 2 or isinstance(heads, HeadWeights):
        got = "one HeadWeights" if isinstance(heads, HeadWeights) else kind(heads)
        return f"expected a pair of HeadWeights, for layers 0 and 1; got {got}"
    first = unusable(basis, heads[0], "first head: ")
    return first or unusable(basis, heads[1], "second head: ")


@induction_circuit.prop
def _pair_matches(heads: Any, basis: Basis) -> str | None:
    ran = _pair(basis, heads)
    keys = _followers(basis, ran.tokens)
    complaint = misses(
        ran.patterns[1], keys, "the position that follows an earlier copy of its symbol"
    )
    return complaint and f"in layer 1, {complaint}"


@induction_circuit.prop
def _pair_rests(heads: Any, basis: Basis) -> str | None:
    ran = _pair(basis, heads)
    complaint = misses(ran.patterns[1], bos_where_none(_followers(basis, ran.tokens)), "BOS")
    return complaint and f"in layer 1, where the symbol is new, {complaint}"


@induction_circuit.prop
def _pair_predicts(heads: Any, basis: Basis) -> str | None:
    ran = _pair(basis, heads)
    right, top = _predictions(basis, ran)
    likeliest = right == ran.logits.softmax(-1).amax(-1)
    named = right[right.isfinite()]
    if (named < ENOUGH).any():
        return (
            "where the symbol stood once before, the model gives the symbol that followed a "
            f"probability of {named.mean():.2f} on average, {named.min():.2f} at worst; "
            f"expected at least {ENOUGH}. It is the most likely one at "
            f"{percent(likeliest[right.isfinite()])} of these places"
        )
    if (top > 0.3).any():
        return (
            f"where the symbol is new the model should not commit itself; it gives some symbol a "
            f"probability of {top.max():.2f}"
        )
    return None


def _predictions(basis: Basis, ran: Run) -> tuple[Tensor, Tensor]:
    """Probability of what followed the one earlier copy (nan: none, or several); and the largest
    probability wherever the symbol is new (0 elsewhere)."""
    keys = _followers(basis, ran.tokens)
    probabilities = ran.logits.softmax(-1)
    followed = ran.tokens[:, None, :].expand_as(keys)
    target = torch.where(keys, followed, 0).sum(-1) * (keys.sum(-1) == 1)
    right = probabilities.gather(-1, target[..., None])[..., 0]
    new = ~keys.any(-1)
    return torch.where(target > 0, right, torch.nan), probabilities.amax(-1) * new


@induction_circuit.observe
def _pair_seen(heads: Any, basis: Basis) -> Tensor:
    ran = _pair(basis, heads)
    return summary(basis, ran.writes[0], *ran.patterns, ran.logits.softmax(-1))


def _first(basis: Basis, back: int = 1) -> HeadWeights:
    return _position_head(basis, back)._replace(W_O=basis.previous)


def _second(
    basis: Basis, query: str = "token", key: str = "previous", bos: float = 1.0, scale: float = 1.0
) -> HeadWeights:
    one, at_bos = _single(basis.direction("one")), _single(basis.token[0])
    W_Q = torch.cat([2 * basis.group(query).T, bos * one], dim=1)
    W_K = torch.cat([basis.group(key).T, at_bos], dim=1)
    sharp = scale * GAP * math.sqrt(W_Q.shape[1])
    return HeadWeights(sharp * W_Q, W_K, basis.token.T, 10 * basis.out)


Pair = tuple[HeadWeights, HeadWeights]


@induction_circuit.wrong(
    "layer 1 matches symbol with symbol and finds the earlier copy (and itself) instead of what "
    "came after it. Its keys have to read what layer 0 has written: `previous`."
)
def finds_the_copy(basis: Basis) -> Pair:
    return _first(basis), _second(basis, key="token")


@induction_circuit.wrong(
    "nothing is written along `previous`, so layer 1's keys have nothing to match and it always "
    "rests. Layer 0 has to write what it finds there; check its W_O."
)
def previous_never_written(basis: Basis) -> Pair:
    return _position_head(basis, 1), _second(basis)


@induction_circuit.wrong(
    "layer 0 looks two back, so that layer 1 finds the second position after the copy: one step "
    "too far."
)
def two_back(basis: Basis) -> Pair:
    return _first(basis, 2), _second(basis)


@induction_circuit.wrong(
    "layer 0 looks at its own position, so `previous` holds the same as `token`, and layer 1 finds "
    "the earlier copy, and itself, instead of what came after."
)
def previous_is_here(basis: Basis) -> Pair:
    return _first(basis, 0), _second(basis)


@induction_circuit.wrong(
    "the two heads are in the wrong order. Layer 0's head comes first in the pair: keys can only "
    "hold what an earlier layer has written."
)
def wrong_order(basis: Basis) -> Pair:
    return _second(basis), _first(basis)


@induction_circuit.wrong(
    "a new symbol finds no match and its attention spreads over everything before. Give it BOS to "
    "rest on, at half the score of a match."
)
def never_rests(basis: Basis) -> Pair:
    return _first(basis), _second(basis, bos=0.0)


@induction_circuit.wrong(
    "query and key of layer 1 are exchanged: the query asks for what stood before it, the key "
    "offers its own symbol. That finds where the previous symbol stood before."
)
def query_and_key_exchanged(basis: Basis) -> Pair:
    return _first(basis), _second(basis, query="previous", key="token")


@induction_circuit.wrong(
    "layer 1 looks at the right place and copies what layer 0 wrote there, the symbol before it: "
    "it predicts the current symbol again. Its W_V has to read `token`."
)
def copies_the_previous(basis: Basis) -> Pair:
    return _first(basis), _second(basis)._replace(W_V=basis.previous.T)


@induction_circuit.wrong(
    "the match is too soft: W_Q lacks the scale sqrt(d_head) or the `sharpness` of a match."
)
def soft_match(basis: Basis) -> Pair:
    return _first(basis), _second(basis, scale=1 / GAP)


@induction_circuit.wrong(
    "the right symbol comes out on top but hardly above the others: with W_O as it is, its logit "
    "is about 1. Scale W_O up."
)
def too_quiet(basis: Basis) -> Pair:
    return _first(basis), _second(basis)._replace(W_O=basis.out)


# --- match_matrix -----------------------------------------------------------------------------

match_matrix = checks.exercise(
    "match_matrix",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=[
        "Follow the two sides apart. Query: symbol a is embedded and goes through the second "
        "head's W_Q. Key: symbol b is embedded, moved by the first head, and goes through the "
        "second head's W_K.",
        "What the first head writes when it has fetched symbol b is W_E[b] @ W_V @ W_O of the "
        "first head. Where it looked plays no part here.",
        "query = W_E @ second.W_Q and key = W_E @ first.W_V @ first.W_O @ second.W_K; their "
        "products over d_head, divided by sqrt(d_head) of the second head.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


def _random_head(d_model: int, d_head: int, seed: int) -> HeadWeights:
    W_Q, W_K, W_V = (normal(d_model, d_head, seed=seed + i) for i in range(3))
    return HeadWeights(W_Q, W_K, W_V, normal(d_head, d_model, seed=seed + 3))


@match_matrix.cases
def _match_cases() -> Iterator[Case]:
    basis = Basis(("BOS", "a", "b"), 4)
    first = _first(basis)._replace(W_O=basis.previous[[0, 2, 1]])
    second = HeadWeights(3 * basis.token.T, basis.previous.T, basis.token.T, basis.out)
    yield Case("two heads by hand, the first of which writes b for a and a for b",
               basis.W_E, first, second)  # fmt: skip
    yield Case("two random heads of unequal width", normal(5, 7, seed=9),
               _random_head(7, 3, 0), _random_head(7, 4, 20))  # fmt: skip
    yield Case("two random heads of equal width", normal(6, 9, seed=8),
               _random_head(9, 2, 40), _random_head(9, 2, 60))  # fmt: skip


@match_matrix.oracle
def _match_oracle(W_E: Tensor, first: HeadWeights, second: HeadWeights) -> Tensor:
    """Symbol by symbol, through all the vectors, in double precision."""
    W_E = W_E.double()
    first, second = (HeadWeights(*(w.double() for w in head)) for head in (first, second))
    table = torch.zeros(len(W_E), len(W_E))
    for a, asking in enumerate(W_E):
        for b, fetched in enumerate(W_E):
            written = first.W_O.T @ (first.W_V.T @ fetched)
            q, k = second.W_Q.T @ asking, second.W_K.T @ written
            table[a, b] = float(q @ k) / len(q) ** 0.5
    return table


@match_matrix.wrong("rows and columns are exchanged: the query's symbol is the row.")
def symbols_exchanged(W_E: Tensor, first: HeadWeights, second: HeadWeights) -> Tensor:
    return _match_oracle(W_E, first, second).T


@match_matrix.wrong(
    "the division by sqrt(d_head) is missing: these are the dot products, not the scores."
)
def not_scaled(W_E: Tensor, first: HeadWeights, second: HeadWeights) -> Tensor:
    return _match_oracle(W_E, first, second) * second.W_Q.shape[1] ** 0.5


@match_matrix.wrong(
    "the first head is left out: this is how the second head would match symbols straight from the "
    "embedding."
)
def first_head_left_out(W_E: Tensor, first: HeadWeights, second: HeadWeights) -> Tensor:
    return W_E @ second.W_Q @ (W_E @ second.W_K).T / second.W_Q.shape[1] ** 0.5


@match_matrix.wrong("you divided by sqrt(d_model); attention divides by sqrt(d_head).")
def scaled_by_d_model(W_E: Tensor, first: HeadWeights, second: HeadWeights) -> Tensor:
    scale = (second.W_Q.shape[1] / W_E.shape[1]) ** 0.5
    return _match_oracle(W_E, first, second) * scale


@match_matrix.wrong(
    "the first head's OV circuit sits on the query's side (that would be Q-composition). Here it "
    "is the key that the first head has prepared."
)
def on_the_query_side(W_E: Tensor, first: HeadWeights, second: HeadWeights) -> Tensor:
    query = W_E @ first.W_V @ first.W_O @ second.W_Q
    return query @ (W_E @ second.W_K).T / second.W_Q.shape[1] ** 0.5


@match_matrix.wrong("first and second are exchanged: the second head's W_Q and W_K compare.")
def heads_exchanged(W_E: Tensor, first: HeadWeights, second: HeadWeights) -> Tensor:
    return _match_oracle(W_E, second, first)


@match_matrix.wrong(
    "the token of the key is added in as well: you used what stands in the whole residual stream "
    "at the key. Asked for is only the part that the first head has written."
)
def embedding_added(W_E: Tensor, first: HeadWeights, second: HeadWeights) -> Tensor:
    return _match_oracle(W_E, first, second) + first_head_left_out(W_E, first, second)


# --- questions --------------------------------------------------------------------------------

checks.quiz(
    "pattern_axes",
    "(00) In an attention pattern [query, key], what does row 5, column 2 say?",
    {
        "how much position 5 looks at position 2": "Rows are queries, the ones who look.",
        "how much position 2 looks at position 5": "That would be the transposed pattern, and it "
        "would look into the future. Rows are queries, the ones who look.",
        "how much position 5 and position 2 look at each other": "A pattern is not symmetric: a "
        "query looks back, never the other way.",
    },
    answer="how much position 5 looks at position 2",
)

checks.quiz(
    "why_root_d_head",
    "(01) Why are scores divided by the square root of d_head?",
    {
        "so that rows of the pattern sum to 1": "The softmax sees to that, whatever the scores.",
        "so that the size of typical scores does not grow with d_head": "A dot product of d_head "
        "random terms has a standard deviation of sqrt(d_head).",
        "so that the future is masked": "The mask does that: it sets future scores to minus "
        "infinity.",
    },
    answer="so that the size of typical scores does not grow with d_head",
)

checks.quiz(
    "qk_and_ov",
    "(01) A head attends to the right place but writes the wrong thing. Which circuit is at fault?",
    {
        "QK": "W_Q and W_K decide where the head looks, and that was right.",
        "OV": "W_V and W_O decide what is moved from there, and what it becomes.",
    },
    answer="OV",
)

checks.prediction(
    "sharpness_growth",
    "One key out of 10 gets a share of 0.99. Out of 1,000 keys, how much more score does it need "
    "for the same share?",
    {
        "about the same": "The 990 new keys compete as well, each with exp(0) = 1.",
        "about 5 more": "The rest of the sum grew by a factor of 111, and log(111) is 4.7.",
        "about 100 times as much": "The odds must grow like that; the score is their logarithm.",
    },
    answer="about 5 more",
)

checks.prediction(
    "dot_product_reads",
    "The stream at the symbol 3 is 1 token 3 + 1 one + 1 digit + 3 value. What is its dot product "
    "with the direction value?",
    {
        "3": "The other directions are at right angles to `value` and add nothing, and `value` "
        "with itself gives 1.",
        "1": "That is the length of the direction. The amount in front of it is 3.",
        "it depends on what else is there": "It would, if the directions were not at right angles. "
        "In a trained model they hardly ever are, quite.",
    },
    answer="3",
)

checks.prediction(
    "where_is_the_table",
    "The head attends to its own position, whatever stands there. Where must the table be?",
    {
        "in W_Q and W_K": "Those decide where the head looks, and that is the same for every "
        "symbol.",
        "in W_V and W_O": "What is written must depend on what is read, and these two connect it.",
    },
    answer="in W_V and W_O",
)

checks.prediction(
    "nothing_so_far_back",
    "At position 1 there is no position two back. If the query lights up no dimension there, where "
    "does its attention go?",
    {
        "to BOS": "Only if something gives BOS a better score than the rest. Here all are 0.",
        "to every position it can see, evenly": "All scores are 0, and the softmax of equal scores "
        "is even.",
        "to nothing": "A softmax always shares out a whole unit of attention.",
    },
    answer="to every position it can see, evenly",
)

checks.prediction(
    "mean_with_bos",
    "After BOS a b, with even attention, what does the head read as the mean of vowel?",
    {
        "1": "Only a has the feature; b and BOS count as 0.",
        "1/2": "That is the mean you want, over a and b. Even attention reaches BOS as well.",
        "1/3": "BOS is a position too, with a feature of 0.",
    },
    answer="1/3",
)

checks.prediction(
    "feature_nowhere",
    "The key reads the feature and nothing else. After BOS b c 1, no vowel so far, where does "
    "the head attend?",
    {
        "to nothing": "A softmax always shares out a whole unit of attention.",
        "to BOS": "BOS has no feature either, so it scores like the others.",
        "evenly to everything it can see": "All scores are 0. The head would report a mixture of "
        "whatever there is.",
    },
    answer="evenly to everything it can see",
)

checks.prediction(
    "first_of_its_kind",
    "With basis.token.T as W_Q and W_K, scaled up, what does a symbol look at that is new in the "
    "sequence?",
    {
        "BOS": "BOS holds another symbol and scores 0. One key scores better.",
        "itself": "Its own position holds the same symbol, and the mask does not hide it.",
        "the symbol before it": "Nothing here compares positions.",
    },
    answer="itself",
)

checks.prediction(
    "one_head_enough",
    "What does it take to predict what followed the current symbol the last time?",
    {
        "one head": "The key at b would have to show that a stands before it. In the first layer a "
        "key knows its own symbol and position only.",
        "two heads in one layer": "Heads of one layer run side by side: neither can read what the "
        "other writes.",
        "two layers": "One head has to write the symbol before into each position, before another "
        "can look for it.",
    },
    answer="two layers",
)

checks.prediction(
    "shape_of_match",
    "Rows: the symbol at the query. Columns: the symbol fetched to the key. What will the matrix "
    "of your circuit look like?",
    {
        "a bright diagonal": "A match is: what was fetched equals what the query holds.",
        "a bright first column": "The rest on BOS does not go through the first head: the key "
        "shows BOS itself.",
        "a dark diagonal": "That would avoid matches.",
    },
    answer="a bright diagonal",
)

checks.prediction(
    "who_wins",
    "Second copies of random sequences: who has the lower loss?",
    {"the one by hand": "", "the trained one": "", "they tie": ""},
)

checks.explanation(
    "why_rest",
    "Why does a head that should sometimes do nothing need a place to rest, and what makes BOS a "
    "good one?",
    "A softmax has to put its attention somewhere; BOS is always there, never in the future, and "
    "copying it can be made to change nothing.",
)

checks.explanation(
    "why_two_layers",
    "Why must the head that finds the continuation sit above another head?",
    "Its keys must show which symbol stands before them, and that is not in the residual stream "
    "until a lower layer has written it there.",
)

checks.explanation(
    "what_differs",
    "Name one thing that your circuit and the trained one do alike, and one that they do "
    "differently. Which measurement shows it?",
    "Both match the query's symbol with the one fetched from before the key, as the diagonal of "
    "the match matrix shows; the trained one also knows bigrams, as its loss on the Markov chain "
    "shows.",
)
