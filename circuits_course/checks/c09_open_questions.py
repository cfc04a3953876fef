"""Chapter 09, Open questions: profiles of whole models, jobs of one head, families of heads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.inputs import matching_model, normal, random_model, random_tokens
from circuits_course.circuits.profiles import Place

checks = ChapterChecks("09_open_questions")

Masks = dict[str, Tensor]
Profile = dict[str, Tensor]


def _tokens(*rows: str) -> Tensor:
    """Rows of letters as tokens, BOS (0) first; "a" is 1."""
    return torch.tensor([[0, *(ord(letter) - ord("a") + 1 for letter in row)] for row in rows])


def _drawn(batch: int, pos: int, seed: int = 0, d_vocab: int = 6) -> Tensor:
    """Random sequences, BOS first, in which tokens come again."""
    tokens = random_tokens(batch, pos, d_vocab, seed)
    tokens[:, 0] = 0
    return tokens


def _masks(tokens: Tensor) -> Masks:
    """The behaviours by their definition, cell by cell."""
    shape = (*tokens.shape, tokens.shape[1])
    names = ("previous token", "duplicate token", "induction")
    masks = {name: torch.zeros(shape, dtype=torch.bool) for name in names}
    for b, row in enumerate(tokens.tolist()):
        for q in range(len(row)):
            for k in range(1, q + 1):
                masks["previous token"][b, q, k] = k == q - 1
                masks["duplicate token"][b, q, k] = k < q and row[k] == row[q]
                masks["induction"][b, q, k] = row[k - 1] == row[q]
    return masks


# --- behaviour_masks --------------------------------------------------------------------------

behaviour_masks = checks.exercise(
    "behaviour_masks",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "Write BOS a b a b down twice, as rows (queries) and as columns (keys), and cross the "
        "cells of each behaviour. Which diagonal is the first one? Which cells say 'same token'?",
        "`same` says at [b, q, k] whether query and key hold the same token. Induction asks about "
        "the token *before* the key: the same table, moved one column to the right.",
        "after_same[:, :, 1:] = same[:, :, :-1] moves it. Then forbid the future: a duplicate has "
        "key < query, an induction target key <= query.",
    ],
)


@behaviour_masks.cases
def _mask_cases() -> Iterator[Case]:
    yield Case("BOS a b c a b", _tokens("abcab"))
    yield Case("BOS a a b, where a token follows itself", _tokens("aab"))
    yield Case("BOS a b a c a, where there are two earlier copies", _tokens("abaca"))
    for seed, (batch, pos) in enumerate(((2, 7), (3, 9), (1, 12))):
        yield Case("random tokens that come again", _drawn(batch, pos, seed))


@behaviour_masks.oracle
def _mask_oracle(tokens: Tensor) -> Masks:
    return _masks(tokens)


@behaviour_masks.observe
def _as_truths(output: Any, tokens: Tensor) -> Masks:
    """Zeros and ones will do for truth values, and one mask for all sequences may be expanded."""
    shape = (*tokens.shape, tokens.shape[1])
    masks = {}
    for name, mask in output.items():
        table = torch.as_tensor(mask)
        masks[name] = table.bool().expand(shape) if table.ndim == 2 else table.bool()
    return masks


def _changed(tokens: Tensor, **changes: Tensor) -> Masks:
    """The right masks with some of them exchanged; `previous`, `duplicate` or `induction`."""
    full = {"previous": "previous token", "duplicate": "duplicate token", "induction": "induction"}
    masks = _masks(tokens)
    masks.update({full[name]: mask for name, mask in changes.items()})
    return masks


@behaviour_masks.wrong(
    "your duplicates include the query itself. Every token equals itself; a duplicate is an "
    "*earlier* place: key < query."
)
def counts_itself(tokens: Tensor) -> Masks:
    itself = torch.eye(tokens.shape[1], dtype=torch.bool)
    itself[0] = False
    return _changed(tokens, duplicate=_masks(tokens)["duplicate token"] | itself)


@behaviour_masks.wrong(
    "your induction mask marks the token *before* an earlier copy. An induction head looks at the "
    "token that came *after* it: that is what it will say."
)
def token_before(tokens: Tensor) -> Masks:
    before = torch.zeros_like(_masks(tokens)["induction"])
    before[:, :, 1:-1] = _masks(tokens)["duplicate token"][:, :, 2:]
    return _changed(tokens, induction=before)


@behaviour_masks.wrong(
    "your induction mask marks the earlier copy itself. That is what a duplicate-token head looks "
    "at; induction looks one place further on."
)
def induction_is_duplicate(tokens: Tensor) -> Masks:
    return _changed(tokens, induction=_masks(tokens)["duplicate token"])


@behaviour_masks.wrong(
    "your masks allow keys after the query. Attention is causal: no head can look there, so such "
    "cells would only count as missed."
)
def looks_ahead(tokens: Tensor) -> Masks:
    same_token = tokens[:, :, None] == tokens[:, None, :]
    same_token[:, :, 0] = False
    after = torch.zeros_like(same_token)
    after[:, :, 1:] = tokens[:, :, None] == tokens[:, None, :-1]
    apart = ~torch.eye(tokens.shape[1], dtype=torch.bool)
    return _changed(tokens, duplicate=same_token & apart, induction=after)


@behaviour_masks.wrong(
    "keys and queries are exchanged: the masks are [batch, q, k], and rows are the ones who look."
)
def transposed(tokens: Tensor) -> Masks:
    return {name: mask.transpose(1, 2) for name, mask in _masks(tokens).items()}


@behaviour_masks.wrong(
    "BOS counts as a target. Heads rest on BOS when they have nothing to do, so key 0 must not "
    "count for any behaviour."
)
def bos_counts(tokens: Tensor) -> Masks:
    previous = _masks(tokens)["previous token"]
    previous[:, 1, 0] = True
    return _changed(tokens, previous=previous)


@behaviour_masks.wrong(
    "you marked the nearest earlier copy alone. A head may look at any of them; mark them all."
)
def nearest_copy(tokens: Tensor) -> Masks:
    def nearest(mask: Tensor) -> Tensor:
        last = mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)
        return last

    masks = _masks(tokens)
    return _changed(
        tokens, duplicate=nearest(masks["duplicate token"]), induction=nearest(masks["induction"])
    )


@behaviour_masks.wrong(
    "your induction mask leaves out the query itself. Where a token follows itself (a a), the "
    "second one is also what came after the first: key <= query."
)
def induction_strictly_before(tokens: Tensor) -> Masks:
    itself = torch.eye(tokens.shape[1], dtype=torch.bool)
    return _changed(tokens, induction=_masks(tokens)["induction"] & ~itself)


@behaviour_masks.wrong("your previous-token mask marks the key two before the query, not one.")
def two_back(tokens: Tensor) -> Masks:
    pos = torch.arange(tokens.shape[1])
    two = (pos[:, None] - pos == 2).expand_as(_masks(tokens)["induction"]).clone()
    two[:, :, 0] = False
    return _changed(tokens, previous=two)


# --- head_profile -----------------------------------------------------------------------------

head_profile = checks.exercise(
    "head_profile",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "For one behaviour and one head: on a query that has something to look at, how much of its "
        "attention goes there? That is one number for each such query. Which axes remain to be "
        "averaged?",
        "pattern * mask keeps the attention on the marked keys; sum it over keys. The mask lacks "
        "the head axis: mask[:, None].",
        "on_target is [batch, head, q] and `asked` [batch, q]. on_target.transpose(1, 2)[asked] is "
        "[asked queries, head]; mean over the queries.",
    ],
)

_REPEATS = 8


def _repeats(model: Any, period: int = _REPEATS, batch: int = 2, seed: int = 0) -> Tensor:
    copy = random_tokens(batch, period, model.cfg.d_vocab, seed)
    return torch.cat([torch.zeros(batch, 1, dtype=torch.int64), copy, copy], dim=1)


@head_profile.cases
def _profile_cases() -> Iterator[Case]:
    made = matching_model(
        ((("even", 0.0), ("duplicate", 12.0)), (("induction", 12.0), ("even", 0.0)))
    )
    yield Case(
        "a model whose head 0.1 looks at duplicates and 1.0 at what came after them",
        made,
        _repeats(made),
    )
    yield Case("sequences that repeat little, and not equally often", random_model(),
               _tokens("abcdefg", "abababa"))  # fmt: skip
    yield Case("a sequence of different tokens, where only the previous one can be looked at",
               random_model(), _tokens("gfedcba"))  # fmt: skip
    for seed in (1, 2):
        tokens = _drawn(2 + seed, 9 + seed, seed, d_vocab=9)
        yield Case("a random model, tokens that come again", random_model(seed=seed), tokens)


@cache
def _patterns_of(model: Any, key: tuple[tuple[int, ...], ...]) -> tuple[Tensor, ...]:
    _, cache_ = model.run_with_cache(torch.tensor(key))
    return tuple(cache_["pattern", layer].detach() for layer in range(model.cfg.n_layers))


def _patterns(model: Any, tokens: Tensor) -> tuple[Tensor, ...]:
    """Each layer's attention [batch, head, q, k]."""
    return _patterns_of(model, tuple(map(tuple, tokens.tolist())))


