"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.circuits.ioi import answer_directions, run_at_end
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

D_VOCAB, NAMES = 30, range(1, 11)  # tokens 1 to 10 are names, 0 is BOS, the others words

# Two templates of different lengths: A and B are the names as they come, S the subject again.
_TEMPLATES = (
    (0, 11, "A", 12, "B", 13, "S", 14, 15),
    (0, 16, 17, "A", 12, "B", 18, 19, "S", 14, 20, 21),
)

_FILLER = 29


@dataclass(frozen=True)
class ToyBatch:
    """What of `tasks.IOIBatch` the exercises use, on a model without words."""

    model: Any
    pairs: tuple[tuple[int, int], ...] = ((3, 4), (4, 3), (7, 2), (2, 7), (5, 9), (9, 5), (1, 6))
    rows: tuple[tuple[int, int], ...] = ((0, 0), (1, 0), (0, 1), (1, 1), (1, 0), (0, 0), (1, 1))
    tokens: Tensor = field(init=False)
    positions: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        names = [(io, s, s) for io, s in self.pairs]
        object.__setattr__(self, "tokens", self._tokens(names, self.rows))
        object.__setattr__(self, "positions", self._positions())

    def _tokens(self, names: Any, rows: Any) -> Tensor:
        longest = max(map(len, _TEMPLATES))
        prompts = []
        for (io, s, s2), (template, order) in zip(names, rows, strict=True):
            words: dict[Any, int] = dict(zip("ABS", (s, io, s2) if order else (io, s, s2)))  # noqa: B905
            prompt = [words.get(part, part) for part in _TEMPLATES[template]]
            prompts.append(prompt + [_FILLER] * (longest - len(prompt)))
        return torch.tensor(prompts)

    def _positions(self) -> dict[str, Tensor]:
        found: dict[str, list[int]] = {name: [] for name in ("IO", "S1", "S1+1", "S2", "END")}
        for template, order in self.rows:
            parts = _TEMPLATES[template]
            io, s = ("B", "A") if order else ("A", "B")
            first = parts.index(s)
            places = (parts.index(io), first, first + 1, parts.index("S"), len(parts) - 1)
            for name, place in zip(found, places, strict=True):
                found[name].append(place)
        return {name: torch.tensor(places) for name, places in found.items()}

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        return f"{len(self)} prompts of two templates"

    def __deepcopy__(self, memo: Any) -> ToyBatch:
        return type(self)(self.model, self.pairs, self.rows)

    @property
    def io(self) -> Tensor:
        return torch.tensor([io for io, _ in self.pairs])

    @property
    def s(self) -> Tensor:
        return torch.tensor([s for _, s in self.pairs])

    @property
    def groups(self) -> Tensor:
        return torch.tensor([2 * template + order for template, order in self.rows])

    @property
    def metric(self) -> LogitDifference:
        return LogitDifference(self.io, self.s, self.positions["END"])

    def corrupt(self, how: str = "ABC", seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed + 17)
        drawn = [self._abc(pair, generator) for pair in self.pairs]
        if how == "ABC":
            return self._tokens(drawn, self.rows)
        changed = {
            "swap_s2": [(io, s, io) for io, s in self.pairs],
            "new_s2": [(io, s, c) for (io, s), (_, _, c) in zip(self.pairs, drawn, strict=True)],
            "swap_names": [(s, io, io) for io, s in self.pairs],
            "new_names": [(a, b, b) for a, b, _ in drawn],
        }
        return self._tokens(changed[how], self.rows)

    def abc_reference(self, per_group: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed + 5)
        rows = [row for row in sorted(set(self.rows)) for _ in range(per_group)]
        drawn = [self._abc(self.pairs[i % len(self.pairs)], generator) for i in range(len(rows))]
        return self._tokens(drawn, rows), torch.tensor([2 * t + order for t, order in rows])

    @staticmethod
    def _abc(pair: tuple[int, int], generator: torch.Generator) -> tuple[int, int, int]:
        others = [name for name in NAMES if name not in pair]
        a, b, c = torch.randperm(len(others), generator=generator)[:3].tolist()
        return others[a], others[b], others[c]


@cache
def _model(n_layers: int = 3, n_heads: int = 4, seed: int = 0) -> CourseTransformer:
    """Random weights with MLPs and a norm, so large that every head of every layer counts."""
    cfg = CourseConfig(
        n_layers, n_heads, 20, 6, D_VOCAB, 16, d_mlp=28, normalization_type="LNPre", seed=seed
    )
    model, generator = CourseTransformer(cfg), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            spread = 1.0 if weight.ndim < 3 else 0.45
            weight.copy_(spread * torch.randn(weight.shape, generator=generator))
    return model.requires_grad_(False).eval()


@cache
def _looking_model() -> CourseTransformer:
    """One layer, its heads looking from chosen tokens at chosen tokens, whatever the place."""
    cfg = CourseConfig(1, 3, D_VOCAB, D_VOCAB, D_VOCAB, 16)
    model, unit = CourseTransformer.blank(cfg), torch.eye(D_VOCAB)
    with torch.no_grad():
        model.embed.W_E.copy_(unit)
    # From END (15) at the IO (3); from END at the subject (4); from a name at its copies.
    looks = [{15: 3}, {15: 4}, {name: name for name in NAMES}]
    for head, pairs in enumerate(looks):
        W_Q = torch.zeros(D_VOCAB, D_VOCAB)
        for query, key in pairs.items():
            W_Q[query, key] = 300.0
        model.set_head(0, head, W_Q=W_Q, W_K=unit)
    return model.requires_grad_(False).eval()


