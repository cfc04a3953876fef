"""What a planted algorithm says, computed from the symbols alone: the truth for predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from circuits_course.mystery.planting import Planted

Says = Callable[[list[int], dict[str, list[int]]], "int | None"]


def _nth_back(n: int) -> Says:
    return lambda tokens, known: tokens[-1 - n] if len(tokens) > n else None


def _most_common(tokens: Sequence[int]) -> int | None:
    return Counter(tokens).most_common(1)[0][0] if tokens else None


def _followers(tokens: list[int], known: dict[str, list[int]]) -> int | None:
    return _most_common([b for a, b in pairwise(tokens) if a == tokens[-1]])


def _seen_before(tokens: list[int], known: dict[str, list[int]]) -> int:
    return known["seen" if tokens[-1] in tokens[:-1] else "new"][0]


def _leading_kind(tokens: list[int], known: dict[str, list[int]]) -> int:
    one, other = (sum(t in known[kind] for t in tokens) for kind in ("one", "other"))
    return known["answers"][int(other > one)]


def _odd_one_out(tokens: list[int], known: dict[str, list[int]]) -> int | None:
    counts = Counter(token for token in tokens if token in known["names"])
    return next((name for name, count in counts.items() if count == 1), None)


def _first_if_seen(tokens: list[int], known: dict[str, list[int]]) -> int | None:
    return tokens[0] if tokens[-1] in tokens[:-1] else None


SAYS: dict[str, Says] = {
    "previous token": _nth_back(1),
    "two back": _nth_back(2),
    "first token": lambda tokens, known: tokens[0],
    "second token": lambda tokens, known: tokens[1] if len(tokens) > 1 else None,
    "first if seen": _first_if_seen,
    "induction": _followers,
    "duplicate detection": _seen_before,
    "majority": lambda tokens, known: _most_common(tokens),
    "balance": _leading_kind,
    "odd one out": _odd_one_out,
}


def true_predictions(key: Planted, vocabulary: Sequence[str]) -> Callable[[list[str]], str]:
    """The planted algorithm as a function from symbols to the next symbol ("" for none)."""

    def predict(symbols: list[str]) -> str:
        tokens = [vocabulary.index(symbol) for symbol in symbols]
        said = SAYS[key.algorithm](tokens, key.symbols)
        return "" if said is None else vocabulary[said]

    return predict