def _profile(
    model: Any,
    tokens: Tensor,
    masks: Callable[[Tensor], Masks] = _masks,
    pool: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Profile:
    """Scores from the patterns; `pool(on target [batch, q], asked [batch, q])` averages."""
    pool = pool or (lambda on_target, asked: on_target[asked].mean())
    profile = {}
    for name, mask in masks(tokens).items():
        asked = mask.any(-1)
        if asked.any():
            rows = [
                [pool((layer[:, head] * mask).sum(-1), asked) for head in range(layer.shape[1])]
                for layer in _patterns(model, tokens)
            ]
            profile[name] = torch.tensor(rows)
    return profile


@head_profile.oracle
def _profile_oracle(model: Any, tokens: Tensor) -> Profile:
    return _profile(model, tokens)


@head_profile.wrong(
    "you averaged over all queries. A query without a key to look at can only score 0; count the "
    "ones that were asked: those with a True in their row of the mask."
)
def all_queries(model: Any, tokens: Tensor) -> Profile:
    return _profile(model, tokens, pool=lambda on_target, asked: on_target.mean())


@head_profile.wrong("you summed over the queries. A score is their mean, and at most 1.")
def summed(model: Any, tokens: Tensor) -> Profile:
    return _profile(model, tokens, pool=lambda on_target, asked: on_target[asked].sum())


@head_profile.wrong(
    "you averaged within each sequence first and then over sequences. Some sequences have more "
    "queries to ask than others: average once, over all asked queries of the batch alike."
)
def sequence_by_sequence(model: Any, tokens: Tensor) -> Profile:
    def pool(on_target: Tensor, asked: Tensor) -> Tensor:
        rows = [
            row[which].mean() for row, which in zip(on_target, asked, strict=True) if which.any()
        ]
        return torch.stack(rows).mean()

    return _profile(model, tokens, pool=pool)


@head_profile.wrong(
    "you averaged over the marked keys. Whether a head looks at one of two copies or at both, what "
    "counts is how much of its attention they get together: sum over keys."
)
def mean_over_keys(model: Any, tokens: Tensor) -> Profile:
    profile = {}
    for name, mask in _masks(tokens).items():
        if mask.any():
            rows = [layer.transpose(0, 1)[:, mask].mean(-1) for layer in _patterns(model, tokens)]
            profile[name] = torch.stack(rows)
    return profile


@head_profile.wrong(
    "you took the best query. One lucky query is no behaviour: average over all that were asked."
)
def best_query(model: Any, tokens: Tensor) -> Profile:
    return _profile(model, tokens, pool=lambda on_target, asked: on_target[asked].max())


@head_profile.wrong(
    "layers and heads are exchanged: each score table is [layer, head], layers first."
)
def heads_first(model: Any, tokens: Tensor) -> Profile:
    return {name: scores.T for name, scores in _profile(model, tokens).items()}


@head_profile.wrong(
    "a behaviour that no query could show stands in your profile. There is nothing to average "
    "there; leave it out, so that nobody takes it for a score."
)
def unasked_kept(model: Any, tokens: Tensor) -> Profile:
    nothing = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    return {**dict.fromkeys(_masks(tokens), nothing), **_profile(model, tokens)}


@head_profile.wrong(
    "you read the pattern the wrong way round: which queries look at a key, in place of which keys "
    "a query looks at. Rows are queries; sum over the last axis."
)
def pattern_transposed(model: Any, tokens: Tensor) -> Profile:
    def flipped(tokens: Tensor) -> Masks:
        return {name: mask.transpose(1, 2) for name, mask in _masks(tokens).items()}

    return _profile(model, tokens, masks=flipped)


# --- mean_and_error ---------------------------------------------------------------------------

mean_and_error = checks.exercise(
    "mean_and_error",
    difficulty=1,
    importance=5,
    minutes=5,
    hints=[
        "Two numbers are asked for. How far apart the runs lie is their standard deviation; how "
        "far off their *mean* may be gets smaller with more runs. By how much?",
        "The standard error of a mean of n runs is the standard deviation over the root of n.",
        "runs.std() divides by n - 1 already; then / len(runs) ** 0.5.",
    ],
)


@mean_and_error.cases
def _error_cases() -> Iterator[Case]:
    yield Case("three runs, 1, 2 and 6", [1.0, 2.0, 6.0])
    yield Case("five runs that agree", [0.5] * 5)
    yield Case("four runs of which one went wrong", [0.0, 0.0, 0.0, 4.0])
    for seed, count in enumerate((3, 5, 10)):
        yield Case("random runs", (5 + normal(count, seed=seed)).tolist())


def _spread(values: list[float], freedom: int = 1) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - freedom))


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