def _attribution_inputs(model: Any, batch: ToyBatch) -> tuple[Any, Tensor]:
    _, kept = run_at_end(model, batch.tokens, batch.positions["END"])
    return kept, answer_directions(model, batch.io, batch.s)


def _whole_cache(model: Any, batch: ToyBatch) -> tuple[Any, Tensor]:
    """Prompts of one length, every position in the cache: END is the last."""
    tokens = batch.tokens[batch.positions["END"] == batch.tokens.shape[1] - 1]
    kept = batch.positions["END"] == batch.tokens.shape[1] - 1
    directions = answer_directions(model, batch.io[kept], batch.s[kept])
    return model.run_with_cache(tokens)[1], directions


def attribution_cases() -> Iterator[Case]:
    one = ToyBatch(_model(1, 2, 5), pairs=((3, 4), (8, 5)), rows=((0, 0), (0, 0)))
    yield Case("one layer of two heads", *_attribution_inputs(one.model, one))
    batch = ToyBatch(_model())
    yield Case("a model with a norm and MLPs", *_whole_cache(batch.model, batch))
    other = ToyBatch(_model(4, 3, 1))
    yield Case("prompts of two lengths, END alone", *_attribution_inputs(other.model, other))


def read_along(part: Tensor, cache: Any, direction: Tensor, position: int = -1) -> Tensor:
    scale = cache["ln_final.hook_scale"][:, position]
    rows = zip(part.double(), direction.double(), scale[:, 0].double(), strict=True)
    return torch.stack([x @ d / k for x, d, k in rows]).float()


@cache
def looking_batch() -> ToyBatch:
    return ToyBatch(_looking_model(), pairs=((3, 4), (3, 4)), rows=((0, 0), (0, 1)))


@cache
def toy_batch(n_layers: int = 3, n_heads: int = 4, seed: int = 0) -> ToyBatch:
    return ToyBatch(_model(n_layers, n_heads, seed))


def looking_cases() -> Iterator[Case]:
    small = looking_batch()
    yield Case(
        "a head that looks from END at the IO, one that looks at the subject, one that looks from "
        "a name at its copies", small.model, small,
    )  # fmt: skip
    for batch in (toy_batch(), toy_batch(2, 5, 3)):
        yield Case("a random model and prompts of two lengths", batch.model, batch)


def all_patterns(model: Any, tokens: Tensor) -> list[Tensor]:
    seen: list[Tensor] = []
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    keep = lambda pattern, hook: seen.append(pattern.clone())  # noqa: E731
    model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names])
    return seen


def attention_by_loop(
    model: Any, batch: Any, query: Any, key: Any, total: bool = False, tokens: Any = None
) -> Tensor:
    """Attention between two positions, prompt by prompt and head by head."""
    query, key = (batch.positions[p] if isinstance(p, str) else p for p in (query, key))
    table = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer, pattern in enumerate(
        all_patterns(model, batch.tokens if tokens is None else tokens)
    ):
        for head in range(model.cfg.n_heads):
            for i in range(len(batch.tokens)):
                table[layer, head] += pattern[i, head, query[i], key[i]]
    return table if total else table / len(batch.tokens)


def of_first(batch: Any, name: str) -> Tensor:
    return batch.positions[name][:1].expand(len(batch.tokens))


class Toy:
    """F of a made-up model: a number for each set of heads that are left."""

    def __init__(self, what: str, function: Callable[[frozenset[Any]], float]) -> None:
        self.what, self.function = what, function

    def __call__(self, heads: Any) -> float:
        return float(self.function(frozenset(tuple(head) for head in heads)))

    def __repr__(self) -> str:
        return self.what

    def __deepcopy__(self, memo: Any) -> Toy:
        return self


HEAD_A, HEAD_B, C, D, E = (0, 0), (0, 1), (1, 0), (1, 1), (2, 1)

M = frozenset([HEAD_A, HEAD_B, C, D, E])


def _adding(heads: frozenset[Any]) -> float:
    """A adds 3, B 1, C takes 2 away; D and E do nothing."""
    return 3.0 * (HEAD_A in heads) + 1.0 * (HEAD_B in heads) - 2.0 * (C in heads)


def _backed_up(heads: frozenset[Any]) -> float:
    """A gives 4; where A is gone, B gives 3; C adds 0.5."""
    return (4.0 if HEAD_A in heads else 3.0 * (HEAD_B in heads)) + 0.5 * (C in heads)


def _entangled(seed: int) -> Callable[[frozenset[Any]], float]:
    single, pair = normal(5, seed=seed), normal(5, 5, seed=seed + 9)
    order = sorted(M)

    def function(heads: frozenset[Any]) -> float:
        left = torch.tensor([float(head in heads) for head in order])
        return float(single @ left + left @ pair @ left)

    return function


ADDING = Toy("F of heads that add up", _adding)

BACKED_UP = Toy("F of a head with a backup", _backed_up)

ENTANGLED = [Toy("a random F", _entangled(seed)) for seed in range(3)]
