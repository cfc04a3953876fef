"""Exercise `token_kinds`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.shared import repeated, text
from circuits_course.checks.slips import slip

token_kinds = Exercise(
    "token_kinds",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "Write BOS a b c a b c with its positions 0 to 6. A loss has 6 entries; below each, write "
        "the position of the token that it is about. That is `target`.",
        "With n tokens in a copy, the first copy stands at positions 1 to n, the second at n + 1 "
        "to "
        "2 n. Its first token, n + 1, is left out. A row repeats if both halves are equal in every "
        "place, and the row has exactly 1 + 2 n tokens.",
        "target = torch.arange(1, pos). repeats has one truth value a row: "
        "(tokens[:, 1:1 + n] == tokens[:, pos - n:]).all(1). Give it an axis for the positions: "
        "repeats[:, None].expand(batch, pos - 1). With an even number of tokens no row repeats.",
    ],
)


@token_kinds.cases
def _kinds_cases() -> Iterator[Case]:
    yield Case("BOS a b c a b c", torch.tensor([[0, 7, 8, 9, 7, 8, 9]]))
    yield Case("BOS a b c a b d, which does not repeat", torch.tensor([[0, 7, 8, 9, 7, 8, 5]]))
    yield Case("BOS a b c a d c, of which the ends repeat, and a row of text",
               torch.tensor([[0, 7, 8, 9, 7, 5, 9], [0, 1, 2, 3, 4, 5, 6]]))  # fmt: skip
    yield Case("two rows that repeat and three of text",
               torch.cat([repeated(2, 5), text(3, 11)]))  # fmt: skip
    yield Case("text first, then repeats",
               torch.cat([text(1, 9, seed=1), repeated(4, 4, seed=2)]))  # fmt: skip
    yield Case("text of tokens that all differ", torch.arange(14).view(2, 7))
    yield Case("text of tokens that all differ, 9 a row", torch.arange(27).view(3, 9))
    yield Case("four rows of it", torch.arange(20).view(4, 5))
    yield Case("BOS a b c a b, an even number of tokens", torch.tensor([[0, 7, 8, 9, 7, 8]]))
    yield Case("ordinary text with an even number of tokens", text(2, 8, seed=3))


@token_kinds.oracle
def _kinds_oracle(tokens: Tensor) -> dict[str, Tensor]:
    batch, pos = tokens.shape
    kinds = {
        kind: torch.zeros(batch, pos - 1, dtype=torch.bool)
        for kind in ("first copy", "second copy", "ordinary text")
    }
    for b, row in enumerate(tokens.tolist()):
        n = (pos - 1) // 2
        doubled = row[1:] == 2 * row[1 : 1 + n]
        for i in range(pos - 1):
            kind = "ordinary text" if not doubled else "first copy" if i < n else "second copy"
            kinds[kind][b, i] = not (doubled and i == n)
    return kinds


def _kinds(repeats: Tensor, first: Tensor, second: Tensor) -> dict[str, Tensor]:
    repeats = repeats[:, None]
    first, second = repeats & first, repeats & second
    return {
        "first copy": first,
        "second copy": second,
        "ordinary text": (~repeats).expand_as(first).clone(),
    }


def _doubled(tokens: Tensor) -> Tensor:
    return ~_kinds_oracle(tokens)["ordinary text"][:, 0]


@token_kinds.wrong(
    "you counted the first token of the second copy as predictable. Nothing says that the sequence "
    "begins again there; only from the next token on can the model know."
)
def restart_counted(tokens: Tensor) -> dict[str, Tensor]:
    n, target = (tokens.shape[1] - 1) // 2, torch.arange(1, tokens.shape[1])
    return _kinds(_doubled(tokens), target <= n, target > n)


@token_kinds.wrong(
    "you counted the first token of the second copy to the first copy. It belongs to neither: it "
    "repeats, and nothing says that it will."
)
def restart_in_first(tokens: Tensor) -> dict[str, Tensor]:
    n, target = (tokens.shape[1] - 1) // 2, torch.arange(1, tokens.shape[1])
    return _kinds(_doubled(tokens), target <= n + 1, target > n + 1)


@token_kinds.wrong(
    "your masks are about the token that is read; they should be about the token that is "
    "predicted. "
    "Entry i of a loss is about tokens[:, i + 1]."
)
def about_the_token_read(tokens: Tensor) -> dict[str, Tensor]:
    n, read = (tokens.shape[1] - 1) // 2, torch.arange(tokens.shape[1] - 1)
    return _kinds(_doubled(tokens), (read >= 1) & (read <= n), read > n + 1)


@token_kinds.wrong(
    "there is an entry for every token. Nothing predicts the first one, so a mask has pos - 1 "
    "entries, like a loss per token."
)
def one_entry_too_many(tokens: Tensor) -> dict[str, Tensor]:
    n, target = (tokens.shape[1] - 1) // 2, torch.arange(tokens.shape[1])
    return _kinds(_doubled(tokens), (target >= 1) & (target <= n), target > n + 1)


@token_kinds.wrong(
    "you took every row for a repeated one. Compare the two halves of each row: text is mixed in."
)
def every_row_repeats(tokens: Tensor) -> dict[str, Tensor]:
    n, target = (tokens.shape[1] - 1) // 2, torch.arange(1, tokens.shape[1])
    return _kinds(torch.ones(len(tokens), dtype=torch.bool), target <= n, target > n + 1)


@token_kinds.wrong(
    "the first row decides for all rows. Rows differ: reduce over the positions (axis 1) only."
)
def first_row_decides(tokens: Tensor) -> dict[str, Tensor]:
    n, target = (tokens.shape[1] - 1) // 2, torch.arange(1, tokens.shape[1])
    return _kinds(_doubled(tokens)[:1].expand(len(tokens)), target <= n, target > n + 1)


@token_kinds.wrong(
    "one equal token made a row count as repeated. In text a token can stand in both halves by "
    "chance: all places must agree, .all(1) and not .any(1)."
)
def any_match_will_do(tokens: Tensor) -> dict[str, Tensor]:
    pos = tokens.shape[1]
    n, target = (pos - 1) // 2, torch.arange(1, pos)
    repeats = (tokens[:, 1 : 1 + n] == tokens[:, pos - n :]).any(1)
    return _kinds(repeats, target <= n, target > n + 1)


@token_kinds.wrong(
    "`repeats` has one truth value a row and no axis for the positions. Give it one, "
    "repeats[:, None].expand(batch, pos - 1), so that rows meet rows."
)
def no_axis_for_positions(tokens: Tensor) -> dict[str, Tensor]:
    n, target = (tokens.shape[1] - 1) // 2, torch.arange(1, tokens.shape[1])
    repeats = _doubled(tokens)
    first, second = repeats & (target <= n), repeats & (target > n + 1)
    return {"first copy": first, "second copy": second, "ordinary text": ~repeats}


@token_kinds.wrong(
    "first copies are marked as ordinary text too. The three kinds do not overlap: ordinary text "
    "are the rows that do not repeat."
)
def first_copy_is_text_too(tokens: Tensor) -> dict[str, Tensor]:
    kinds = _kinds_oracle(tokens)
    return {**kinds, "ordinary text": kinds["ordinary text"] | kinds["first copy"]}


slip(
    token_kinds,
    "target_one_early",
    "entry i is about tokens[:, i + 1]; yours is about tokens[:, i].",
    ("torch.arange(1, pos)", "torch.arange(pos - 1)"),
)


slip(
    token_kinds,
    "halves_with_bos",
    "BOS was counted to the first half, so that each token meets another one. The first copy"
    " begins at position 1.",
    ("tokens[:, 1 : 1 + n] == tokens[:, pos - n :]", "tokens[:, :n] == tokens[:, n : 2 * n]"),
)


@token_kinds.wrong(
    "each place was judged by itself. A row repeats if all of its places agree: .all(1), and"
    " then the same for all of its entries."
)
def place_by_place(tokens: Tensor) -> dict[str, Tensor]:
    pos = tokens.shape[1]
    n, target = (pos - 1) // 2, torch.arange(1, pos)
    repeats = torch.zeros(len(tokens), pos - 1, dtype=torch.bool)
    if pos == 1 + 2 * n:
        repeats = (tokens[:, 1 : 1 + n] == tokens[:, 1 + n :]).repeat(1, 2)
    first, second = repeats & (target <= n), repeats & (target > n + 1)
    return {"first copy": first, "second copy": second, "ordinary text": ~repeats}


slip(
    token_kinds,
    "end_of_the_first_copy_missing",
    "the last token of the first copy is missing: targets from 1 to n, n included.",
    (
        "target <= n)",
        "target < n)",
    ),
)


slip(
    token_kinds,
    "most_of_it_is_enough",
    "a row counts as repeated though not every token comes again: all(1), not most.",
    (
        ".all(1) & (pos",
        ".float().mean(1).gt(0.5) & (pos",
    ),
)


slip(
    token_kinds,
    "odd_length_not_asked_for",
    "a row with an even number of tokens is not BOS and two copies. Check that pos is 1 + 2 n.",
    (
        " & (pos == 1 + 2 * n)",
        "",
    ),
)


slip(
    token_kinds,
    "rest_is_text",
    "the first token of a second copy was counted as text. It belongs to no kind.",
    (
        '"ordinary text": ~repeats',
        '"ordinary text": ~(repeats & (target <= n)) & ~(repeats & (target > n + 1))',
    ),
)


slip(
    token_kinds,
    "ends_compared",
    "only the first and the last token of the copies were compared. All of them have to agree.",
    (
        "tokens[:, 1 : 1 + n] == tokens[:, pos - n :]",
        "tokens[:, [1, n]] == tokens[:, [pos - n, pos - 1]]",
    ),
)