@mean_and_error.observe
def _as_numbers(output: Any, values: list[float]) -> list[float]:
    mean, error = output
    return [float(mean), float(error)]


@mean_and_error.oracle
def _error_oracle(values: list[float]) -> list[float]:
    return [_mean(values), _spread(values) / math.sqrt(len(values))]


@mean_and_error.wrong(
    "that is the standard deviation, which says how far apart the runs lie. The error of their "
    "*mean* is smaller: divide by the root of the number of runs."
)
def standard_deviation(values: list[float]) -> list[float]:
    return [_mean(values), _spread(values)]


@mean_and_error.wrong(
    "the standard deviation was divided by n. The mean was fitted to these same runs, so the "
    "sample standard deviation divides by n - 1 (torch: correction=1)."
)
def divides_by_n(values: list[float]) -> list[float]:
    return [_mean(values), _spread(values, freedom=0) / math.sqrt(len(values))]


@mean_and_error.wrong(
    "you divided by the number of runs, not by its root: errors shrink with the root of n."
)
def no_root(values: list[float]) -> list[float]:
    return [_mean(values), _spread(values) / len(values)]


@mean_and_error.wrong(
    "that is a variance, in squared units. Take its root before you divide by the root of n."
)
def variance(values: list[float]) -> list[float]:
    return [_mean(values), _spread(values) ** 2 / len(values)]


@mean_and_error.wrong(
    "that is half the distance between the largest and the smallest run, which grows with the "
    "number of runs. The standard error shrinks."
)
def half_range(values: list[float]) -> list[float]:
    return [_mean(values), (max(values) - min(values)) / 2]


@mean_and_error.wrong("that is the median. The mean is asked for, outliers and all.")
def median(values: list[float]) -> list[float]:
    middle = torch.tensor(values, dtype=torch.float64).quantile(0.5).item()
    return [middle, _spread(values) / math.sqrt(len(values))]


@mean_and_error.wrong("error and mean are exchanged: the mean comes first.")
def error_first(values: list[float]) -> list[float]:
    return _error_oracle(values)[::-1]


# --- compare_profiles -------------------------------------------------------------------------

compare_profiles = checks.exercise(
    "compare_profiles",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "scores.argmax() counts through the whole table as if it were one row. How do you get the "
        "layer back from that number?",
        "The layer is the index // n_heads. The first layer is at depth 0 and the last at depth 1.",
        "layer / (n_layers - 1), and a model with one layer must not divide by 0: "
        "max(n_layers - 1, 1).",
    ],
)

Places = dict[str, dict[str, tuple[float, float]]]


def _only(n_layers: int, n_heads: int, layer: int, head: int, score: float = 0.9) -> Tensor:
    """All scores .1 except one."""
    scores = torch.full((n_layers, n_heads), 0.1)
    scores[layer, head] = score
    return scores


@compare_profiles.cases
def _compare_cases() -> Iterator[Case]:
    yield Case(
        "two models whose strongest heads are 1.0 of 4 layers and 6.2 of 9",
        {
            "small": {"induction": _only(4, 2, 1, 0)},
            "large": {"induction": _only(9, 4, 6, 2, 0.6)},
        },
    )
    yield Case("a model of one layer", {"flat": {"previous token": _only(1, 5, 0, 3)}})
    yield Case(
        "two models of which one lacks a behaviour",
        {
            "a": {"induction": _only(6, 3, 5, 2), "duplicate token": _only(6, 3, 0, 1)},
            "b": {"duplicate token": _only(4, 8, 3, 7)},
        },
    )
    yield Case(
        "a strong head in a weak layer",
        {"m": {"induction": torch.tensor([[0.5, 0.5, 0.5], [0.9, 0.0, 0.0], [0.4, 0.4, 0.4]])}},
    )
    for seed in range(3):
        shapes = {"first": (4 + seed, 3), "second": (7, 2 + seed)}
        yield Case(
            "random profiles",
            {
                model: {
                    name: normal(*shape, seed=10 * seed + i).abs()
                    for i, name in enumerate(("previous token", "induction"))
                }
                for model, shape in shapes.items()
            },
        )


@compare_profiles.observe
def _as_pairs(output: Any, profiles: dict[str, Profile]) -> Places:
    return {
        behaviour: {model: (float(place[0]), float(place[1])) for model, place in places.items()}
        for behaviour, places in output.items()
    }


def _places(profiles: dict[str, Profile], place: Callable[[Tensor], tuple[float, float]]) -> Places:
    found: Places = {}
    for model, profile in profiles.items():
        for behaviour, scores in profile.items():
            found.setdefault(behaviour, {})[model] = Place(*place(scores))
    return found


def _best(scores: Tensor) -> tuple[int, int, float]:
    """Layer, head and score of the strongest head, by looking at every one."""
    table = scores.tolist()
    score, layer, head = max(
        (score, -layer, -head) for layer, row in enumerate(table) for head, score in enumerate(row)
    )
    return -layer, -head, score


@compare_profiles.oracle
def _compare_oracle(profiles: dict[str, Profile]) -> Places:
    def place(scores: Tensor) -> tuple[float, float]:
        layer, _, score = _best(scores)
        return (layer / (len(scores) - 1) if len(scores) > 1 else 0.0), score

    return _places(profiles, place)


@compare_profiles.wrong(
    "you divided by the number of layers. Then no head reaches depth 1: the last layer is number "
    "n_layers - 1."
)
def over_all_layers(profiles: dict[str, Profile]) -> Places:
    return _places(profiles, lambda s: (_best(s)[0] / len(s), _best(s)[2]))


