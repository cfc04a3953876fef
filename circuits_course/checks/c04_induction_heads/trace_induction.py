"""Exercise `trace_induction`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c04_induction_heads.find_induction_heads import _find_oracle
from circuits_course.checks.c04_induction_heads.shared import (
    FIRST,
    SECOND,
    Heads,
    patterns_by_layer,
)
from circuits_course.checks.inputs import matching_model
from circuits_course.checks.slips import slip
from circuits_course.circuits.heads import InductionTrace

trace_induction = Exercise(
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
    copies, watches = matching_model(FIRST), matching_model(SECOND)
    yield Case("'qxbzq', q having stood first", copies, "qxbzq")
    yield Case("'xbqaqdezq', q having occurred twice before", copies, "xbqaqdezq")
    yield Case("'xbqaabb', the nearest b standing just before", copies, "xbqaabb")
    yield Case("'qxq' by another model", watches, "qxq")
    yield Case("'aabcdeab' by another model", watches, "aabcdeab")


@trace_induction.trial
def refuses_a_new_token(attempt: Any, model: Any, prompt: str) -> str | None:
    if prompt != "qxbzq":
        return None  # once is enough
    try:
        attempt(model, "abcdq")
    except ValueError:
        return None
    return "after 'abcdq' there is no earlier q: that should raise ValueError"


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
    layers, logits = patterns_by_layer(model, tokens), model(tokens)
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


slip(
    trace_induction,
    "mean_of_the_queries",
    "you averaged over the queries. The question is where the last position looks: its row alone.",
    ("[0, head, last]", "[0, head].mean(0)"),
)


slip(
    trace_induction,
    "last_layer_for_all",
    "every head was read in the last layer: take each head's pattern from its own layer.",
    ('cache["pattern", layer][0', 'cache["pattern", model.cfg.n_layers - 1][0'),
)


slip(
    trace_induction,
    "strongest_head_only",
    "only the strongest head is listed: all induction heads are asked for.",
    ("for layer, head in heads}", "for layer, head in heads[:1]}"),
)


slip(
    trace_induction,
    "pattern_of_the_query_before",
    "the row is that of the token before the last. The last token is the one that looks: row "
    "`last`.",
    (
        "[0, head, last]",
        "[0, head, last - 1]",
    ),
)
