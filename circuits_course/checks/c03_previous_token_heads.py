"""Chapter 03, Previous-token heads: diagonals, sinks, knock-outs and the bigram claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.attempt import Raised, run_attempt
from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.inputs import normal, random_model, random_tokens
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

Head = tuple[int, int]

checks = ChapterChecks("03_previous_token_heads")


def random_pattern(*shape: int, seed: int = 0) -> Tensor:
    """Causal attention probabilities [*shape, q, k] that differ from head to head."""
    scores = 2 * normal(*shape, seed=seed)
    future = torch.ones(shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


def looks_back(offset: int, pos: int) -> Tensor:
    """The pattern [q, k] of a head that looks `offset` tokens back, at BOS where there is none."""
    keys = (torch.arange(pos) - offset).clamp_min(0)
    return torch.nn.functional.one_hot(keys, pos).float()


@cache
def routing_model(heads: tuple[tuple[tuple[int, float], ...], ...]) -> CourseTransformer:
    """A model made by hand: heads[layer][head] = (offset, score of the key that far back)."""
    pos = 12
    cfg = CourseConfig(len(heads), len(heads[0]), d_model=pos, d_head=pos, d_vocab=30, n_ctx=pos)
    model = CourseTransformer.blank(cfg)
    with torch.no_grad():
        model.W_pos.copy_(torch.eye(pos))
    for layer, row in enumerate(heads):
        for head, (offset, score) in enumerate(row):
            shifted = torch.eye(pos).roll(offset, dims=1).triu(offset)
            model.set_head(layer, head, W_Q=score * pos**0.5 * torch.eye(pos), W_K=shifted)
    return model.requires_grad_(False)


# --- sink_share -------------------------------------------------------------------------------

sink_share = checks.exercise(
    "sink_share",
    difficulty=1,
    importance=4,
    minutes=5,
    hints=[
        "Draw a 4 x 4 pattern on paper and shade the cells that say how much the others look at "
        "the first token. Rows are queries, columns are keys.",
        "They are one column without its topmost cell: keys 0, queries 1 and on. Average them and "
        "keep all axes in front.",
        "pattern[..., 1:, 0] has the shape [*heads, queries without the first]; mean over its last "
        "axis.",
    ],
)


@sink_share.cases
def _sink_cases() -> Iterator[Case]:
    yield Case("a head that looks at BOS and nowhere else, 4 tokens", looks_back(4, 4)[None])
    yield Case("a head in which every token looks only at itself", looks_back(0, 4)[None])
    yield Case("two heads, of which the second looks at the token before",
               torch.stack([looks_back(5, 5), looks_back(1, 5)]))  # fmt: skip
    yield Case("random patterns of a batch", random_pattern(2, 3, 7, 7, seed=1))
    yield Case("random patterns without a batch", random_pattern(5, 6, 6, seed=2))


@sink_share.oracle
def _sink_oracle(pattern: Tensor) -> Tensor:
    total = sum(pattern[..., q, 0] for q in range(1, pattern.shape[-2]))
    return torch.as_tensor(total) / (pattern.shape[-2] - 1)


@sink_share.wrong(
    "you counted the first query too. BOS can look at nothing but itself, which makes every head "
    "look a little like a sink. Queries start at 1."
)
def first_query_counted(pattern: Tensor) -> Tensor:
    return pattern[..., 0].mean(-1)


@sink_share.wrong(
    "you read the first row: where BOS looks. How much the others look at BOS is the first column: "
    "pattern[q, k], rows are the ones who look."
)
def first_row_read(pattern: Tensor) -> Tensor:
    return pattern[..., 0, 1:].mean(-1)


@sink_share.wrong("you averaged over the heads as well: keep the leading axes.")
def one_number_for_all(pattern: Tensor) -> Tensor:
    return pattern[..., 1:, 0].mean()


@sink_share.wrong("you summed over the queries: a share is their mean, and at most 1.")
def queries_summed(pattern: Tensor) -> Tensor:
    return pattern[..., 1:, 0].sum(-1)


@sink_share.wrong(
    "you looked at the last query alone. Average over all queries that have a choice, 1 and on."
)
def last_query_only(pattern: Tensor) -> Tensor:
    return pattern[..., -1, 0]


@sink_share.wrong(
    "you counted how many queries look mostly at BOS. The share is the attention itself, averaged, "
    "without a vote in between."
)
def counts_votes(pattern: Tensor) -> Tensor:
    return (pattern[..., 1:, :].argmax(-1) == 0).float().mean(-1)


# --- diagonal_scores --------------------------------------------------------------------------

diagonal_scores = checks.exercise(
    "diagonal_scores",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "For offset 1, write down the cells [query, key] that count in a 4 x 4 pattern: [1, 0], "
        "[2, 1], [3, 2]. What line do they form, and how many are there for offset 2?",
        "Each offset is one diagonal below the main one. A tensor's `diagonal(offset, dim1, dim2)` "
        "reads one; negative offsets lie below. The patterns' axes are the last two.",
        "pattern.diagonal(-offset, -2, -1) has the shape [*heads, pos - offset]. Average over its "
        "last axis, collect the offsets 0 to max_offset, and stack them on a new last axis.",
    ],
)


@diagonal_scores.cases
def _diagonal_cases() -> Iterator[Case]:
    yield Case("a head that looks at the token before, asked for offsets 0 to 2",
               looks_back(1, 5)[None], 2)  # fmt: skip
    yield Case("a head that looks two tokens back, at BOS where there are none",
               looks_back(2, 6)[None], 3)  # fmt: skip
    yield Case("random patterns of a batch", random_pattern(2, 3, 7, 7, seed=1), 4)
    yield Case("random patterns, every offset there is", random_pattern(4, 5, 5, seed=2), 4)
    yield Case("random patterns, the current token only", random_pattern(3, 6, 6, seed=3), 0)


@diagonal_scores.oracle
def _diagonal_oracle(pattern: Tensor, max_offset: int) -> Tensor:
    pos = pattern.shape[-1]
    return torch.stack(
        [
            torch.stack([pattern[..., q, q - o] for q in range(o, pos)]).mean(0)
            for o in range(max_offset + 1)
        ],
        dim=-1,
    )


def _diagonals(pattern: Tensor, offsets: Any) -> Tensor:
    return torch.stack([pattern.diagonal(-o, -2, -1).mean(-1) for o in offsets], dim=-1)


@diagonal_scores.wrong(
    "you went to the right of the main diagonal, where keys lie in the future of their queries and "
    "nobody may look. The key o places back is q - o: a diagonal below the main one."
)
def future_diagonals(pattern: Tensor, max_offset: int) -> Tensor:
    return _diagonals(pattern.mT, range(max_offset + 1))


@diagonal_scores.wrong(
    "offset 0, the current token itself, is missing: your first entry is offset 1, so every entry "
    "is one too far back."
)
def starts_at_one(pattern: Tensor, max_offset: int) -> Tensor:
    padded = torch.nn.functional.pad(pattern, (0, 1, 0, 1))
    sums = [padded.diagonal(-o, -2, -1)[..., :-1].sum(-1) for o in range(1, max_offset + 2)]
    counts = [max(pattern.shape[-1] - o, 1) for o in range(1, max_offset + 2)]
    return torch.stack([s / n for s, n in zip(sums, counts, strict=True)], dim=-1)


@diagonal_scores.wrong(
    "the last offset is missing: the answer holds offsets 0 to max_offset, which are max_offset "
    "+ 1 "
    "numbers; range(n) stops before n."
)
def stops_before_last(pattern: Tensor, max_offset: int) -> Tensor:
    if max_offset == 0:
        return pattern.new_zeros(*pattern.shape[:-2], 0)
    return _diagonals(pattern, range(max_offset))


@diagonal_scores.wrong(
    "you divided by the number of all queries. The first o queries have no token o places back: "
    "the "
    "diagonal is shorter, and its mean is over pos - o cells."
)
def divided_by_all(pattern: Tensor, max_offset: int) -> Tensor:
    scores = [pattern.diagonal(-o, -2, -1).sum(-1) for o in range(max_offset + 1)]
    return torch.stack(scores, dim=-1) / pattern.shape[-1]


@diagonal_scores.wrong("you summed along the diagonals: a score is a mean, and at most 1.")
def diagonals_summed(pattern: Tensor, max_offset: int) -> Tensor:
    scores = [pattern.diagonal(-o, -2, -1).sum(-1) for o in range(max_offset + 1)]
    return torch.stack(scores, dim=-1)


@diagonal_scores.wrong("the offsets stand on the first axis; the answer has them on the last.")
def offsets_first(pattern: Tensor, max_offset: int) -> Tensor:
    return torch.stack([pattern.diagonal(-o, -2, -1).mean(-1) for o in range(max_offset + 1)])


@diagonal_scores.wrong(
    "you left BOS out. That is a good idea, and the next exercise does it, by cutting the pattern "
    "before it calls this function. Here every position counts, so that the score means the same "
    "for any pattern."
)
def bos_left_out(pattern: Tensor, max_offset: int) -> Tensor:
    cut = torch.nn.functional.pad(pattern[..., 1:, 1:], (0, 1, 0, 1))
    sums = [cut.diagonal(-o, -2, -1).sum(-1) for o in range(max_offset + 1)]
    counts = [max(pattern.shape[-1] - 1 - o, 1) for o in range(max_offset + 1)]
    return torch.stack([s / n for s, n in zip(sums, counts, strict=True)], dim=-1)


@diagonal_scores.wrong(
    "you averaged every offset over the same queries, max_offset and on. For offset o all queries "
    "q >= o have a token that far back: use them."
)
def late_queries_only(pattern: Tensor, max_offset: int) -> Tensor:
    late = [
        pattern.diagonal(-o, -2, -1)[..., max_offset - o :].mean(-1) for o in range(max_offset + 1)
    ]
    return torch.stack(late, dim=-1)


# --- previous_token_scores --------------------------------------------------------------------

previous_token_scores = checks.exercise(
    "previous_token_scores",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        'cache["pattern", layer] is [batch, head, query, key]. Which of your functions turns it '
        "into a score per head and offset, and which offset is the previous token?",
        "Before scoring, cut off the first row and the first column: then BOS is neither query nor "
        "key. Average over the batch afterwards, and stack the layers.",
        'For one layer: diagonal_scores(cache["pattern", layer][..., 1:, 1:], 1)[..., 1].mean(0) '
        "has the shape [head].",
    ],
)


@previous_token_scores.cases
def _previous_cases() -> Iterator[Case]:
    hand_made = routing_model((((4, 9.0), (0, 9.0), (2, 9.0)), ((0, 9.0), (1, 9.0), (3, 2.0))))
    yield Case("a model whose head 1.1 looks at the token before", hand_made, random_tokens(2, 5))
    sink = routing_model((((11, 9.0), (1, 3.0)),))
    yield Case("a model of one layer with two heads", sink, random_tokens(1, 4, seed=1))
    yield Case("a random model", random_model(), random_tokens(3, 9, seed=2))
    yield Case("another random model", random_model(2, 5, seed=4), random_tokens(4, 12, seed=3))


def _hooked_patterns(model: Any, tokens: Tensor, name: str = "pattern") -> list[Tensor]:
    seen: list[Tensor] = []
    model.run_with_hooks(
        tokens,
        fwd_hooks=[
            (f"blocks.{layer}.attn.hook_{name}", lambda p, hook: seen.append(p.clone()))
            for layer in range(model.cfg.n_layers)
        ],
    )
    return seen


@previous_token_scores.oracle
def _previous_oracle(model: Any, tokens: Tensor) -> Tensor:
    queries = range(2, tokens.shape[1])
    return torch.stack(
        [
            torch.stack([p[:, :, q, q - 1] for q in queries]).mean((0, 1))
            for p in _hooked_patterns(model, tokens)
        ]
    )


def _every_layer(model: Any, tokens: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.stack([score(p) for p in _hooked_patterns(model, tokens)])


@previous_token_scores.wrong(
    "BOS counts as a key: for query 1 it is the previous token, and a head that parks its "
    "attention "
    "there gets a score for that. Cut its row and column off first: pattern[..., 1:, 1:]."
)
def bos_kept(model: Any, tokens: Tensor) -> Tensor:
    return _every_layer(model, tokens, lambda p: p.diagonal(-1, -2, -1).mean((0, -1)))


@previous_token_scores.wrong(
    "you left BOS out of the sum but not out of the count: with BOS cut off, pos - 2 queries "
    "have a "
    "previous token."
)
def bos_still_counted(model: Any, tokens: Tensor) -> Tensor:
    return _previous_oracle(model, tokens) * (tokens.shape[1] - 2) / (tokens.shape[1] - 1)


@previous_token_scores.wrong(
    "this is offset 0, attention to the current token itself. The previous token is offset 1."
)
def current_token(model: Any, tokens: Tensor) -> Tensor:
    return _every_layer(model, tokens, lambda p: p[..., 1:, 1:].diagonal(0, -2, -1).mean((0, -1)))


@previous_token_scores.wrong(
    "this is offset 2, one token too far back: diagonal_scores begins at offset 0, so the previous "
    "token is entry 1."
)
def two_back(model: Any, tokens: Tensor) -> Tensor:
    return _every_layer(model, tokens, lambda p: p[..., 1:, 1:].diagonal(-2, -2, -1).mean((0, -1)))


@previous_token_scores.wrong("the axes are exchanged: layers are rows, heads are columns.")
def heads_as_rows(model: Any, tokens: Tensor) -> Tensor:
    return _previous_oracle(model, tokens).T


@previous_token_scores.wrong("only the first sequence counts: average over the batch.")
def first_sequence_only(model: Any, tokens: Tensor) -> Tensor:
    return _previous_oracle(model, tokens[:1])


@previous_token_scores.wrong("the batch axis is still there: average over the sequences too.")
def batch_kept(model: Any, tokens: Tensor) -> Tensor:
    return _every_layer(model, tokens, lambda p: p[..., 1:, 1:].diagonal(-1, -2, -1).mean(-1))


@previous_token_scores.wrong(
    'these are the scores from before the softmax: read cache["pattern", layer].'
)
def scores_before_softmax(model: Any, tokens: Tensor) -> Tensor:
    scores = _hooked_patterns(model, tokens, "attn_scores")
    return torch.stack([s[..., 1:, 1:].diagonal(-1, -2, -1).mean((0, -1)) for s in scores])


# --- find_previous_token_heads ----------------------------------------------------------------

find_previous_token_heads = checks.exercise(
    "find_previous_token_heads",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "You have a table of scores [layer, head]. Which of its cells are over the threshold, and "
        "how do you get from a cell to the pair (layer, head)?",
        "(scores > threshold).nonzero() lists the cells as rows of two numbers: layer, head.",
        "Make a dictionary {(layer, head): score}; the last line sorts its keys by their score.",
    ],
)


@find_previous_token_heads.cases
def _find_cases() -> Iterator[Case]:
    two = routing_model((((1, 3.0), (0, 9.0), (0, 9.0)), ((2, 9.0), (0, 9.0), (1, 6.0))))
    tokens = random_tokens(2, 9)
    yield Case("a model whose head 1.2 looks at the token before, and 0.0 a little less",
               two, tokens, 0.5)  # fmt: skip
    yield Case("the same model with a threshold that only one passes", two, tokens, 0.9)
    yield Case("a model without any such head", routing_model((((0, 9.0), (3, 9.0)),)), tokens, 0.5)
    four = routing_model(
        (((1, 2.0), (1, 5.0), (0, 1.0), (1, 0.0)), ((1, 9.0), (2, 3.0), (1, 4.0), (4, 1.0)))
    )
    yield Case("a model with several of different strength", four, random_tokens(3, 11), 0.4)
    yield Case("a random model", random_model(), random_tokens(3, 9, seed=2), 0.2)


@find_previous_token_heads.oracle
def _find_oracle(model: Any, tokens: Tensor, threshold: float) -> list[Head]:
    scores = _previous_oracle(model, tokens).tolist()
    found = [
        (score, (layer, head))
        for layer, row in enumerate(scores)
        for head, score in enumerate(row)
        if score > threshold
    ]
    return [head for _, head in sorted(found, reverse=True)]


@find_previous_token_heads.wrong(
    "they come in the order of the layers. Strongest first: sort by the score, in reverse."
)
def in_layer_order(model: Any, tokens: Tensor, threshold: float) -> list[Head]:
    return sorted(_find_oracle(model, tokens, threshold))


@find_previous_token_heads.wrong("the weakest comes first: sort in reverse.")
def weakest_first(model: Any, tokens: Tensor, threshold: float) -> list[Head]:
    return _find_oracle(model, tokens, threshold)[::-1]


@find_previous_token_heads.wrong("the pairs are (head, layer): the layer comes first.")
def head_before_layer(model: Any, tokens: Tensor, threshold: float) -> list[Head]:
    return [(head, layer) for layer, head in _find_oracle(model, tokens, threshold)]


@find_previous_token_heads.wrong("you kept the heads below the threshold instead of those over it.")
def below_threshold(model: Any, tokens: Tensor, threshold: float) -> list[Head]:
    every = _find_oracle(model, tokens, -1.0)
    return [head for head in every if head not in _find_oracle(model, tokens, threshold)]


@find_previous_token_heads.wrong(
    "only the strongest is there: every head over the threshold counts."
)
def strongest_only(model: Any, tokens: Tensor, threshold: float) -> list[Head]:
    return _find_oracle(model, tokens, threshold)[:1]


@find_previous_token_heads.wrong(
    "there is one head for each layer. A layer may have several such heads, or none: compare every "
    "score with the threshold."
)
def best_of_each_layer(model: Any, tokens: Tensor, threshold: float) -> list[Head]:
    scores = _previous_oracle(model, tokens)
    best = [(layer, int(row.argmax())) for layer, row in enumerate(scores)]
    return sorted(best, key=lambda pair: -scores[pair].item())


@find_previous_token_heads.wrong(
    "these are places in the flattened table. Turn them back into (layer, head): "
    "divmod(index, n_heads)."
)
def flat_indices(model: Any, tokens: Tensor, threshold: float) -> list[int]:
    return [
        layer * model.cfg.n_heads + head for layer, head in _find_oracle(model, tokens, threshold)
    ]


# --- token_kinds ------------------------------------------------------------------------------

token_kinds = checks.exercise(
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


def _repeated(batch: int, period: int, seed: int = 0, d_vocab: int = 30) -> Tensor:
    copy = random_tokens(batch, period, d_vocab, seed)
    return torch.cat([torch.zeros(batch, 1, dtype=torch.int64), copy, copy], dim=1)


def _text(batch: int, pos: int, seed: int = 0) -> Tensor:
    """Rows that do not repeat, though some tokens happen to stand in both halves."""
    tokens = random_tokens(batch, pos, 30, seed)
    tokens[:, 0] = 0
    n = (pos - 1) // 2
    tokens[:, 1 + n] = tokens[:, 1]
    tokens[:, -1] = (tokens[:, n] + 1) % 29 + 1
    return tokens


@token_kinds.cases
def _kinds_cases() -> Iterator[Case]:
    yield Case("BOS a b c a b c", torch.tensor([[0, 7, 8, 9, 7, 8, 9]]))
    yield Case("BOS a b c a b d, which does not repeat", torch.tensor([[0, 7, 8, 9, 7, 8, 5]]))
    yield Case("two rows that repeat and three of text",
               torch.cat([_repeated(2, 5), _text(3, 11)]))  # fmt: skip
    yield Case("text first, then repeats",
               torch.cat([_text(1, 9, seed=1), _repeated(4, 4, seed=2)]))  # fmt: skip
    yield Case("ordinary text with an even number of tokens", _text(2, 8, seed=3))


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


# --- knock_out_losses -------------------------------------------------------------------------

knock_out_losses = checks.exercise(
    "knock_out_losses",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "z is [batch, pos, head, d_head]: what each head has gathered, before W_O writes it. Which "
        "axis is the head, and which axes does its mean run over?",
        "One hook for each pair (layer, head): its name is that of the layer's z, its function is "
        "`replace` with the head filled in. functools.partial fills in an argument.",
        'z[:, :, head] = z[:, :, head].mean((0, 1)) if mode == "mean" else 0.0, and '
        '(utils.get_act_name("z", layer), partial(replace, head=head)) for layer, head in heads.',
    ],
)


@knock_out_losses.cases
def _losses_cases() -> Iterator[Case]:
    model = random_model()
    yield Case("a random model with nothing knocked out", model, random_tokens(2, 5), [], "zero")
    yield Case("head 1.2 set to zero", model, random_tokens(2, 5), [(1, 2)], "zero")
    yield Case("head 1.2 set to its mean", model, random_tokens(3, 7, seed=1), [(1, 2)], "mean")
    yield Case(
        "two heads of one layer", model, random_tokens(3, 6, seed=2), [(0, 3), (0, 1)], "mean"
    )
    yield Case(
        "heads of three layers",
        model,
        random_tokens(4, 9, seed=3),
        [(2, 0), (0, 1), (1, 1)],
        "zero",
    )
    yield Case("as many heads as tokens", random_model(2, 3, seed=5), random_tokens(3, 3, seed=4),
               [(1, 2), (0, 0)], "mean")  # fmt: skip


def _losses_with(
    model: Any, tokens: Tensor, heads: list[Head], edit: Callable[[Tensor, int], Tensor | float]
) -> Tensor:
    """Losses where each head's z [batch, pos, d_head] is replaced by edit(z of all heads, head)."""

    def hook_for(layer: int, head: int) -> tuple[str, Callable[..., Tensor]]:
        def hook(z: Tensor, hook: Any) -> Tensor:
            new = z.clone()
            new[:, :, head] = edit(z, head)
            return new

        return f"blocks.{layer}.attn.hook_z", hook

    logits = model.run_with_hooks(tokens, fwd_hooks=[hook_for(*pair) for pair in heads])
    return _cross_entropy(logits, tokens)