@compare_profiles.wrong(
    "you counted layers from 1. The first layer is at depth 0 (here as everywhere, layers count "
    "from 0)."
)
def counted_from_one(profiles: dict[str, Profile]) -> Places:
    return _places(profiles, lambda s: ((_best(s)[0] + 1) / len(s), _best(s)[2]))


@compare_profiles.wrong("that is the number of the layer. Relative depth runs from 0 to 1.")
def layer_number(profiles: dict[str, Profile]) -> Places:
    return _places(profiles, lambda s: (float(_best(s)[0]), _best(s)[2]))


@compare_profiles.wrong(
    "you took the rest of the division, which is the head within its layer. The layer is the whole "
    "part: index // n_heads."
)
def head_for_layer(profiles: dict[str, Profile]) -> Places:
    return _places(profiles, lambda s: (_best(s)[1] / max(len(s) - 1, 1), _best(s)[2]))


@compare_profiles.wrong(
    "you divided the index by the number of layers. A row of the table has n_heads entries, so the "
    "layer is index // n_heads."
)
def divided_by_layers(profiles: dict[str, Profile]) -> Places:
    return _places(
        profiles, lambda s: (int(s.argmax()) // len(s) / max(len(s) - 1, 1), _best(s)[2])
    )


@compare_profiles.wrong(
    "you took the layer whose heads score highest on average. Asked for is the layer of the one "
    "strongest head."
)
def strongest_layer(profiles: dict[str, Profile]) -> Places:
    return _places(profiles, lambda s: (int(s.mean(1).argmax()) / max(len(s) - 1, 1), _best(s)[2]))


@compare_profiles.wrong("the score is an average over all heads. Give the strongest head's own.")
def average_score(profiles: dict[str, Profile]) -> Places:
    return _places(profiles, lambda s: (_best(s)[0] / max(len(s) - 1, 1), float(s.mean())))


@compare_profiles.wrong("depth and score are exchanged: Place(depth, score).")
def score_first(profiles: dict[str, Profile]) -> Places:
    return _places(profiles, lambda s: (_best(s)[2], _best(s)[0] / max(len(s) - 1, 1)))


@compare_profiles.wrong(
    "the nesting is the other way round: {behaviour: {model: place}}, so that one line shows a "
    "behaviour in all models."
)
def by_model(profiles: dict[str, Profile]) -> Places:
    turned: Places = {}
    for behaviour, places in _compare_oracle(profiles).items():
        for model, place in places.items():
            turned.setdefault(model, {})[behaviour] = place
    return turned


# --- ablating by the mean ---------------------------------------------------------------------

Gone = tuple[tuple[int, int], ...]


def _ablated(model: Any, gone: Gone, mean: Callable[[Tensor], Any]) -> Any:
    """A context in which the heads' z are replaced by `mean(z [batch, pos, d_head])`."""

    def replace(z: Tensor, hook: Any) -> Tensor:
        z = z.clone()
        layer = int(hook.name.split(".")[1])
        for head in (h for at, h in gone if at == layer):
            z[:, :, head] = mean(z[:, :, head])
        return z

    names = sorted({f"blocks.{layer}.attn.hook_z" for layer, _ in gone})
    return model.hooks(fwd_hooks=[(name, replace) for name in names])


def _over_all(z: Tensor) -> Tensor:
    return z.mean((0, 1))


def _by_position(z: Tensor) -> Tensor:
    return z.mean(0)


def _nothing(z: Tensor) -> Tensor:
    return torch.zeros_like(z)


# --- head_jobs --------------------------------------------------------------------------------

head_jobs = checks.exercise(
    "head_jobs",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "Do one context by hand first: its profile, of which you need one head, and two losses.",
        "The profile is head_profile(model, tokens); scores[layer, index] is this head. The losses "
        'are model(tokens, return_type="loss") and the same with a hook on this head\'s z.',
        "The hook gets z [batch, pos, head, d_head] and should return a copy in which "
        "z[:, :, index] is z[:, :, index].mean((0, 1)); the cost is ablated minus whole.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)

Jobs = dict[str, dict[str, float]]


@head_jobs.cases
def _job_cases() -> Iterator[Case]:
    made = matching_model(
        ((("even", 0.0), ("duplicate", 12.0)), (("induction", 12.0), ("even", 0.0)))
    )
    texts = {"repeats": _repeats(made), "fresh": _fresh_tokens(made)}
    yield Case("an induction head on a repeated and on a fresh text", made, (1, 0), texts)
    yield Case("an idle head of the same model", made, (1, 1), texts)
    for seed, head in enumerate(((0, 3), (2, 1))):
        model = random_model(seed=seed)
        yield Case(
            f"head {head[0]}.{head[1]} of a random model",
            model,
            head,
            {"few tokens": _drawn(3, 8, seed), "many tokens": _drawn(2, 12, seed + 5, 30)},
        )


def _fresh_tokens(model: Any) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    rows = [1 + torch.randperm(model.cfg.d_vocab - 1, generator=generator)[:16] for _ in range(2)]
    return torch.cat([torch.zeros(2, 1, dtype=torch.int64), torch.stack(rows)], dim=1)


def _next_loss(model: Any, tokens: Tensor) -> float:
    log_probs = model(tokens)[:, :-1].log_softmax(-1)
    return -log_probs.gather(-1, tokens[:, 1:, None]).mean().item()


def _jobs(
    model: Any,
    head: tuple[int, int],
    texts: dict[str, Tensor],
    *,
    mean: Callable[[Tensor], Any] = _over_all,
    ablate: tuple[int, int] | None = None,
    read: tuple[int, int] | None = None,
) -> Jobs:
    jobs = {}
    for context, tokens in texts.items():
        layer, index = read or head
        scores = _profile(model, tokens)
        jobs[context] = {name: table[layer, index].item() for name, table in scores.items()}
        whole = _next_loss(model, tokens)
        with _ablated(model, (ablate or head,), mean):
            jobs[context]["cost"] = _next_loss(model, tokens) - whole
    return jobs


@head_jobs.observe
def _job_numbers(output: Any, model: Any, head: Any, texts: Any) -> Jobs:
    return {
        context: {name: float(value) for name, value in jobs.items()}
        for context, jobs in output.items()
    }


@head_jobs.oracle
def _jobs_oracle(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    return _jobs(model, head, texts)


@head_jobs.wrong(
    "the cost has its sign turned: what is lost without the head is the ablated loss minus the "
    "whole one."
)
def cost_negated(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    jobs = _jobs(model, head, texts)
    return {c: {**found, "cost": -found["cost"]} for c, found in jobs.items()}


@head_jobs.wrong(
    "you set z to zero. That also takes away what the head always writes, whatever it reads; "
    "replace z by its mean."
)
def zeroed(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    return _jobs(model, head, texts, mean=_nothing)


@head_jobs.wrong(
    "you kept a mean for every position. What is asked for is one mean, over all sequences and "
    "positions: a head that acts by position would otherwise look idle."
)
def mean_by_position(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    return _jobs(model, head, texts, mean=_by_position)


@head_jobs.wrong(
    "all heads of the layer were ablated. Replace the z of this head alone: z[:, :, index]."
)
def whole_layer(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    jobs = _jobs(model, head, texts)
    every = tuple((head[0], h) for h in range(model.cfg.n_heads))
    for context, tokens in texts.items():
        whole = _next_loss(model, tokens)
        with _ablated(model, every, _over_all):
            jobs[context]["cost"] = _next_loss(model, tokens) - whole
    return jobs


@head_jobs.wrong(
    "that is the loss without the head. The cost is how much *more* it is than the loss of the "
    "whole model."
)
def loss_for_cost(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    jobs = _jobs(model, head, texts)
    return {
        c: {**found, "cost": found["cost"] + _next_loss(model, texts[c])}
        for c, found in jobs.items()
    }


@head_jobs.wrong(
    "every context has the numbers of the first one. Measure each on its own tokens; that is the "
    "whole question."
)
def first_context(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    first = next(iter(texts))
    jobs = _jobs(model, head, {first: texts[first]})[first]
    return dict.fromkeys(texts, jobs)


@head_jobs.wrong(
    "the scores are those of the layer's strongest head. Read the one that was asked for: "
    "scores[layer, index]."
)
def strongest_in_layer(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    jobs = _jobs(model, head, texts)
    for context, tokens in texts.items():
        scores = _profile(model, tokens)
        jobs[context].update({name: table[head[0]].max().item() for name, table in scores.items()})
    return jobs


@head_jobs.wrong(
    "your answer has no costs. What a head looks at is half of the story; add what is lost without "
    'it, as "cost".'
)
def no_cost(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    jobs = _jobs(model, head, texts)
    return {c: {n: v for n, v in found.items() if n != "cost"} for c, found in jobs.items()}


# --- ablation_costs ---------------------------------------------------------------------------

ablation_costs = checks.exercise(
    "ablation_costs",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "One head at a time: replace its z by z's mean, ask for the losses, compare with the "
        "losses of the whole model.",
        "z is [batch, pos, head, d_head]. The mean over sequences and positions of one head's z is "
        "one vector: z[:, :, head].mean((0, 1)). Work on a copy.",
        "Inside `with model.hooks(...)`: loss(model, tokens) - whole, which is [job], belongs into "
        "costs[:, layer, head].",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)

Loss = Callable[..., Tensor]


def loss_by_half(model: Any, tokens: Tensor) -> Tensor:
    """Next-token loss in the first and in the second half of the positions, nats."""
    log_probs = model(tokens)[:, :-1].log_softmax(-1)
    loss = -log_probs.gather(-1, tokens[:, 1:, None])[..., 0]
    middle = loss.shape[1] // 2
    return torch.stack([loss[:, :middle].mean(), loss[:, middle:].mean()])


def loss_by_third(model: Any, tokens: Tensor) -> Tensor:
    """Next-token loss in the beginning, in the middle and at the end, nats."""
    log_probs = model(tokens)[:, :-1].log_softmax(-1)
    loss = -log_probs.gather(-1, tokens[:, 1:, None])[..., 0]
    return torch.stack([part.mean() for part in loss.chunk(3, dim=1)])


@ablation_costs.cases
def _cost_cases() -> Iterator[Case]:
    made = matching_model(
        ((("even", 0.0), ("duplicate", 12.0)), (("induction", 12.0), ("even", 0.0)))
    )
    yield Case("a model in which only 1.0 writes, and matters only in the second half",
               made, _repeats(made), loss_by_half)  # fmt: skip
    yield Case("a random model, two jobs", random_model(), _drawn(3, 9), loss_by_half)
    yield Case("a random model of two layers, three jobs", random_model(2, 5, seed=3),
               _drawn(2, 11, 4), loss_by_third)  # fmt: skip


def _costs(
    model: Any,
    tokens: Tensor,
    loss: Loss,
    *,
    mean: Callable[[Tensor], Any] = _over_all,
    gone: Callable[[int, int], Gone] | None = None,
) -> Tensor:
    gone = gone or (lambda layer, head: ((layer, head),))
    whole = loss(model, tokens)
    table = []
    for layer in range(model.cfg.n_layers):
        row = []
        for head in range(model.cfg.n_heads):
            with _ablated(model, gone(layer, head), mean):
                row.append(loss(model, tokens) - whole)
        table.append(torch.stack(row, dim=-1))
    return torch.stack(table, dim=1).detach()


@ablation_costs.oracle
def _cost_oracle(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return _costs(model, tokens, loss)


@ablation_costs.trial
def _left_as_it_was(
    attempt: Callable[..., Any], model: Any, tokens: Tensor, loss: Loss
) -> str | None:
    before = model(tokens)
    attempt(model, tokens, loss)
    if torch.equal(model(tokens), before):
        return None
    model.reset_hooks(including_permanent=True)
    return (
        "after your function the model gives other logits than before. A hook of yours stays on; "
        "`with model.hooks(...)` takes it off again"
    )


@ablation_costs.wrong(
    "the sign is turned: a cost is the loss without the head minus the whole one."
)
def costs_negated(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return -_costs(model, tokens, loss)


@ablation_costs.wrong(
    "you set z to zero. That also takes away what the head always writes; replace z by its mean."
)
def costs_zeroed(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return _costs(model, tokens, loss, mean=_nothing)


@ablation_costs.wrong(
    "you kept a mean for every position. One mean, over all sequences and positions: otherwise a "
    "head that acts by position would look idle."
)
def costs_by_position(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return _costs(model, tokens, loss, mean=_by_position)


@ablation_costs.wrong(
    "you kept a mean for every sequence. One mean, over all sequences and positions: a head must "
    "not be told which sequence it is in."
)
def costs_by_sequence(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return _costs(model, tokens, loss, mean=lambda z: z.mean(1, keepdim=True))


@ablation_costs.wrong("these are losses, not costs: take away the loss of the whole model.")
def losses(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return _costs(model, tokens, loss) + loss(model, tokens)[:, None, None]


@ablation_costs.wrong(
    "all heads of a layer went together, so its heads all cost the same. Replace z[:, :, head], "
    "one head at a time."
)
def costs_of_layers(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return _costs(
        model,
        tokens,
        loss,
        gone=lambda layer, _: tuple((layer, h) for h in range(model.cfg.n_heads)),
    )


@ablation_costs.wrong(
    "the heads pile up: each stays ablated while the next ones are tried. Take every hook off "
    "before the next head."
)
def costs_pile_up(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    n_heads = model.cfg.n_heads
    return _costs(
        model,
        tokens,
        loss,
        gone=lambda layer, head: tuple(
            divmod(i, n_heads) for i in range(layer * n_heads + head + 1)
        ),
    )


@ablation_costs.wrong("every job has the same cost: you averaged the loss over the jobs.")
def costs_averaged(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    costs = _costs(model, tokens, loss)
    return costs.mean(0, keepdim=True).expand_as(costs)


@ablation_costs.wrong("the job axis comes first: [job, layer, head].")
def jobs_last(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return _costs(model, tokens, loss).permute(1, 2, 0)


# --- effective_number -------------------------------------------------------------------------

effective_number = checks.exercise(
    "effective_number",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=[
        "Work out by hand what the formula gives for the costs (1, 0, 0), (1, 1, 1) and (3, 1, 0).",
        "Over which axis does the sum go? There is one number per head, so over the jobs, axis 0.",
        "clamp_min(0) first. A head without any cost would divide 0 by 0: torch.where puts 0 "
        "there.",
    ],
)


@effective_number.cases
def _number_cases() -> Iterator[Case]:
    yield Case("a head that matters for one job of three",
               torch.tensor([[0.0], [2.0], [0.0]]))  # fmt: skip
    yield Case("a head that matters equally for three jobs",
               torch.tensor([[0.5], [0.5], [0.5]]))  # fmt: skip
    yield Case("a head that matters for nothing, beside one with costs 3 and 1",
               torch.tensor([[0.0, 3.0], [0.0, 1.0]]))  # fmt: skip
    yield Case("a head whose absence helps one job",
               torch.tensor([[2.0], [-1.0], [1.0]]))  # fmt: skip
    for seed, (jobs, heads) in enumerate(((3, 5), (8, 2), (4, 7))):
        yield Case("random costs", normal(jobs, heads, seed=seed))


def _number(costs: Tensor) -> Tensor:
    numbers = []
    for column in costs.T.tolist():
        harm = [max(cost, 0.0) for cost in column]
        squares = math.fsum(h * h for h in harm)
        numbers.append(math.fsum(harm) ** 2 / squares if squares else 0.0)
    return torch.tensor(numbers)


@effective_number.oracle
def _number_oracle(costs: Tensor) -> Tensor:
    return _number(costs)


@effective_number.wrong(
    "you divided 0 by 0 for a head that costs nothing. Such a head carries 0 jobs."
)
def zero_by_zero(costs: Tensor) -> Tensor:
    harm = costs.clamp_min(0)
    return harm.sum(0) ** 2 / (harm**2).sum(0)


@effective_number.wrong(
    "costs below zero were counted as they are. Where a job goes better without the head, the head "
    "does not do that job: clamp them to 0."
)
def negative_costs_counted(costs: Tensor) -> Tensor:
    squares = (costs**2).sum(0)
    return torch.where(squares > 0, costs.sum(0) ** 2 / squares.clamp_min(1e-30), 0.0)


@effective_number.wrong(
    "costs below zero were counted by their size. Where a job goes better without the head, the "
    "head does not do that job: clamp them to 0."
)
def sizes_counted(costs: Tensor) -> Tensor:
    return _number(costs.abs())


@effective_number.wrong(
    "you summed over the heads, which tells how many heads carry each job. Sum over the jobs, axis "
    "0: one number per head."
)
def heads_per_job(costs: Tensor) -> Tensor:
    return _number(costs.T)


@effective_number.wrong(
    "you counted the jobs that cost anything. Then a trace of a cost counts like a whole job; the "
    "formula weighs them."
)
def counts_jobs(costs: Tensor) -> Tensor:
    return (costs > 0).sum(0).float()


@effective_number.wrong(
    "the fraction is upside down: the square of the sum is above, the sum of the squares below."
)
def upside_down(costs: Tensor) -> Tensor:
    number = _number(costs)
    return torch.where(number > 0, 1 / number.clamp_min(1e-30), 0.0)


@effective_number.wrong("the sum above is not squared. Without the square the answer has a unit.")
def sum_not_squared(costs: Tensor) -> Tensor:
    harm = costs.clamp_min(0)
    squares = (harm**2).sum(0)
    return torch.where(squares > 0, harm.sum(0) / squares.clamp_min(1e-30), 0.0)


# --- head_similarity --------------------------------------------------------------------------

head_similarity = checks.exercise(
    "head_similarity",
    difficulty=3,
    importance=3,
    minutes=10,
    hints=[
        "For one sequence and two heads: two long vectors, and the cosine of the angle between "
        "them. What remains to be averaged?",
        "flatten(2) makes [batch, head, q * k]. After dividing each vector by its length, one "
        "matrix product gives all cosines of a sequence.",
        "The diagonal of that [head, head] table compares each head with itself: leave it out, for "
        "example with ~torch.eye(n_heads, dtype=torch.bool).",
    ],
)


def _random_pattern(*shape: int, seed: int = 0) -> Tensor:
    """Causal attention probabilities [*shape, q, k]; sequences differ in how sharp they are."""
    sharpness = torch.linspace(0.5, 4, shape[0]).view(-1, *([1] * (len(shape) - 1)))
    scores = sharpness * normal(*shape, seed=seed)
    future = torch.ones(shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


@head_similarity.cases
def _similarity_cases() -> Iterator[Case]:
    itself = torch.eye(4)
    first = torch.zeros(4, 4)
    first[:, 0] = 1
    yield Case("two heads that look at the same", torch.stack([itself, itself])[None])
    yield Case("a head that looks at itself, and one that looks at BOS",
               torch.stack([itself, first])[None])  # fmt: skip
    yield Case("three heads of which two agree", torch.stack([itself, itself, first])[None])
    for seed, shape in enumerate(((2, 3, 5, 5), (3, 2, 7, 7), (4, 5, 6, 6))):
        yield Case("random patterns", _random_pattern(*shape, seed=seed))


def _cosine(a: Tensor, b: Tensor) -> float:
    a, b = a.flatten().double(), b.flatten().double()
    return float((a * b).sum() / (a.norm() * b.norm()))


def _pairs(n_heads: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(n_heads) for j in range(i)]


def _average(values: list[float]) -> float:
    return math.fsum(values) / len(values)


@head_similarity.observe
def _as_number(output: Any, pattern: Tensor) -> float:
    return float(output)


@head_similarity.oracle
def _similarity_oracle(pattern: Tensor) -> float:
    return _average([_cosine(row[i], row[j]) for row in pattern for i, j in _pairs(len(row))])


@head_similarity.wrong(
    "each head was also compared with itself, which always gives 1. Pairs of *different* heads."
)
def with_itself(pattern: Tensor) -> float:
    heads = range(pattern.shape[1])
    return _average([_cosine(row[i], row[j]) for row in pattern for i in heads for j in heads])


@head_similarity.wrong(
    "the batch was made part of the vector. Then sequences with sharp patterns count for more; "
    "take a cosine for each sequence and average."
)
def batch_in_the_vector(pattern: Tensor) -> float:
    return _average([_cosine(pattern[:, i], pattern[:, j]) for i, j in _pairs(pattern.shape[1])])


@head_similarity.wrong(
    "these are scalar products. Divide each pattern by its length, or sharp heads look alike and "
    "blurred ones do not."
)
def scalar_products(pattern: Tensor) -> float:
    return _average(
        [float((row[i] * row[j]).sum()) for row in pattern for i, j in _pairs(len(row))]
    )


@head_similarity.wrong(
    "you took a cosine for every query. A head's pattern on a sequence is *one* vector, all its "
    "queries and keys."
)
def query_by_query(pattern: Tensor) -> float:
    return _average(
        [
            _cosine(row[i, q], row[j, q])
            for row in pattern
            for i, j in _pairs(len(row))
            for q in range(row.shape[1])
        ]
    )


@head_similarity.wrong("you summed over the pairs. Their mean is asked for: it stays below 1.")
def summed_pairs(pattern: Tensor) -> float:
    return _similarity_oracle(pattern) * len(_pairs(pattern.shape[1]))


@head_similarity.wrong("that is the most similar pair alone. Average over all pairs.")
def closest_pair(pattern: Tensor) -> float:
    return _average([max(_cosine(row[i], row[j]) for i, j in _pairs(len(row))) for row in pattern])


@head_similarity.wrong(
    "you averaged the patterns over the batch first. Heads that differ on every sequence may agree "
    "on average."
)
def mean_pattern(pattern: Tensor) -> float:
    mean = pattern.mean(0)
    return _average([_cosine(mean[i], mean[j]) for i, j in _pairs(len(mean))])


# --- removable_heads --------------------------------------------------------------------------

removable_heads = checks.exercise(
    "removable_heads",
    difficulty=4,
    importance=4,
    minutes=15,
    hints=[
        "Order first: costs.mean(0) is each head's mean cost over the jobs; flatten it, argsort "
        "it, and turn each index back into (layer, head).",
        "Then a list `gone` that grows. The hook for layer l replaces the z of every head of l "
        "that is in `gone`; all layers need that hook in the same run.",
        "After each new head compare loss(model, tokens).mean() with the whole model's mean. If it "
        "rose by more than `allowed`, take the head back out and stop.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


def distance_from_itself(model: Any, tokens: Tensor) -> Loss:
    """Cross-entropy with what the whole model says, nats, in both halves: it can only get worse."""
    whole = model(tokens).softmax(-1)

    def loss(model: Any, tokens: Tensor) -> Tensor:
        entropy = -(whole * model(tokens).log_softmax(-1)).sum(-1)
        return torch.stack([half.mean() for half in entropy.chunk(2, dim=1)])

    return loss


@removable_heads.cases
def _removable_cases() -> Iterator[Case]:
    made = matching_model(
        ((("even", 0.0), ("duplicate", 12.0)), (("induction", 12.0), ("even", 0.0)))
    )
    yield Case("a model in which only 1.0 writes", made, _repeats(made), loss_by_half, 0.05)
    # Seeds with which every wrong answer shows, and no decision is a close one.
    for seed, allowed in ((17, 4.5), (15, 4.5), (1, 3.0)):
        model, tokens = random_model(3, 4, seed=seed), _drawn(3, 9, seed, 30)
        loss = distance_from_itself(model, tokens)
        yield Case(f"a random model, {allowed} nats allowed", model, tokens, loss, allowed)


def _rise(model: Any, tokens: Tensor, loss: Loss, gone: Gone, mean: Any = _over_all) -> float:
    with _ablated(model, gone, mean):
        after = loss(model, tokens).mean().item()
    return after - loss(model, tokens).mean().item()


def _removed(
    model: Any,
    tokens: Tensor,
    loss: Loss,
    allowed: float,
    *,
    order: list[tuple[int, int]] | None = None,
    mean: Any = _over_all,
    rise: Callable[[Gone], float] | None = None,
    skip: bool = False,
) -> list[tuple[int, int]]:
    order = _order(model, tokens, loss) if order is None else order
    rise = rise or (lambda gone: _rise(model, tokens, loss, gone, mean))
    gone: list[tuple[int, int]] = []
    for head in order:
        if rise((*gone, head)) <= allowed:
            gone.append(head)
        elif not skip:
            break
    return gone


def _order(
    model: Any, tokens: Tensor, loss: Loss, key: Callable[[Tensor], Tensor] = lambda c: c.mean(0)
) -> list[tuple[int, int]]:
    costs = key(_costs(model, tokens, loss)).flatten().tolist()
    n_heads = model.cfg.n_heads
    return [divmod(i, n_heads) for i in sorted(range(len(costs)), key=lambda i: costs[i])]


def _pairs_of(output: Any) -> list[tuple[int, int]]:
    return [(int(layer), int(head)) for layer, head in output]


@removable_heads.observe
def _as_heads(output: Any, model: Any, tokens: Any, loss: Any, allowed: float) -> list[Any]:
    """Heads without any effect may come in either order; listed by name then."""
    return [list(head) for head in sorted(_pairs_of(output))]


@removable_heads.oracle
def _removable_oracle(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[Any]:
    return [list(head) for head in sorted(_removed(model, tokens, loss, allowed))]


@removable_heads.wrong(
    "each head was judged alone. Two heads may each be spared and not both (backups, chapter 07): "
    "leave the earlier ones out while you try the next."
)
def judged_alone(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[tuple[int, int]]:
    return _removed(
        model, tokens, loss, allowed, rise=lambda gone: _rise(model, tokens, loss, gone[-1:])
    )


@removable_heads.wrong(
    "the costs of single heads were added up. What several heads cost together is not the sum; "
    "measure the loss with all of them gone."
)
def costs_added(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[tuple[int, int]]:
    return _removed(
        model,
        tokens,
        loss,
        allowed,
        rise=lambda gone: sum(_rise(model, tokens, loss, (head,)) for head in gone),
    )


@removable_heads.wrong("the costliest heads went first. Start with the ones that cost least.")
def costliest_first(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[Any]:
    return _removed(model, tokens, loss, allowed, order=_order(model, tokens, loss)[::-1])


@removable_heads.wrong(
    "the heads went in the order of their numbers. Sort them by their cost, least first."
)
def in_order_of_names(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[Any]:
    order = sorted(_order(model, tokens, loss))
    return _removed(model, tokens, loss, allowed, order=order)


@removable_heads.wrong(
    "the head that broke it is in your list. It must go back in: without it the loss rises by more "
    "than allowed."
)
def one_too_many(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[tuple[int, int]]:
    order = _order(model, tokens, loss)
    return order[: len(_removed(model, tokens, loss, allowed)) + 1]


@removable_heads.wrong(
    "you set z to zero. That also takes away what a head always writes; replace z by its mean."
)
def removed_by_zero(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[Any]:
    return _removed(model, tokens, loss, allowed, mean=_nothing)


@removable_heads.wrong(
    "you went on after a head that could not be spared. Stop there: the rule is how far one gets "
    "down the list, as in Michel et al. 2019."
)
def skips(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[tuple[int, int]]:
    return _removed(model, tokens, loss, allowed, skip=True)


@removable_heads.wrong(
    "`allowed` is by how much the loss may *rise*; you compared the loss itself with it."
)
def loss_compared(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[tuple[int, int]]:
    whole = loss(model, tokens).mean().item()
    return _removed(model, tokens, loss, allowed - whole)


# --- questions --------------------------------------------------------------------------------

checks.quiz(
    "what_induction_looks_at",
    "Tokens: BOS a b c a. Where does an induction head look from the second a?",
    {
        "at the first a": "That is a duplicate-token head. Induction looks one further.",
        "at b": "Yes: at the token that came after the earlier a; that is what it will say.",
        "at c": "That is the token before the query: a previous-token head.",
    },
    answer="at b",
)
checks.quiz(
    "mean_or_zero",
    "Why do we ablate a head by its mean rather than by zero?",
    {
        "zero is slower": "Both cost one run.",
        "zero also removes what the head always adds": (
            "Yes. Later layers count on that constant; taking it away breaks more than the head's "
            "reading (chapter 07)."
        ),
        "the mean removes more": "Less: the constant part stays, what depends on the input goes.",
    },
    answer="zero also removes what the head always adds",
)
checks.quiz(
    "score_and_effect",
    "A head has a high induction score. What follows for the model's loss without it?",
    {
        "it rises": "It may, and chapter 05 showed a head with the highest score of all whose "
        "removal cost nothing.",
        "nothing yet": "Right: a score says where a head looks. What it does is a question for an "
        "intervention.",
        "it falls": "Nothing says so; negative heads exist, but a score does not tell.",
    },
    answer="nothing yet",
)

checks.prediction(
    "where_induction_sits",
    "Relative depth 0 is a model's first layer and 1 its last. Where will a real model keep its "
    "strongest induction head?",
    {
        "in the first third": "Noted. The table below says.",
        "in the middle third": "Noted. The table below says.",
        "in the last third": "Noted. The table below says.",
    },
)
checks.prediction(
    "same_seeds",
    "Five models, trained alike but for the seed. What will they share?",
    {
        "the layer and the number of the induction head": "Noted. Look at the second column.",
        "the layer of the induction head, not its number": "Noted. Look at the second column.",
        "neither": "Noted. Look at the second column.",
    },
)
checks.prediction(
    "jobs_by_context",
    "The strongest previous-token head on random tokens: how will it score on English?",
    {
        "the same": "Noted. Compare the columns.",
        "clearly lower": "Noted. Compare the columns.",
        "clearly higher": "Noted. Compare the columns.",
    },
)
checks.prediction(
    "two_heads_four_jobs",
    "Four jobs at once, two heads. What will training do?",
    {
        "each head takes two jobs": "Noted. Look for two dark cells in each column.",
        "each head takes one job, two jobs are given up": "Noted. Look for rows without colour.",
        "both heads do a bit of every job": "Noted. Look for columns that are coloured throughout.",
    },
)
checks.prediction(
    "spare_heads",
    "Eight jobs asked one at a time, and eight heads. What will training do?",
    {
        "one head for each job": "Noted. The number of jobs of a head would be 1.",
        "a few heads for all jobs, the others idle": "Noted. It would be well above 1.",
        "every head does every job": "Noted. It would be near 8, and no head idle.",
    },
)
checks.prediction(
    "which_family",
    "Equal parameters, equal training, the induction task. Which does worst?",
    {
        "one head of 64 dimensions": "Noted. The bars below say.",
        "8 heads of 8 dimensions": "Noted. The bars below say.",
        "32 heads of 2 dimensions": "Noted. The bars below say.",
    },
)

checks.explanation(
    "what_is_universal",
    "Of algorithm, heads and order of appearance: what did these models share, in one sentence?",
    "The algorithm (a previous-token head that an induction head depends on) in every model looked "
    "at, and the order in which its two parts appear in most runs; not the heads, whose numbers "
    "change with the seed and whose depth differs from model to model.",
)
checks.explanation(
    "when_heads_share",
    "When did one head carry several jobs, and when did heads divide them?",
    "Jobs asked one at a time can share a head, because its query can depend on what is asked; "
    "jobs asked at the same position need several patterns at once, and a head has only one.",
)
checks.explanation(
    "what_pruning_shows",
    "Many heads could be removed at little cost. Why does that not mean that training did not need "
    "them?",
    "Removing heads from a finished model says what that model uses; whether a smaller model "
    "would have learned the task in the same time is shown only by training one.",
)
