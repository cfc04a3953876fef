"""Exercise `targets_of`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import random_tokens

targets_of = Exercise(
    "targets_of",
    difficulty=2,
    importance=4,
    minutes=15,
    hints=[
        "q[:, None] and k make [q, k] tables by comparison: k == q - 1 is the previous token. "
        "`.expand_as(same)` adds the batch.",
        "`same` holds [batch, q, k] whether tokens q and k are equal. Earlier copies: same and k"
        " < q.",
        "For induction the key k stands after a copy at k - 1: same.roll(1, dims=-1). The copy "
        "must be earlier than the query and not BOS: 0 < k - 1 < q.",
    ],
)


@targets_of.cases
def _targets_cases() -> Iterator[Case]:
    yield Case("BOS a b a b", torch.tensor([[0, 1, 2, 1, 2]]))
    yield Case("BOS a a b a", torch.tensor([[0, 1, 1, 2, 1]]))
    for seed in range(3):
        tokens = random_tokens(2 + seed, 6 + seed, d_vocab=4, seed=seed)
        yield Case("random symbols", torch.cat([torch.zeros_like(tokens[:, :1]), tokens], dim=1))


def _targets(tokens: Tensor, wanted: dict[str, Callable[[list[int], int, int], bool]]) -> Any:
    """Role -> mask from a rule on (the row's tokens, q, k), over all q and k."""
    n = tokens.shape[1]
    return {
        role: torch.tensor(
            [
                [[bool(rule(row, q, k)) for k in range(n)] for q in range(n)]
                for row in tokens.tolist()
            ]
        )
        for role, rule in wanted.items()
    }


RULES: dict[str, Callable[[list[int], int, int], bool]] = {
    "previous token": lambda row, q, k: k == q - 1 and k > 0,
    "first token": lambda row, q, k: k == 1 and k <= q,
    "duplicate token": lambda row, q, k: 0 < k < q and row[k] == row[q],
    "induction": lambda row, q, k: 1 < k <= q and row[k - 1] == row[q],
}


@targets_of.observe
def _as_truths(output: Any, tokens: Tensor) -> dict[str, Tensor]:
    """Zeros and ones will do for truth values."""
    return {role: torch.as_tensor(mask).bool() for role, mask in output.items()}


@targets_of.oracle
def _targets_oracle(tokens: Tensor) -> dict[str, Tensor]:
    return _targets(tokens, RULES)


@targets_of.wrong(
    "a token is not its own earlier copy: leave k = q out of the duplicates (k < q, not k <= q)."
)
def its_own_copy(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: 0 < k <= q and row[k] == row[q]  # noqa: E731
    return _targets(tokens, RULES | {"duplicate token": rule})


@targets_of.wrong(
    "your induction targets are the earlier copies themselves. An induction head looks one further "
    "on, at what came after the copy."
)
def induction_at_copy(tokens: Tensor) -> dict[str, Tensor]:
    return _targets(tokens, RULES | {"induction": RULES["duplicate token"]})


@targets_of.wrong(
    "your induction targets stand *before* the earlier copies. If the copy is at k - 1, the key is "
    "k: roll by +1, not -1."
)
def induction_before_copy(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: 0 < k < q - 1 and row[k + 1] == row[q]  # noqa: E731
    return _targets(tokens, RULES | {"induction": rule})


@targets_of.wrong(
    "the query itself is missing among the induction targets. In `a a` the second a stands right "
    "after an earlier a: k = q is allowed, the copy is at q - 1."
)
def induction_never_itself(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: 1 < k < q and row[k - 1] == row[q]  # noqa: E731
    return _targets(tokens, RULES | {"induction": rule})


@targets_of.wrong(
    "your targets include BOS (k = 0). Heads rest there when they have nothing to do, so it is "
    "never a target."
)
def bos_is_a_target(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: k == q - 1  # noqa: E731
    return _targets(tokens, RULES | {"previous token": rule})


@targets_of.wrong("the first token is at position 1; position 0 is BOS.")
def first_is_bos(tokens: Tensor) -> dict[str, Tensor]:
    return _targets(tokens, RULES | {"first token": lambda row, q, k: k == 0})


@targets_of.wrong("rows and columns are exchanged: [batch, q, k], the one who looks comes first.")
def keys_as_rows(tokens: Tensor) -> dict[str, Tensor]:
    return {role: mask.mT for role, mask in _targets(tokens, RULES).items()}


@targets_of.wrong("your duplicates include copies in the future; a query sees k <= q only.")
def future_copies(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: k != q and k > 0 and q > 0 and row[k] == row[q]  # noqa: E731
    return _targets(tokens, RULES | {"duplicate token": rule})


@targets_of.wrong(
    "your induction targets ask what followed the copies of the token *before* the query. The copy "
    "is of the current token."
)
def copies_of_the_previous(tokens: Tensor) -> dict[str, Tensor]:
    rule = lambda row, q, k: 1 < k < q and row[k - 1] == row[q - 1]  # noqa: E731
    return _targets(tokens, RULES | {"induction": rule})
