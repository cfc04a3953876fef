"""Exercise `match_matrix`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.c02_attention_as_computation.shared import writes_previous
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip
from circuits_course.circuits.basis import Basis, HeadWeights

match_matrix = Exercise(
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
    first = writes_previous(basis)._replace(W_O=basis.previous[[0, 2, 1]])
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


slip(
    match_matrix,
    "other_width",
    "the scale is that of the first head. The scores are the second head's: its d_head.",
    ("second.W_Q.shape[1]", "first.W_Q.shape[1]"),
)


slip(
    match_matrix,
    "sides_exchanged",
    "the second head's W_Q and W_K are exchanged: the symbol at the query goes through W_Q, what "
    "was fetched to the key through W_K.",
    ("query = W_E @ second.W_Q", "query = W_E @ second.W_K"),
    ("@ second.W_K\n    return", "@ second.W_Q\n    return"),
)


slip(
    match_matrix,
    "both_sides_fetched",
    "the query has gone through the first head too. What stands at the query is the "
    "embedding itself; the first head has prepared the key alone.",
    ("query = W_E @ second.W_Q", "query = W_E @ first.W_V @ first.W_O @ second.W_Q"),
)


slip(
    match_matrix,
    "second_heads_values",
    "the second head's OV stands where the first one's belongs. The first head has fetched "
    "the symbol: first.W_V @ first.W_O.",
    ("first.W_V @ first.W_O", "second.W_V @ second.W_O"),
)