def _cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    rows = [
        torch.nn.functional.cross_entropy(row[:-1], target[1:], reduction="none")
        for row, target in zip(logits, tokens, strict=True)
    ]
    return torch.stack(rows)


def _replacement(mode: str) -> Callable[[Tensor, int], Tensor | float]:
    return (lambda z, head: 0.0) if mode == "zero" else (lambda z, head: z[:, :, head].mean((0, 1)))


@knock_out_losses.oracle
def _losses_oracle(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    """Layer by layer, by hand: no hooks."""
    resid = model.embed(tokens)
    positions = model.pos_embed(tokens.shape[1])
    for layer, block in enumerate(model.blocks):
        attn, x = block.attn, resid
        for head in range(model.cfg.n_heads):
            q = (x + positions) @ attn.W_Q[head]
            k = (x + positions) @ attn.W_K[head]
            z = torch.nn.functional.scaled_dot_product_attention(
                q, k, x @ attn.W_V[head], is_causal=True
            )
            if (layer, head) in [tuple(pair) for pair in heads]:
                z = z.mean((0, 1)).expand_as(z) if mode == "mean" else torch.zeros_like(z)
            resid = resid + z @ attn.W_O[head]
    return _cross_entropy(model.unembed(resid), tokens)


@knock_out_losses.wrong("nothing was knocked out: these are the losses of the whole model.")
def nothing_knocked_out(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    return _losses_oracle(model, tokens, [], mode)


@knock_out_losses.wrong('you put zeros whatever the mode: for "mean", put the head\'s mean there.')
def always_zero(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    return _losses_oracle(model, tokens, heads, "zero")


@knock_out_losses.wrong('you put the mean whatever the mode: for "zero", put zeros there.')
def always_mean(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    return _losses_oracle(model, tokens, heads, "mean")


@knock_out_losses.wrong(
    "your mean runs over the sequences only, and differs from position to position. Average over "
    "both: what the head writes wherever it is."
)
def mean_by_position(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    return _losses_with(
        model, tokens, heads, lambda z, h: 0.0 if mode == "zero" else z[:, :, h].mean(0)
    )


@knock_out_losses.wrong(
    "your mean runs over the positions only, so each sequence keeps a mean of its own, and with it "
    "something of what the head has seen there. Average over sequences and positions."
)
def mean_by_sequence(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    return _losses_with(
        model,
        tokens,
        heads,
        lambda z, h: 0.0 if mode == "zero" else z[:, :, h].mean(1, keepdim=True),
    )


@knock_out_losses.wrong(
    "your mean is one number: you averaged over the d_head numbers as well. z[:, :, head] is "
    "[batch, pos, d_head]; average over its first two axes."
)
def mean_of_everything(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    return _losses_with(
        model, tokens, heads, lambda z, h: 0.0 if mode == "zero" else z[:, :, h].mean()
    )


@knock_out_losses.wrong("every head of the layer is knocked out: pick one on axis 2 of z.")
def whole_layers(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    every = [(layer, head) for layer, _ in heads for head in range(model.cfg.n_heads)]
    return _losses_oracle(model, tokens, every, mode)


@knock_out_losses.wrong(
    "only the last head of each layer is knocked out. Several may share a layer: give every pair a "
    "hook of its own, or replace them all in one."
)
def one_head_a_layer(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    return _losses_oracle(model, tokens, list(dict(heads).items()), mode)


@knock_out_losses.wrong("layer and head are exchanged: the pairs are (layer, head).")
def pairs_exchanged(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    turned = [(head % model.cfg.n_layers, layer) for layer, head in heads]
    return _losses_oracle(model, tokens, turned, mode)


@knock_out_losses.wrong(
    "you replaced a position instead of a head: z is [batch, pos, head, d_head], heads are axis 2."
)
def position_replaced(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    def hook_for(layer: int, head: int) -> tuple[str, Callable[..., Tensor]]:
        def hook(z: Tensor, hook: Any) -> Tensor:
            new = z.clone()
            at = head % z.shape[1]
            new[:, at] = z[:, at].mean((0, 1)) if mode == "mean" else 0.0
            return new

        return f"blocks.{layer}.attn.hook_z", hook

    logits = model.run_with_hooks(tokens, fwd_hooks=[hook_for(*pair) for pair in heads])
    return _cross_entropy(logits, tokens)


@knock_out_losses.wrong(
    "you compared each position's prediction with the token it has read. The logits at position i "
    "are about tokens[:, i + 1]."
)
def loss_of_the_token_read(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    shifted = torch.cat([tokens[:, :1], tokens], dim=1)
    logits = _logits_of(model, tokens, heads, mode)
    return _cross_entropy(logits[:, [*range(tokens.shape[1]), -1]], shifted)[:, :-1]


def _logits_of(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    replace = _replacement(mode)

    def hook_for(layer: int, head: int) -> tuple[str, Callable[..., Tensor]]:
        def hook(z: Tensor, hook: Any) -> Tensor:
            new = z.clone()
            new[:, :, head] = replace(z, head)
            return new

        return f"blocks.{layer}.attn.hook_z", hook

    return model.run_with_hooks(tokens, fwd_hooks=[hook_for(*pair) for pair in heads])


@knock_out_losses.wrong(
    "this is the mean loss. Keep one number for each predicted token: which tokens suffer is the "
    "question (loss_fn has per_token=True)."
)
def one_mean_loss(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    return _losses_oracle(model, tokens, heads, mode).mean()


# --- knock_out_effect -------------------------------------------------------------------------

knock_out_effect = checks.exercise(
    "knock_out_effect",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=[
        "An effect is a difference: the loss with the heads knocked out, minus the loss of the "
        "whole "
        "model. Which call gives you the second one?",
        "knock_out_losses(model, tokens, []) knocks nothing out. The difference is [batch, pos - "
        "1], "
        "like the masks of token_kinds(tokens); change[mask] are the entries of one kind.",
        "{kind: change[mask].mean().item() for kind, mask in token_kinds(tokens).items() if "
        "mask.any()}",
    ],
)


@knock_out_effect.cases
def _effect_cases() -> Iterator[Case]:
    model = random_model()
    both = torch.cat([_repeated(2, 4, seed=1), _text(1, 9, seed=2)])
    yield Case("two repeated rows and one of text, head 1.2", model, both, [(1, 2)], "mean")
    yield Case("the same with zeros", model, both, [(1, 2)], "zero")
    yield Case("repeated rows only", model, _repeated(3, 5, seed=3), [(0, 1), (2, 2)], "mean")
    yield Case("text only", model, _text(4, 8, seed=4), [(0, 0)], "zero")
    yield Case("another model", random_model(2, 5, seed=3),
               torch.cat([_text(3, 13, seed=5), _repeated(1, 6, seed=6)]),
               [(1, 4), (0, 3), (1, 0)], "mean")  # fmt: skip


def _effect(
    change: Tensor, tokens: Tensor, reduce: Callable[[Tensor], Tensor] = torch.mean
) -> dict[str, float]:
    kinds = _kinds_oracle(tokens)
    return {kind: float(reduce(change[mask])) for kind, mask in kinds.items() if mask.any()}


def _change(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    return _losses_oracle(model, tokens, heads, mode) - _losses_oracle(model, tokens, [], mode)


@knock_out_effect.oracle
def _effect_oracle(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    return _effect(_change(model, tokens, heads, mode), tokens)


@knock_out_effect.prop
def leaves_absent_kinds_out(
    output: Any, model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> str | None:
    absent = [kind for kind, mask in _kinds_oracle(tokens).items() if not mask.any()]
    extra = [kind for kind in absent if kind in output]
    return f"these tokens hold no {extra[0]}, and yet it has an entry" if extra else None


@knock_out_effect.wrong(
    "a kind that `tokens` has none of should not be there: the mean of nothing is not a number. "
    "Leave out the kinds whose mask is False everywhere."
)
def absent_kinds_kept(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> dict[str, float]:
    change = _change(model, tokens, heads, mode)
    return {kind: float(change[mask].mean()) for kind, mask in _kinds_oracle(tokens).items()}


@knock_out_effect.wrong(
    "the sign is turned: a positive effect means that the knock-out made the loss larger, so the "
    "whole model's loss is what you subtract."
)
def sign_turned(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> dict[str, float]:
    return _effect(-_change(model, tokens, heads, mode), tokens)


@knock_out_effect.wrong(
    "these are the losses with the heads knocked out. The effect is what the knock-out changed: "
    "subtract the losses of the whole model."
)
def nothing_subtracted(
    model: Any, tokens: Tensor, heads: list[Head], mode: str
) -> dict[str, float]:
    return _effect(_losses_oracle(model, tokens, heads, mode), tokens)


@knock_out_effect.wrong("`mode` does not reach knock_out_losses, which then takes the mean.")
def mode_not_passed(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> dict[str, float]:
    return _effect(_change(model, tokens, heads, "mean"), tokens)


@knock_out_effect.wrong(
    "every kind has the same number: you averaged over all tokens. Pick the entries of one kind "
    "with its mask, change[mask]."
)
def masks_not_used(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> dict[str, float]:
    change = _change(model, tokens, heads, mode)
    return _effect(change, tokens, lambda _: change.mean())


@knock_out_effect.wrong(
    "you multiplied with the mask and averaged over everything, so that tokens of other kinds "
    "count "
    "as zeros. Divide by the number of tokens of the kind: change[mask].mean()."
)
def others_count_as_zero(
    model: Any, tokens: Tensor, heads: list[Head], mode: str
) -> dict[str, float]:
    change = _change(model, tokens, heads, mode)
    return _effect(change, tokens, lambda chosen: chosen.sum() / change.numel())


@knock_out_effect.wrong("you summed over the tokens: take their mean, so that kinds compare.")
def effects_summed(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> dict[str, float]:
    return _effect(_change(model, tokens, heads, mode), tokens, torch.sum)


@knock_out_effect.wrong(
    "this is the change as a share of the loss. Losses are logarithms already: subtract, and leave "
    "it in nats."
)
def relative_change(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> dict[str, float]:
    before = _effect(_losses_oracle(model, tokens, [], mode), tokens)
    change = _effect_oracle(model, tokens, heads, mode)
    return {kind: change[kind] / before[kind] for kind in change}


# --- control_heads ----------------------------------------------------------------------------

control_heads = checks.exercise(
    "control_heads",
    difficulty=3,
    importance=3,
    minutes=12,
    hints=[
        "Go through the heads one at a time. For a head of layer 5, which heads of layer 5 are "
        "still "
        "free: neither given nor drawn before?",
        "Make the generator once, before the loop: torch.Generator().manual_seed(seed). A random "
        "place in a list of n is torch.randint(n, (), generator=generator).",
        "free = [h for h in range(n_heads) if (layer, h) not in heads and (layer, h) not in "
        "controls]; then append (layer, free[int(place)]).",
    ],
)


@control_heads.cases
def _control_cases() -> Iterator[Case]:
    yield Case("one head of eight", [(3, 0)], 8, 0)
    yield Case("four heads of different layers", [(1, 2), (4, 0), (2, 3), (0, 1)], 5, 1)
    yield Case("three heads of a layer that has six", [(2, 1), (2, 4), (2, 0)], 6, 2)
    yield Case("two heads of a layer that has four, and one of another",
               [(7, 0), (7, 3), (1, 2)], 4, 3)  # fmt: skip


@control_heads.oracle
def _control_oracle(heads: list[Head], n_heads: int, seed: int) -> str:
    return "fits"


@control_heads.observe
def _control_observe(output: Any, heads: list[Head], n_heads: int, seed: int) -> str:
    return "fits"


def _pairs(output: Any) -> list[Head]:
    return [(int(layer), int(head)) for layer, head in output]


@control_heads.prop
def has_one_for_each(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    count = len(_pairs(output))
    return None if count == len(heads) else f"expected {len(heads)} heads, got {count}"


@control_heads.prop
def keeps_the_layers(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    layers, given = (sorted(layer for layer, _ in pairs) for pairs in (_pairs(output), heads))
    return None if layers == given else f"the layers should be {given}, yours are {layers}"


@control_heads.prop
def exist(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    out = [pair for pair in _pairs(output) if not 0 <= pair[1] < n_heads]
    return f"heads run from 0 to {n_heads - 1}; there is no {out[0]}" if out else None


@control_heads.prop
def are_new(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    return "these are the heads you were given" if set(_pairs(output)) == set(heads) else None


@control_heads.prop
def are_others(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    both = [pair for pair in _pairs(output) if pair in heads]
    return f"{both[0]} is one of the heads to compare with" if both else None


@control_heads.prop
def come_once(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    pairs = _pairs(output)
    twice = [pair for i, pair in enumerate(pairs) if pair in pairs[:i]]
    return f"{twice[0]} comes twice" if twice else None


def _drawn(attempt: Any, heads: list[Head], n_heads: int, seeds: Any) -> list[list[Head]]:
    drawn = [run_attempt(attempt, (list(heads), n_heads, seed), {}) for seed in seeds]
    return [_pairs(output) for output in drawn if not isinstance(output, Raised)]


Rule = Callable[[Any, list[Head], int, int], "str | None"]


def _holds_for_every_seed(rule: Rule) -> None:
    """Tries a rule with other seeds as well: one draw may keep it by luck."""

    def trial(attempt: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
        drawn = _drawn(attempt, heads, n_heads, range(seed, seed + 20))
        complaints = (rule(output, heads, n_heads, seed) for output in drawn)
        broken = next(filter(None, complaints), None)
        return f"with another seed, {broken}" if broken else None

    trial.__name__ = f"{rule.__name__}_for_every_seed"
    control_heads.trial(trial)


for rule in (keeps_the_layers, exist, are_others, come_once):
    _holds_for_every_seed(rule)


@control_heads.trial
def same_seed_same_heads(attempt: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    again = {tuple(_pairs(attempt(list(heads), n_heads, seed))) for _ in range(4)}
    return f"seed {seed} gave different heads when called again" if len(again) > 1 else None


@control_heads.trial
def other_seeds_other_heads(attempt: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    drawn = {tuple(output) for output in _drawn(attempt, heads, n_heads, range(12))}
    return "twelve seeds all gave the same heads" if len(drawn) == 1 else None


@control_heads.trial
def every_head_can_be_drawn(attempt: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    if len(heads) > 1:
        return None
    layer = heads[0][0]
    seen = {pair for drawn in _drawn(attempt, heads, n_heads, range(150)) for pair in drawn}
    missing = [h for h in range(n_heads) if (layer, h) not in [*seen, *heads]]
    return f"150 seeds never drew {(layer, missing[0])}" if missing else None


def _given_and_drawn(given: list[Head], controls: list[Head], layer: int, head: int) -> list[Head]:
    return [*given, *controls]


def _picks(heads: list[Head], n_heads: int, seed: int, banned: Any) -> list[Head]:
    generator = torch.Generator().manual_seed(seed)
    controls: list[Head] = []
    for layer, head in heads:
        free = [h for h in range(n_heads) if (layer, h) not in banned(heads, controls, layer, head)]
        place = torch.randint(len(free), (), generator=generator)
        controls.append((layer, free[int(place)]))
    return controls


@control_heads.wrong("you gave the same heads back: a control is another head of the same layer.")
def same_heads(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return list(heads)


@control_heads.wrong(
    "a control must not be any of the given heads. You excluded the one at hand; others of its "
    "layer "
    "may be given too."
)
def own_head_excluded_only(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    def banned(heads: list[Head], controls: list[Head], layer: int, head: int) -> list[Head]:
        return [(layer, head), *controls]

    return _picks(heads, n_heads, seed, banned)


@control_heads.wrong(
    "any head of the layer can be drawn, the one you compare with too. Draw from the heads of the "
    "layer that are neither given nor drawn before."
)
def nothing_excluded(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return _picks(heads, n_heads, seed, lambda given, controls, layer, head: [])


@control_heads.wrong(
    "the same control can be drawn twice where two heads share a layer; you would then knock out "
    "fewer heads than you compare with. Exclude those drawn before."
)
def drawn_with_replacement(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return _picks(heads, n_heads, seed, lambda heads, controls, layer, head: heads)


@control_heads.wrong(
    "the layers are drawn too. Heads of different depths do different work: a fair control comes "
    "from the same layer."
)
def any_layer(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    layers = [(layer + 1 + seed, head) for layer, head in heads]
    return _picks(layers, n_heads, seed, _given_and_drawn)


@control_heads.wrong(
    "the seed plays no part: you take the first free head each time. A control is random, and a "
    "new "
    "seed gives a new one."
)
def first_free_head(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return _picks(heads, n_heads, 0, lambda given, controls, layer, head: [
        *given, *controls, *_all_but_first(given, controls, layer, n_heads)])  # fmt: skip


def _all_but_first(given: list[Head], controls: list[Head], layer: int, n_heads: int) -> list[Head]:
    free = [h for h in range(n_heads) if (layer, h) not in [*given, *controls]]
    return [(layer, h) for h in free[1:]]


@control_heads.wrong(
    "the generator is not seeded, so the same call gives other heads each time: use "
    "torch.Generator().manual_seed(seed) and hand it to every draw."
)
def seed_not_used(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return _picks(heads, n_heads, int(torch.randint(2**31, ())), _given_and_drawn)


@control_heads.wrong(
    "heads are counted from 0 to n_heads - 1; you drew from 1 to n_heads, a head that is not there."
)
def counted_from_one(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    shifted = [(layer, head - 1) for layer, head in heads]
    drawn = _picks(shifted, n_heads, seed, _given_and_drawn)
    return [(layer, head + 1) for layer, head in drawn]


@control_heads.wrong(
    "the last free head is never drawn: randint(n) draws from 0 to n - 1, so n is the number of "
    "free heads, not one less."
)
def last_never_drawn(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return _picks(heads, n_heads - 1, seed, _given_and_drawn)


# --- direct_path_bigrams ----------------------------------------------------------------------

direct_path_bigrams = checks.exercise(
    "direct_path_bigrams",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "On the direct path nothing happens between embedding and unembedding. What vector does "
        "the "
        "token put into the residual stream, and what turns it into one logit for each token?",
        "model.W_E[token] is [d_model], model.W_U is [d_model, d_vocab]: their product is a "
        "logit for "
        "every token that might come next.",
        "`topk(k)` gives the largest values and where they stand, strongest first; the places "
        "are the "
        "tokens: .indices.tolist().",
    ],
)


@cache
def _tied_model() -> CourseTransformer:
    """A random model that unembeds with its embedding, as many language models do."""
    cfg = CourseConfig(n_layers=1, n_heads=2, d_model=10, d_head=4, d_vocab=17, n_ctx=8, seed=2)
    model = CourseTransformer(cfg)
    with torch.no_grad():
        model.W_U.copy_(model.W_E.T)
    return model.requires_grad_(False)


@direct_path_bigrams.cases
def _direct_cases() -> Iterator[Case]:
    yield Case("token 4 of a random model, the 3 it raises most", random_model(), 4, 3)
    yield Case("token 0, the first alone", random_model(2, 5, seed=1), 0, 1)
    yield Case("a model that unembeds with its embedding", _tied_model(), 9, 5)
    yield Case("a random model, 10 tokens", random_model(seed=3), 29, 10)


@direct_path_bigrams.oracle
def _direct_oracle(model: Any, token: int, k: int) -> list[int]:
    logits = [float((model.W_E[token] * model.W_U[:, t]).sum()) for t in range(model.W_U.shape[1])]
    return sorted(range(len(logits)), key=lambda t: -logits[t])[:k]


@direct_path_bigrams.wrong("these are the logits: return the tokens they stand at.")
def logits_returned(model: Any, token: int, k: int) -> list[float]:
    return (model.W_E[token] @ model.W_U).topk(k).values.tolist()


@direct_path_bigrams.wrong(
    "these are the tokens that the direct path lowers most: take the largest logits."
)
def smallest_logits(model: Any, token: int, k: int) -> list[int]:
    return (model.W_E[token] @ model.W_U).topk(k, largest=False).indices.tolist()


@direct_path_bigrams.wrong("the weakest comes first: strongest first, please.")
def weakest_token_first(model: Any, token: int, k: int) -> list[int]:
    return _direct_oracle(model, token, k)[::-1]


@direct_path_bigrams.wrong(
    "these are the tokens after which yours is raised most: you took a column of the table W_E "
    "W_U. "
    "The current token is its row."
)
def tokens_before(model: Any, token: int, k: int) -> list[int]:
    return (model.W_E @ model.W_U[:, token]).topk(k).indices.tolist()


@direct_path_bigrams.wrong(
    "these are the tokens with the most similar embeddings: you multiplied with W_E once more. The "
    "logits come from W_U."
)
def similar_embeddings(model: Any, token: int, k: int) -> list[int]:
    return (model.W_E @ model.W_E[token]).topk(k).indices.tolist()


@direct_path_bigrams.wrong(
    "this is what the whole model predicts after the token, heads included. The direct path is the "
    "product of two weight matrices; nothing has to be run."
)
def whole_model(model: Any, token: int, k: int) -> list[int]:
    return model(torch.tensor([[token]]))[0, -1].topk(k).indices.tolist()


@direct_path_bigrams.wrong(
    "you left the token itself out. Whether the direct path says it again is a finding, not a "
    "mistake: keep it."
)
def itself_left_out(model: Any, token: int, k: int) -> list[int]:
    return [t for t in _direct_oracle(model, token, k + 1) if t != token][:k]


# --- bigram_table -----------------------------------------------------------------------------

bigram_table = checks.exercise(
    "bigram_table",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "The direct path for all tokens at once is one matrix product, [d_vocab, d_vocab]. Which "
        "matrices does the current token pass through when a head looks at it and writes?",
        "Embedding, the head's W_V, the head's W_O, unembedding: four matrices in a row. What the "
        "paths write into the residual stream adds up, and so do their logits.",
        "table = model.W_E @ model.W_U, and for each (layer, head) add model.W_E @ "
        "model.W_V[layer, head] @ model.W_O[layer, head] @ model.W_U.",
    ],
)


@bigram_table.cases
def _table_cases() -> Iterator[Case]:
    model = random_model()
    yield Case("no heads: the direct path alone", model, [])
    yield Case("one head, 1.2", model, [(1, 2)])
    yield Case("heads of three layers", model, [(2, 0), (0, 3), (1, 1)])
    yield Case("two heads of one layer", random_model(2, 5, seed=1), [(1, 0), (1, 4)])


@bigram_table.oracle
def _table_oracle(model: Any, heads: list[Head]) -> Tensor:
    """Row by row: the token's embedding, and what each head makes of it."""
    rows = []
    for token in range(model.cfg.d_vocab):
        x = model.W_E[token]
        writes = [x @ model.blocks[layer].attn.OV[head].AB for layer, head in heads]
        rows.append(torch.stack([x, *writes]).sum(0) @ model.W_U)
    return torch.stack(rows)


def _head_tables(model: Any, heads: list[Head]) -> list[Tensor]:
    return [model.W_E @ model.blocks[la].attn.OV[h].AB @ model.W_U for la, h in heads]


@bigram_table.wrong(
    "the direct path is missing: the embedding itself reaches the unembedding too, W_E W_U."
)
def direct_path_missing(model: Any, heads: list[Head]) -> Tensor:
    zero = torch.zeros(model.cfg.d_vocab, model.cfg.d_vocab)
    return torch.stack([zero, *_head_tables(model, heads)]).sum(0)


@bigram_table.wrong("the heads are missing: this is the direct path alone.")
def heads_missing(model: Any, heads: list[Head]) -> Tensor:
    return model.W_E @ model.W_U


@bigram_table.wrong("the table is transposed: rows are the current token, columns the next one.")
def table_transposed(model: Any, heads: list[Head]) -> Tensor:
    return _table_oracle(model, heads).T


@bigram_table.wrong(
    "each head reads what the one before it has written. Here every head reads the current token's "
    "embedding: multiply W_E with each W_OV, and add."
)
def heads_chained(model: Any, heads: list[Head]) -> Tensor:
    x = model.W_E
    for layer, head in heads:
        x = x + x @ model.blocks[layer].attn.OV[head].AB
    return x @ model.W_U


@bigram_table.wrong(
    "you used W_Q and W_K, which decide where a head looks. What it writes goes through W_V and "
    "W_O."
)
def qk_for_ov(model: Any, heads: list[Head]) -> Tensor:
    tables = [model.W_E @ model.blocks[la].attn.QK[h].AB @ model.W_U for la, h in heads]
    return torch.stack([model.W_E @ model.W_U, *tables]).sum(0)


@bigram_table.wrong("only the last head counts: add what each of them writes.")
def last_head_only(model: Any, heads: list[Head]) -> Tensor:
    return _table_oracle(model, heads[-1:])


@bigram_table.wrong("layer and head are exchanged: the pairs are (layer, head).")
def table_pairs_exchanged(model: Any, heads: list[Head]) -> Tensor:
    return _table_oracle(model, [(h % model.cfg.n_layers, layer) for layer, h in heads])


@bigram_table.wrong(
    "these are probabilities: return the logits, before a softmax, so that paths can be added."
)
def probabilities_returned(model: Any, heads: list[Head]) -> Tensor:
    return _table_oracle(model, heads).softmax(-1)


# --- questions --------------------------------------------------------------------------------

checks.quiz(
    "who_looks_at_whom",
    "In an attention pattern, pattern[5, 2] is 0.9. What does that say?",
    {
        "token 5 looks at token 2": "Rows are queries, the ones who look; columns are keys.",
        "token 2 looks at token 5": "Token 2 cannot look at token 5, which lies in its future. "
        "pattern[q, k]: rows are queries, the ones who look.",
        "head 5 looks at token 2": "This is the pattern of one head; both indices are positions. "
        "pattern[q, k]: rows are queries, columns are keys.",
    },
    answer="token 5 looks at token 2",
)

checks.quiz(
    "what_a_head_writes",
    "A head attends fully to one token. Which matrix decides what it writes?",
    {
        "W_QK = W_Q W_K^T": "That one decided where it looks. What it carries over from there "
        "goes through W_V and W_O.",
        "W_OV = W_V W_O": "It reads with W_V at the token it looks at, and writes with W_O.",
        "W_U": "The unembedding reads what all components have written together; it is not the "
        "head's.",
    },
    answer="W_OV = W_V W_O",
)

checks.quiz(
    "pattern_as_evidence",
    "A head looks exactly where your explanation says it should. What have you shown?",
    {
        "that the model needs the head for it": "Not yet: whether anything depends on what the "
        "head fetches is shown by an intervention, such as silencing it.",
        "that the head could do it": "A pattern says where a head looks. Whether the model depends "
        "on it is a causal question, for a hook.",
        "what the head writes": "The pattern is about looking. What is written depends on W_OV and "
        "on what stands at the place it looks at.",
    },
    answer="that the head could do it",
)

checks.prediction(
    "why_bos",
    "Several heads look at BOS from nearly everywhere. The most likely reason?",
    {
        "BOS holds something about the text": "BOS comes first, so it has seen none of the text: "
        "in every sequence it holds the same.",
        "they have nothing to fetch and must look somewhere": "Each row of a pattern sums to 1. A "
        "head that has nothing to fetch needs a place where looking does no harm.",
        "the causal mask leaves them no choice": "The mask forbids the future only; query 10 may "
        "look at any of eleven tokens.",
    },
    answer="they have nothing to fetch and must look somewhere",
)

checks.prediction(
    "sink_at_offset_1",
    "A head looks at BOS alone. What is its diagonal score at offset 1, on 9 tokens?",
    {
        "0": "Query 1 looks at BOS too, and for query 1 BOS is the token before.",
        "1/9": "Right idea: one query, number 1, looks at its previous token by accident. But only "
        "8 queries have a previous token.",
        "1/8": "Of the 8 queries that have a previous token, number 1 looks at it: it is BOS.",
        "1": "That would be a head that looks at the token before from everywhere.",
    },
    answer="1/8",
)

checks.prediction(
    "random_or_english",
    "Heads that look one token back: on which text will they score higher in a language model?",
    {
        "higher on random tokens": "You expect something in English to draw attention away.",
        "higher on English": "You expect them to work best on text like their training data.",
        "about the same": "You expect positions alone to decide where they look.",
    },
)

checks.prediction(
    "who_suffers",
    "We knock out the previous-token head of induction-2l. Which tokens will be predicted worse?",
    {
        "chain text most": "That follows if the head holds the bigrams.",
        "second copies most": "That follows if the head labels tokens for later heads to find.",
        "first copies most": "Nobody can predict first copies: their tokens are random. But keep "
        "an eye on that column.",
        "all about alike": "That follows if the head does a bit of everything.",
    },
)

checks.prediction(
    "where_a_bigram_head_looks",
    "A head adds bigram statistics of its own. Which token must it look at?",
    {
        "the token before": "Then it would see the token before last of the one to predict. What "
        "follows the current token depends on the current token.",
        "the current token": "What follows the current token depends on that token, so a head that "
        "is to know must look at it: offset 0.",
        "BOS": "BOS is the same in every sequence: from there a head can learn nothing about what "
        "follows this token.",
    },
    answer="the current token",
)

checks.prediction(
    "direct_path_real",
    "In the language model you loaded, what does the direct path of a token raise most?",
    {
        "tokens that often follow it": "That would be a bigram, as in induction-2l.",
        "the token itself": "That follows if the model unembeds with its embedding.",
        "nothing in particular": "You expect the other parts of the model to do all the work.",
    },
)

checks.explanation(
    "first_copies_gain",
    "Why did the knock-out make first copies better?",
    "When a token comes up again by chance, the induction circuit bets that the sequence "
    "repeats, and "
    "on a first copy that bet is wrong; without its label the circuit does not bet.",
)

checks.explanation(
    "zero_or_mean",
    "Compare the rows with zeros and with means: what would you have concluded from zeros alone?",
    "With zeros, random heads can look as important as the ones under test, because what is lost "
    "is "
    "partly the constant that later layers rely on; means leave that in place.",
)

checks.explanation(
    "verdict",
    "Do previous-token heads implement bigram statistics? Give your answer and its best evidence.",
    "No: taking them away leaves text that is all bigrams as it was and ruins second copies, and "
    "the "
    "head whose weights do complete the bigram table looks at the current token.",
)
