"""Chapter 06, Indirect object identification: attribution, detectors, knock-outs, criteria."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.inputs import normal
from circuits_course.circuits.ioi import answer_directions, run_at_end
from circuits_course.circuits.patching import LogitDifference, path_patch_sweep
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

checks = ChapterChecks("06_indirect_object_identification")

D_VOCAB, NAMES = 30, range(1, 11)  # tokens 1 to 10 are names, 0 is BOS, the others words


# --- prompts and models to try things on --------------------------------------------------------

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


class GroupedTransformer(CourseTransformer):
    """Heads that share their keys and values in pairs; W_K and W_V list what is shared once."""

    @property
    def W_K(self) -> Tensor:
        return self._stack("W_K")[:, ::2]

    @property
    def W_V(self) -> Tensor:
        return self._stack("W_V")[:, ::2]

    @property
    def OV(self) -> Any:
        from transformer_lens import FactoredMatrix

        return FactoredMatrix(self._stack("W_V"), self.W_O)


@cache
def _copying_model(seed: int | None = None) -> CourseTransformer:
    """Layer 1: a head that copies what layer 0 left at a name, one that does the reverse, one that
    writes something else, one that copies the next name; heads share values in pairs.

    Layer 0 turns a name's embedding into another direction, so that reading W_E finds nothing.
    """
    d_model = 2 * D_VOCAB
    cfg = CourseConfig(2, 4, d_model, D_VOCAB, D_VOCAB, 16)
    model, unit = GroupedTransformer.blank(cfg), torch.eye(D_VOCAB)
    blocks: Any = model.blocks
    with torch.no_grad():
        model.embed.W_E[:, :D_VOCAB] = unit
        model.unembed.W_U[:D_VOCAB] = unit
        model.embed.W_E[0] = 0.0
        for query in NAMES:  # layer 0, head 0: a name moves itself to the second half
            blocks[0].attn.W_Q[0, query, query] = 300.0
        blocks[0].attn.W_K[0, :D_VOCAB] = unit
        blocks[0].attn.W_V[0, :D_VOCAB] = unit
        blocks[0].attn.W_O[0, :, D_VOCAB:] = unit
        attn = blocks[1].attn
        attn.W_V[0, D_VOCAB:] = attn.W_V[1, D_VOCAB:] = unit
        attn.W_V[2, D_VOCAB:] = attn.W_V[3, D_VOCAB:] = unit.roll(1, 1)
        attn.W_O[0, :, :D_VOCAB], attn.W_O[1, :, :D_VOCAB] = unit, -unit
        back = unit.roll(-1, 1)
        attn.W_O[2, :, :D_VOCAB], attn.W_O[3, :, :D_VOCAB] = unit - 0.5 * back, back
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            for weight in model.parameters():
                weight.copy_(0.4 * torch.randn(weight.shape, generator=generator))
            for block in blocks:
                for name in ("W_K", "W_V"):
                    shared = getattr(block.attn, name)
                    shared[1::2] = shared[::2].clone()
    return model.requires_grad_(False).eval()


def _rows(batch: Any) -> Tensor:
    return torch.arange(len(batch.tokens))


# --- logit_difference ---------------------------------------------------------------------------

logit_difference = checks.exercise(
    "logit_difference",
    difficulty=1,
    importance=5,
    minutes=5,
    hints=[
        "What the model says next is in the logits of the last position: [batch, d_vocab].",
        "Every prompt has its own two names. Pair each row with its own token: "
        "at_end[rows, io] with rows = 0, 1, 2, ...",
        "return at_end[rows, io] - at_end[rows, s], one number for each prompt.",
    ],
)


@logit_difference.cases
def _difference_cases() -> Iterator[Case]:
    logits = torch.zeros(2, 3, 5)
    logits[0, -1, 1], logits[0, -1, 2], logits[1, -1, 3] = 4.0, 1.0, 2.0
    logits[:, 0, 2] = 7.0
    yield Case(
        "logits 4 for the IO and 1 for the subject, then 0 and 2",
        logits, torch.tensor([1, 2]), torch.tensor([2, 3]),
    )  # fmt: skip
    for seed, (batch, pos, d_vocab) in enumerate([(3, 4, 7), (5, 2, 11), (4, 1, 9)]):
        generator = torch.Generator().manual_seed(seed)
        names = torch.randint(0, d_vocab, (2, batch), generator=generator)
        names[1] = (names[0] + 1 + names[1] % (d_vocab - 1)) % d_vocab
        logits = 3 * normal(batch, pos, d_vocab, seed=seed)
        yield Case("random logits", logits, names[0], names[1])


@logit_difference.oracle
def _difference_oracle(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return torch.stack([row[-1][i] - row[-1][j] for row, i, j in zip(logits, io, s, strict=True)])


@logit_difference.wrong("the sign is turned: IO minus subject, so that a right answer is positive.")
def sign_turned(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return -_difference_oracle(logits, io, s)


@logit_difference.wrong(
    "you read the first position. A position's logits say what comes after it, so the answer is at "
    "the last one, END."
)
def first_position(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return _difference_oracle(logits[:, :1], io, s)


@logit_difference.wrong(
    "these are probabilities. The softmax divides by what all other tokens get; logits can be "
    "traced back to heads by addition, probabilities cannot."
)
def of_probabilities(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return _difference_oracle(logits.softmax(-1), io, s)


@logit_difference.wrong(
    "you averaged over the prompts. Return one number for each: the spread matters as much as the "
    "mean."
)
def averaged(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return _difference_oracle(logits, io, s).mean()


@logit_difference.wrong(
    "`at_end[:, io]` gives every prompt the names of all prompts, a [batch, batch] table. Pair "
    "them "
    "up: at_end[rows, io]."
)
def every_pairing(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return logits[:, -1][:, io] - logits[:, -1][:, s]


@logit_difference.wrong(
    "all prompts were given the names of the first one. io and s hold one token for each prompt."
)
def names_of_the_first(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return logits[:, -1, io[0]] - logits[:, -1, s[0]]


@logit_difference.wrong(
    "that is the IO's logit alone. It also rises when all names rise; the subject's logit has to "
    "be "
    "taken away."
)
def io_alone(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return logits[torch.arange(len(logits)), -1, io]


@logit_difference.wrong(
    "every position was read. Only the last one, END, is asked for the answer: one number a prompt."
)
def every_position(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return torch.stack([_difference_oracle(logits[:, : p + 1], io, s)
                        for p in range(logits.shape[1])], dim=1)  # fmt: skip


# --- attribute_layers ---------------------------------------------------------------------------

attribute_layers = checks.exercise(
    "attribute_layers",
    difficulty=2,
    importance=5,
    minutes=10,
    tolerance=Tolerance(1e-4, 1e-3),
    hints=[
        "The last residual stream is a sum: the embedding, then every layer's attn_out and "
        "mlp_out. "
        "Append the two of each layer, in this order.",
        "The final norm divides the whole sum by one number a prompt, cached as "
        "ln_final.hook_scale. Divide each part by that same number.",
        "(written / scale * direction).sum(-1): the dot product with the direction of each prompt.",
    ],
)


def _attribution_inputs(model: Any, batch: ToyBatch) -> tuple[Any, Tensor]:
    _, kept = run_at_end(model, batch.tokens, batch.positions["END"])
    return kept, answer_directions(model, batch.io, batch.s)


def _whole_cache(model: Any, batch: ToyBatch) -> tuple[Any, Tensor]:
    """Prompts of one length, every position in the cache: END is the last."""
    tokens = batch.tokens[batch.positions["END"] == batch.tokens.shape[1] - 1]
    kept = batch.positions["END"] == batch.tokens.shape[1] - 1
    directions = answer_directions(model, batch.io[kept], batch.s[kept])
    return model.run_with_cache(tokens)[1], directions


def _attribution_cases() -> Iterator[Case]:
    one = ToyBatch(_model(1, 2, 5), pairs=((3, 4), (8, 5)), rows=((0, 0), (0, 0)))
    yield Case("one layer of two heads", *_attribution_inputs(one.model, one))
    batch = ToyBatch(_model())
    yield Case("a model with a norm and MLPs", *_whole_cache(batch.model, batch))
    other = ToyBatch(_model(4, 3, 1))
    yield Case("prompts of two lengths, END alone", *_attribution_inputs(other.model, other))


attribute_layers.cases(_attribution_cases)


def _components(cache: Any, position: int = -1) -> list[Tensor]:
    parts = [cache["blocks.0.hook_resid_pre"]]
    for layer in range(cache.model.cfg.n_layers):
        parts += [cache[f"blocks.{layer}.hook_{name}"] for name in ("attn_out", "mlp_out")]
    return [part[:, position] for part in parts]


def _read(part: Tensor, cache: Any, direction: Tensor, position: int = -1) -> Tensor:
    scale = cache["ln_final.hook_scale"][:, position]
    rows = zip(part.double(), direction.double(), scale[:, 0].double(), strict=True)
    return torch.stack([x @ d / k for x, d, k in rows]).float()


@attribute_layers.oracle
def _layers_oracle(cache: Any, direction: Tensor) -> Tensor:
    return torch.stack([_read(part, cache, direction) for part in _components(cache)])


@attribute_layers.wrong(
    "the scale is missing. The final norm divides the residual stream by a number of each prompt "
    "before the unembedding reads it: divide every part by the cached ln_final.hook_scale."
)
def without_scale(cache: Any, direction: Tensor) -> Tensor:
    return torch.stack([(part * direction).sum(-1) for part in _components(cache)])


@attribute_layers.wrong(
    "every part was normalised on its own. The norm divides the *sum* once, by the cached scale; "
    "with a scale for each part the parts no longer add up."
)
def own_norm(cache: Any, direction: Tensor) -> Tensor:
    normed = [
        (part - part.mean(-1, keepdim=True)) / part.std(-1, keepdim=True, unbiased=False)
        for part in _components(cache)
    ]
    return torch.stack([(part * direction).sum(-1) for part in normed])


@attribute_layers.wrong("you multiplied by the scale. hook_scale is what the norm divides by.")
def multiplied_by_scale(cache: Any, direction: Tensor) -> Tensor:
    scale = cache["ln_final.hook_scale"][:, -1]
    return torch.stack([(part * scale * direction).sum(-1) for part in _components(cache)])


@attribute_layers.wrong(
    "these are running totals, the residual stream after each component. Asked is what each one "
    "adds by itself."
)
def running_totals(cache: Any, direction: Tensor) -> Tensor:
    return _layers_oracle(cache, direction).cumsum(0)


@attribute_layers.wrong(
    "you averaged over the prompts: keep one number for each, [component, batch]."
)
def layers_averaged(cache: Any, direction: Tensor) -> Tensor:
    return _layers_oracle(cache, direction).mean(-1)


@attribute_layers.wrong(
    "the MLP comes before the attention of its layer in your list. A layer writes attn_out first, "
    "then mlp_out."
)
def mlp_first(cache: Any, direction: Tensor) -> Tensor:
    right = _layers_oracle(cache, direction)
    order = [0] + [i + d for i in range(1, len(right), 2) for d in (1, 0)]
    return right[order]


@attribute_layers.wrong(
    "the MLPs are missing: they write to the residual stream as heads do. A layer has two parts."
)
def without_mlps(cache: Any, direction: Tensor) -> Tensor:
    right = _layers_oracle(cache, direction)
    return torch.cat([right[:1], right[1::2]])


@attribute_layers.wrong(
    "all prompts were read along the first one's direction. Each has its own names, so its own "
    "direction: multiply row by row."
)
def one_direction(cache: Any, direction: Tensor) -> Tensor:
    return _layers_oracle(cache, direction[:1].expand_as(direction))


@attribute_layers.wrong(
    "you divided by the length of the direction. Then the parts no longer add up to logits."
)
def unit_direction(cache: Any, direction: Tensor) -> Tensor:
    return _layers_oracle(cache, direction / direction.norm(dim=-1, keepdim=True))


# --- attribute_heads ----------------------------------------------------------------------------

attribute_heads = checks.exercise(
    "attribute_heads",
    difficulty=3,
    importance=5,
    minutes=12,
    tolerance=Tolerance(1e-4, 1e-3),
    hints=[
        "A layer's attn_out is the sum over heads of z[head] @ W_O[head]. You want the terms.",
        "Each term is a vector in the residual stream: divide by the cached final scale, take the "
        "dot product with the prompt's direction, as for layers.",
        "read = direction / scale; then one einsum over d_head and d_model: z [batch, head, "
        "d_head], W_O[layer] [head, d_head, d_model], read [batch, d_model] -> [head, batch].",
    ],
)
attribute_heads.cases(_attribution_cases)


@attribute_heads.oracle
def _heads_oracle(cache: Any, direction: Tensor) -> Tensor:
    model = cache.model
    return torch.stack([
        torch.stack([
            _read(cache[f"blocks.{layer}.attn.hook_z"][:, -1, head]
                  @ model.blocks[layer].attn.W_O[head], cache, direction)
            for head in range(model.cfg.n_heads)
        ])
        for layer in range(model.cfg.n_layers)
    ])  # fmt: skip


def _scale(cache: Any) -> Tensor:
    return cache["ln_final.hook_scale"][:, -1, 0]


@attribute_heads.wrong(
    "the scale is missing: divide by the cached ln_final.hook_scale, as for layers."
)
def heads_without_scale(cache: Any, direction: Tensor) -> Tensor:
    return _heads_oracle(cache, direction) * _scale(cache)


@attribute_heads.wrong(
    "you divided by the norm of each head's own output. One scale holds for the whole run: what "
    "the "
    "final norm divided the sum by."
)
def heads_own_norm(cache: Any, direction: Tensor) -> Tensor:
    model = cache.model
    parts = []
    for layer in range(model.cfg.n_layers):
        z = cache[f"blocks.{layer}.attn.hook_z"][:, -1]
        written = torch.einsum("bhd,hdm->hbm", z, model.blocks[layer].attn.W_O)
        written = written - written.mean(-1, keepdim=True)
        written = written / written.std(-1, keepdim=True, unbiased=False)
        parts.append((written * direction).sum(-1))
    return torch.stack(parts)


@attribute_heads.wrong("the axes stand in another order: [layer, head, batch] is asked for.")
def batch_before_head(cache: Any, direction: Tensor) -> Tensor:
    return _heads_oracle(cache, direction).transpose(1, 2)


@attribute_heads.wrong("you averaged over the prompts: keep one number for each.")
def heads_averaged(cache: Any, direction: Tensor) -> Tensor:
    return _heads_oracle(cache, direction).mean(-1)


@attribute_heads.wrong(
    "the layer's sum was shared out evenly. Its heads write different things: W_O has a slice for "
    "each head."
)
def even_shares(cache: Any, direction: Tensor) -> Tensor:
    right = _heads_oracle(cache, direction)
    return right.mean(1, keepdim=True).expand_as(right)


@attribute_heads.wrong(
    "every head was put through the W_O of layer 0. W_O is [layer, head, d_head, d_model]: take "
    "the "
    "layer's own."
)
def first_W_O(cache: Any, direction: Tensor) -> Tensor:
    model = cache.model
    W_O = model.blocks[0].attn.W_O
    parts = [
        torch.einsum("bhd,hdm,bm->hb", cache[f"blocks.{layer}.attn.hook_z"][:, -1], W_O, direction)
        for layer in range(model.cfg.n_layers)
    ]
    return torch.stack(parts) / _scale(cache)


@attribute_heads.wrong("all prompts were read along the first one's direction; each has its own.")
def heads_one_direction(cache: Any, direction: Tensor) -> Tensor:
    return _heads_oracle(cache, direction[:1].expand_as(direction))


# --- name_mover_scores --------------------------------------------------------------------------

name_mover_scores = checks.exercise(
    "name_mover_scores",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "pattern[batch, head, query, key]: the one who looks is END, the one looked at is the IO.",
        "Both positions differ from prompt to prompt. Index with three vectors of length batch: "
        "pattern[rows, :, end, io] is [batch, head].",
        "Do that in every layer, stack, and average over the prompts.",
    ],
)


@cache
def _small() -> ToyBatch:
    return ToyBatch(_looking_model(), pairs=((3, 4), (3, 4)), rows=((0, 0), (0, 1)))


@cache
def _batch(n_layers: int = 3, n_heads: int = 4, seed: int = 0) -> ToyBatch:
    return ToyBatch(_model(n_layers, n_heads, seed))


def _looking_cases() -> Iterator[Case]:
    small = _small()
    yield Case(
        "a head that looks from END at the IO, one that looks at the subject, one that looks from "
        "a name at its copies", small.model, small,
    )  # fmt: skip
    for batch in (_batch(), _batch(2, 5, 3)):
        yield Case("a random model and prompts of two lengths", batch.model, batch)


name_mover_scores.cases(_looking_cases)


def _patterns(model: Any, tokens: Tensor) -> list[Tensor]:
    seen: list[Tensor] = []
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    keep = lambda pattern, hook: seen.append(pattern.clone())  # noqa: E731
    model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names])
    return seen


def _looks(model: Any, batch: Any, query: Any, key: Any, total: bool = False) -> Tensor:
    """Attention between two positions, prompt by prompt and head by head."""
    query, key = (batch.positions[p] if isinstance(p, str) else p for p in (query, key))
    table = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer, pattern in enumerate(_patterns(model, batch.tokens)):
        for head in range(model.cfg.n_heads):
            for i in range(len(batch.tokens)):
                table[layer, head] += pattern[i, head, query[i], key[i]]
    return table if total else table / len(batch.tokens)


@name_mover_scores.oracle
def _mover_oracle(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "END", "IO")


def _last(batch: Any) -> Tensor:
    return torch.full_like(batch.positions["END"], batch.tokens.shape[1] - 1)


def _of_first(batch: Any, name: str) -> Tensor:
    return batch.positions[name][:1].expand(len(batch.tokens))


@name_mover_scores.wrong(
    "query and key are exchanged: you asked how much the IO looks at END, which comes later. "
    "pattern[batch, head, q, k]: q is the one who looks."
)
def mover_transposed(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "IO", "END")


@name_mover_scores.wrong(
    "this is the attention to the subject. A name mover fetches the name that is the answer, the "
    "IO."
)
def mover_to_subject(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "END", "S1")


@name_mover_scores.wrong(
    "this is the attention to the second subject, S2. Heads that look there come later in the "
    "chapter; the answer is the IO."
)
def mover_to_s2(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "END", "S2")


@name_mover_scores.wrong(
    "the positions of the first prompt were used for all. They move with the template and the "
    "order: batch.positions has one for each prompt."
)
def mover_positions_of_first(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, _of_first(batch, "END"), _of_first(batch, "IO"))


@name_mover_scores.wrong(
    "you read the last column of positions. Shorter prompts are filled up on the right, so their "
    'END comes earlier: batch.positions["END"].'
)
def mover_from_last(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, _last(batch), "IO")


@name_mover_scores.wrong("you summed over the prompts; take the mean, so that batches compare.")
def mover_summed(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "END", "IO", total=True)


@name_mover_scores.wrong(
    "every prompt's END was read at every prompt's IO. Indexing twice, [:, :, end][..., io], makes "
    "a "
    "table; index once, with rows: pattern[rows, :, end, io]."
)
def mover_every_pairing(model: Any, batch: Any) -> Tensor:
    end, io = batch.positions["END"], batch.positions["IO"]
    patterns = _patterns(model, batch.tokens)
    return torch.stack([p[:, :, end][..., io].mean((0, 2, 3)) for p in patterns])


# --- copy_score ---------------------------------------------------------------------------------

copy_score = checks.exercise(
    "copy_score",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "A head reads x and writes x W_V W_O. The unembedding W_U turns that into logits, one for "
        "each token of the vocabulary.",
        "Grouped values: if W_V has fewer heads than W_O, head h uses value h // (heads per "
        "value).",
        "written = sign * resid @ W_V[group] @ W_O[index], with group = index // (len(W_O) // "
        "len(W_V)).",
    ],
)


@copy_score.cases
def _copy_cases() -> Iterator[Case]:
    model, names = _copying_model(), torch.tensor(NAMES)
    yield Case("a head that writes the name it reads", model, (1, 0), names)
    yield Case("a head that writes against the name it reads", model, (1, 1), names)
    yield Case("that head, the sign turned", model, (1, 1), names, -1)
    yield Case("a head that writes another name", model, (1, 2), names)
    yield Case("a head whose W_V and W_O copy only together", model, (1, 3), names)
    for seed, head in enumerate([(1, 2), (0, 3), (1, 1), (1, 3)]):
        sign = -1 if seed == 2 else 1
        random = _copying_model(seed + 1)
        yield Case("random weights", random, head, torch.arange(1, 28), sign)


def _copied(
    model: Any, head: Any, names: Tensor, sign: int = 1, *, k: int = 5, bos: bool = True,
    position: int = -1, raw: bool = False, group: int | None = None, keep: bool = False,
) -> Tensor:  # fmt: skip
    """Whether each name is among the k largest logits, one name after the other."""
    layer, index = head
    W_V, hits = model.W_V[layer], []
    group = index * len(W_V) // model.cfg.n_heads if group is None else group
    for name in names:
        prompt = torch.tensor([[0, int(name)] if bos else [int(name)]])
        after = model.run_with_cache(prompt, return_cache_object=False)[1]
        read = model.W_E[name] if raw else after["blocks.0.hook_resid_post"][0, position]
        written = sign * read @ W_V[group] @ model.W_O[layer, index]
        logits = (written + keep * read) @ model.W_U
        hits.append(int(name) in logits.argsort(descending=True)[:k].tolist())
    return torch.tensor(hits)


@copy_score.oracle
def _copy_oracle(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _copied(model, head, names, sign).float().mean().item()


def _share(hits: Tensor) -> float:
    return hits.float().mean().item()


@copy_score.wrong(
    "the sign is not used. Multiply what the head writes by it before you look for the largest "
    "logits."
)
def sign_not_used(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names))


@copy_score.wrong(
    "the head reads the bare embedding W_E. By the time a head of a later layer reads a name, "
    "layer "
    "0 has worked on it: take the residual stream after layer 0."
)
def bare_embedding(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, raw=True))


@copy_score.wrong("only the single largest logit was looked at; asked is one of the 5 largest.")
def top_1(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, k=1))


@copy_score.wrong(
    "the wrong value matrix: this model's heads share values in groups. Head h reads with number "
    "h // (heads per value)."
)
def first_group(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, group=0))


@copy_score.wrong(
    "the wrong value matrix: consecutive heads share one, so head h reads with number "
    "h // (heads per value), not with h modulo the number of values."
)
def group_by_modulo(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, group=head[1] % model.W_V.shape[1]))


@copy_score.wrong("the head read BOS: the name stands at position 1 of [BOS, name].")
def reads_bos(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, position=0))


@copy_score.wrong(
    "the residual stream itself was added to what the head writes. Then every head seems to copy: "
    "the name is there already."
)
def residual_added(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, keep=True))


@copy_score.wrong("this is the number of names; asked is their share.")
def copies_counted(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return float(_copied(model, head, names, sign).sum())


# --- duplicate_token_scores ---------------------------------------------------------------------

duplicate_token_scores = checks.exercise(
    "duplicate_token_scores",
    difficulty=2,
    importance=4,
    minutes=6,
    hints=[
        "As name_mover_scores, between two other positions. Who looks? S2, the later one.",
        'pattern[rows, :, batch.positions["S2"], batch.positions["S1"]] in every layer.',
    ],
)
duplicate_token_scores.cases(_looking_cases)


@duplicate_token_scores.oracle
def _duplicate_oracle(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "S2", "S1")


@duplicate_token_scores.wrong(
    "query and key are exchanged: S1 cannot look at S2, which comes later."
)
def duplicate_transposed(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "S1", "S2")


@duplicate_token_scores.wrong(
    "this is the attention to S1+1, the token after: an induction head looks there. A "
    "duplicate-token head looks at the earlier copy itself."
)
def looks_like_induction(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "S2", "S1+1")


@duplicate_token_scores.wrong(
    "this is the attention to the IO, the other name. The duplicate of S2 is S1."
)
def duplicate_to_io(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "S2", "IO")


@duplicate_token_scores.wrong(
    "you looked from END. The repetition can be noticed where it happens, at S2."
)
def duplicate_from_end(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "END", "S1")


@duplicate_token_scores.wrong(
    "this is how much S2 looks at itself; its duplicate is the earlier one, S1."
)
def duplicate_itself(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "S2", "S2")


@duplicate_token_scores.wrong(
    "the positions of the first prompt were used for all; batch.positions has one for each."
)
def duplicate_positions_of_first(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, _of_first(batch, "S2"), _of_first(batch, "S1"))


@duplicate_token_scores.wrong("you summed over the prompts; take the mean.")
def duplicate_summed(model: Any, batch: Any) -> Tensor:
    return _looks(model, batch, "S2", "S1", total=True)


# --- s_inhibition_effect ------------------------------------------------------------------------

s_inhibition_effect = checks.exercise(
    "s_inhibition_effect",
    difficulty=4,
    importance=5,
    minutes=12,
    tolerance=Tolerance(1e-4, 1e-3),
    hints=[
        "The movers are the receivers, and they are to hear through their queries alone: "
        '(layer, head, "q") for each.',
        'The sender speaks at END: position=batch.positions["END"]. Senders are swept for you.',
        "path_patch_sweep gives the metric after patching. The effect is that minus the metric of "
        "the plain run.",
    ],
)


@s_inhibition_effect.cases
def _inhibition_cases() -> Iterator[Case]:
    batch = _batch()
    yield Case("one mover in the last layer", batch.model, batch, [(2, 1)])
    yield Case("two movers of different layers", batch.model, batch, [(2, 3), (1, 0)])
    other = _batch(4, 3, 1)
    yield Case("a deeper model", other.model, other, [(3, 0), (2, 2)])


@torch.no_grad()
def _by_hooks(model: Any, batch: Any, sender: Any, receivers: Any) -> float:
    """Path patching as Wang et al. define it, the whole model run under hooks four times."""
    _, kept = model.run_with_cache(batch.tokens, return_cache_object=False)
    _, new = model.run_with_cache(batch.corrupt("ABC"), return_cache_object=False)
    rows, end, read = _rows(batch), batch.positions["END"], {}

    def freeze(z: Tensor, hook: Any) -> Tensor:
        z = kept[hook.name].clone()
        if hook.layer() == sender[0]:
            z[rows, end, sender[1]] = new[hook.name][rows, end, sender[1]]
        return z

    def keep(q: Tensor, hook: Any) -> None:
        read[hook.name] = q.clone()

    def hear(q: Tensor, hook: Any) -> Tensor:
        q = q.clone()
        for layer, head in receivers:
            if layer == hook.layer():
                q[:, :, head] = read[hook.name][:, :, head]
        return q

    frozen = [(f"blocks.{layer}.attn.hook_z", freeze) for layer in range(model.cfg.n_layers)]
    names = {f"blocks.{layer}.attn.hook_q" for layer, _ in receivers}
    model.run_with_hooks(batch.tokens, fwd_hooks=frozen + [(name, keep) for name in names])
    logits = model.run_with_hooks(batch.tokens, fwd_hooks=[(name, hear) for name in names])
    return float(batch.metric(logits) - batch.metric(model(batch.tokens)))


@s_inhibition_effect.oracle
def _inhibition_oracle(model: Any, batch: Any, movers: Any) -> Tensor:
    return torch.tensor([
        [_by_hooks(model, batch, (layer, head), movers) for head in range(model.cfg.n_heads)]
        for layer in range(model.cfg.n_layers)
    ])  # fmt: skip


def _swept(
    model: Any, batch: Any, receivers: Any, *, at: str | None = "END", how: str = "ABC",
    swapped: bool = False, absolute: bool = False,
) -> Tensor:  # fmt: skip
    prompts = [batch.tokens, batch.corrupt(how)]
    clean, corrupted = prompts[::-1] if swapped else prompts
    where = None if at is None else batch.positions[at]
    swept = path_patch_sweep(model, clean, corrupted, receivers, batch.metric, position=where)
    return swept if absolute else swept - batch.metric(model(clean))


def _queries(movers: Any) -> list[tuple[int, int, str]]:
    return [(layer, head, "q") for layer, head in movers]


@s_inhibition_effect.wrong(
    "this is the metric itself. The effect is how it *changes*: subtract the plain run's "
    "batch.metric(model(batch.tokens))."
)
def metric_itself(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, _queries(movers), absolute=True)


@s_inhibition_effect.wrong(
    "the sign is turned: patched minus plain, so that losing a helpful path is negative."
)
def inhibition_sign_turned(model: Any, batch: Any, movers: Any) -> Tensor:
    return -_swept(model, batch, _queries(movers))


@s_inhibition_effect.wrong(
    "the movers heard through their keys. At END a sender can tell a mover where to *look* only "
    'through its query: (layer, head, "q").'
)
def through_keys(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, [(layer, head, "k") for layer, head in movers])


@s_inhibition_effect.wrong(
    "the movers heard through queries, keys and values. Asked is the path through the queries "
    'alone: (layer, head, "q").'
)
def through_everything(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, list(movers))


@s_inhibition_effect.wrong(
    "this is the heads' direct effect: the receivers were the logits. Here the question is who "
    "talks to the movers."
)
def to_the_logits(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, "logits")


@s_inhibition_effect.wrong(
    "the senders were patched at S2. The movers' query is made at END, so that is where it hears: "
    'position=batch.positions["END"].'
)
def senders_at_s2(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, _queries(movers), at="S2")


@s_inhibition_effect.wrong(
    "the ABC prompts were run and the senders' outputs taken from the real ones. Here the real "
    "prompts are run, and a sender is heard from ABC: clean first, then corrupted."
)
def prompts_exchanged(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, _queries(movers), swapped=True)


@s_inhibition_effect.wrong(
    "the other prompts are those of another corruption. ABC has three different names, so that "
    'nothing is said twice: batch.corrupt("ABC").'
)
def another_corruption(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, _queries(movers), how="swap_s2")


@s_inhibition_effect.wrong(
    "the effect was divided by the whole logit difference. Keep logits: shares of a small total "
    "mislead."
)
def as_a_share(model: Any, batch: Any, movers: Any) -> Tensor:
    return _swept(model, batch, _queries(movers)) / batch.metric(model(batch.tokens))


# --- knock_out ----------------------------------------------------------------------------------

knock_out = checks.exercise(
    "knock_out",
    difficulty=4,
    importance=5,
    minutes=15,
    tolerance=Tolerance(1e-4, 1e-3),
    hints=[
        "Run the reference prompts once and keep z. For a prompt, average over the reference "
        "prompts of its group: cache[name][reference_groups == group].mean(0).",
        "In a hook on blocks.L.attn.hook_z, put those means where the heads of layer L stand: "
        "z[:, :, head] = means[:, :, head].",
        "The logits of each prompt's END: logits[rows, batch.positions['END']]. Then "
        "logit_difference.",
    ],
)


@knock_out.cases
def _knock_out_cases() -> Iterator[Case]:
    batch = _batch()
    yield Case("no head at all", batch.model, batch, [])
    yield Case("one head", batch.model, batch, [(1, 2)])
    yield Case("heads of two layers", batch.model, batch, [(0, 1), (2, 0), (2, 3)])
    other = _batch(4, 3, 1)
    yield Case("two heads of a deeper model", other.model, other, [(0, 2), (3, 1)])


def _knocked(
    model: Any, batch: Any, heads: Any, *, reference: Any = None, zero: bool = False,
    flat: bool = False, end: Any = None, one_group: bool = False,
) -> Tensor:  # fmt: skip
    """One prompt at a time, its groups' reference prompts beside it."""
    tokens, groups = reference or batch.abc_reference()
    found = []
    for i, row in enumerate(batch.tokens):
        mine = tokens if one_group else tokens[groups == batch.groups[i]]
        theirs = model.run_with_cache(mine, return_cache_object=False)[1]

        def replace(z: Tensor, hook: Any, theirs: Any = theirs) -> Tensor:
            mean = theirs[hook.name].mean(0)
            mean = mean.mean(0, keepdim=True).expand_as(mean) if flat else mean
            for layer, head in heads:
                if layer == hook.layer():
                    z[0, :, head] = 0.0 if zero else mean[:, head]
            return z

        names = {f"blocks.{layer}.attn.hook_z" for layer, _ in heads}
        logits = model.run_with_hooks(row[None], fwd_hooks=[(name, replace) for name in names])
        at = batch.positions["END"][i] if end is None else end
        found.append(logits[0, at, batch.io[i]] - logits[0, at, batch.s[i]])
    return torch.stack(found)


@knock_out.oracle
def _knock_out_oracle(model: Any, batch: Any, heads: Any) -> Tensor:
    return _knocked(model, batch, heads)


@knock_out.wrong(
    "the heads were set to zero. Zero is nothing a head ever says; its mean over ABC prompts keeps "
    "what it always says and takes away what it says about these names."
)
def set_to_zero(model: Any, batch: Any, heads: Any) -> Tensor:
    return _knocked(model, batch, heads, zero=True)


@knock_out.wrong(
    "the mean runs over all reference prompts. In another template another word stands at each "
    "position: average over the prompt's own group."
)
def all_groups_together(model: Any, batch: Any, heads: Any) -> Tensor:
    return _knocked(model, batch, heads, one_group=True)


@knock_out.wrong(
    "the mean was taken over the prompts themselves. It still knows that a name was said twice; "
    "the ABC prompts, batch.abc_reference(), do not."
)
def mean_of_the_prompts(model: Any, batch: Any, heads: Any) -> Tensor:
    return _knocked(model, batch, heads, reference=(batch.tokens, batch.groups))


@knock_out.wrong(
    "one mean was put at all positions. What a head says at END is not what it says at a name: "
    "average over prompts, position by position."
)
def mean_over_positions(model: Any, batch: Any, heads: Any) -> Tensor:
    return _knocked(model, batch, heads, flat=True)


@knock_out.wrong(
    "you read the last column. Shorter prompts are filled up on the right; their END comes "
    "earlier: "
    'batch.positions["END"].'
)
def read_at_last(model: Any, batch: Any, heads: Any) -> Tensor:
    return _knocked(model, batch, heads, end=-1)


@knock_out.wrong(
    "all heads but these were knocked out. Leaving only a few is the next section; here the few "
    "are taken away."
)
def the_others(model: Any, batch: Any, heads: Any) -> Tensor:
    layers, count = range(model.cfg.n_layers), range(model.cfg.n_heads)
    rest = [(i, j) for i in layers for j in count if (i, j) not in [tuple(h) for h in heads]]
    return _knocked(model, batch, rest)


@knock_out.wrong(
    "whole layers were knocked out. Change the slice of each head alone: z[:, :, head]."
)
def whole_layers(model: Any, batch: Any, heads: Any) -> Tensor:
    layers = {layer for layer, _ in heads}
    return _knocked(model, batch, [(i, j) for i in layers for j in range(model.cfg.n_heads)])


@knock_out.wrong(
    "nothing was knocked out: this is the plain run. A hook that changes a copy has to return it."
)
def nothing_knocked_out(model: Any, batch: Any, heads: Any) -> Tensor:
    return _knocked(model, batch, [])


@knock_out.wrong("you averaged over the prompts: return one logit difference for each.")
def knock_out_averaged(model: Any, batch: Any, heads: Any) -> Tensor:
    return _knocked(model, batch, heads).mean()


# --- faithfulness, completeness, minimality -------------------------------------------------------


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


_A, _B, _C, _D, _E = (0, 0), (0, 1), (1, 0), (1, 1), (2, 1)
_M = frozenset([_A, _B, _C, _D, _E])


def _adding(heads: frozenset[Any]) -> float:
    """A adds 3, B 1, C takes 2 away; D and E do nothing."""
    return 3.0 * (_A in heads) + 1.0 * (_B in heads) - 2.0 * (_C in heads)


def _backed_up(heads: frozenset[Any]) -> float:
    """A gives 4; where A is gone, B gives 3; C adds 0.5."""
    return (4.0 if _A in heads else 3.0 * (_B in heads)) + 0.5 * (_C in heads)


def _entangled(seed: int) -> Callable[[frozenset[Any]], float]:
    single, pair = normal(5, seed=seed), normal(5, 5, seed=seed + 9)
    order = sorted(_M)

    def function(heads: frozenset[Any]) -> float:
        left = torch.tensor([float(head in heads) for head in order])
        return float(single @ left + left @ pair @ left)

    return function


ADDING = Toy("F of heads that add up", _adding)
BACKED_UP = Toy("F of a head with a backup", _backed_up)
ENTANGLED = [Toy("a random F", _entangled(seed)) for seed in range(3)]

faithfulness = checks.exercise(
    "faithfulness",
    difficulty=2,
    importance=5,
    minutes=5,
    hints=[
        "F takes a set of heads to leave. What is F of the whole model? Of the circuit?",
        "A circuit that does better than the model is as unfaithful as one that does worse: abs().",
    ],
)


@faithfulness.cases
def _faithfulness_cases() -> Iterator[Case]:
    yield Case("a circuit that lacks a head worth 1", ADDING, set(_M), {_A, _C})
    yield Case("a circuit that lacks a head worth -2", ADDING, set(_M), {_A, _B})
    for F, circuit in zip(ENTANGLED, ({_A, _D}, {_B, _C, _E}, {_E}), strict=True):
        yield Case("a random F", F, set(_M), circuit)


@faithfulness.oracle
def _faithfulness_oracle(F: Any, model_heads: Any, circuit: Any) -> float:
    return max(F(model_heads) - F(circuit), F(circuit) - F(model_heads))


@faithfulness.wrong(
    "the sign is kept. The score is a distance: a circuit that leaves out what works against the "
    "task does better than the model, and that is no merit."
)
def faithfulness_signed(F: Any, model_heads: Any, circuit: Any) -> float:
    return F(model_heads) - F(circuit)


@faithfulness.wrong("that is a ratio; the score is a difference, in logits.")
def faithfulness_ratio(F: Any, model_heads: Any, circuit: Any) -> float:
    return F(circuit) / F(model_heads)


@faithfulness.wrong("that is F(C) alone. How far is it from F(M)?")
def circuit_alone(F: Any, model_heads: Any, circuit: Any) -> float:
    return F(circuit)


@faithfulness.wrong(
    "the circuit was taken away instead of being left alone: F takes the heads that stay."
)
def circuit_taken_away(F: Any, model_heads: Any, circuit: Any) -> float:
    return abs(F(model_heads) - F(set(model_heads) - set(circuit)))


@faithfulness.wrong(
    "the difference was divided by F(M). Keep logits; the notebook shows the share."
)
def faithfulness_share(F: Any, model_heads: Any, circuit: Any) -> float:
    return abs(F(model_heads) - F(circuit)) / F(model_heads)


completeness = checks.exercise(
    "completeness",
    difficulty=3,
    importance=4,
    minutes=6,
    hints=[
        "Take the same heads K from both: circuit - removed, and model_heads - removed.",
        "Then it is the faithfulness of what is left.",
    ],
)


@completeness.cases
def _completeness_cases() -> Iterator[Case]:
    yield Case(
        "a circuit without the backup, the main head removed", BACKED_UP, set(_M), {_A, _C}, {_A}
    )
    yield Case("the same circuit, nothing removed", BACKED_UP, set(_M), {_A, _C}, set())
    yield Case("heads that add up, one removed", ADDING, set(_M), {_A, _B}, {_B})
    parts = (({_A, _D, _C}, {_C}), ({_B, _C, _E}, {_B, _E}), ({_E, _A}, {_A}))
    for F, (circuit, removed) in zip(ENTANGLED, parts, strict=True):
        yield Case("a random F", F, set(_M), circuit, removed)


@completeness.oracle
def _completeness_oracle(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    left = [[head for head in heads if head not in removed] for heads in (model_heads, circuit)]
    return max(F(left[0]) - F(left[1]), F(left[1]) - F(left[0]))


@completeness.wrong(
    "K was taken from the circuit alone. Model and circuit have to suffer the same loss: remove it "
    "from both."
)
def removed_from_circuit_alone(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    return abs(F(set(circuit) - set(removed)) - F(model_heads))


@completeness.wrong("K was taken from the model alone: remove it from both.")
def removed_from_model_alone(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    return abs(F(circuit) - F(set(model_heads) - set(removed)))


@completeness.wrong("nothing was removed: this is faithfulness.")
def nothing_removed(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    return abs(F(circuit) - F(model_heads))


@completeness.wrong("the sign is kept: the score is a distance, take abs().")
def completeness_signed(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    return F(set(circuit) - set(removed)) - F(set(model_heads) - set(removed))


@completeness.wrong(
    "K itself was left and the rest removed: F takes the heads that stay, so subtract K."
)
def only_removed_left(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    return abs(F(set(circuit) & set(removed)) - F(set(model_heads) - set(removed)))


minimality = checks.exercise(
    "minimality",
    difficulty=3,
    importance=4,
    minutes=6,
    hints=[
        "First take K away from the circuit. That is the state in which the head is tried.",
        "Then F with the head and F without it; their distance.",
    ],
)


@minimality.cases
def _minimality_cases() -> Iterator[Case]:
    yield Case("a head worth 3, nothing else removed", ADDING, {_A, _B, _C}, _A)
    yield Case("a head worth -2", ADDING, {_A, _B, _C}, _C)
    yield Case("a backup while the main head is there", BACKED_UP, {_A, _B, _C}, _B, set())
    yield Case("a backup once the main head is removed", BACKED_UP, {_A, _B, _C}, _B, {_A})
    parts = (({_A, _D, _C}, _D, {_C}), ({_B, _C, _E}, _C, {_B, _E}), ({_E, _A, _B}, _A, {_B}))
    for F, (circuit, head, removed) in zip(ENTANGLED, parts, strict=True):
        yield Case("a random F", F, circuit, head, removed)


@minimality.oracle
def _minimality_oracle(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    before = [other for other in circuit if other not in removed]
    after = [other for other in before if other != head]
    return max(F(before) - F(after), F(after) - F(before))


@minimality.wrong(
    "K stayed in. A backup does nothing while the head it stands in for is there; remove K first."
)
def removed_stayed(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    return abs(F(set(circuit) - {head}) - F(circuit))


@minimality.wrong(
    "compared with the whole circuit. K is missing in one term only, so the loss of K is counted "
    "as "
    "the head's: take it from both."
)
def compared_with_the_whole(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    return abs(F(set(circuit) - set(removed) - {head}) - F(circuit))


@minimality.wrong("the sign is kept: a head that works against the task matters too. Take abs().")
def minimality_signed(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    rest = set(circuit) - set(removed)
    return F(rest - {head}) - F(rest)


@minimality.wrong("that is the head all alone. Asked is what it adds to the others of the circuit.")
def head_alone(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    return abs(F({head}))


@minimality.wrong("that is what is left without the head; asked is the change.")
def what_is_left(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    return abs(F(set(circuit) - set(removed) - {head}))


# --- questions ----------------------------------------------------------------------------------

checks.quiz(
    "what_induction_needs",
    "From chapter 04: an induction head at the second `q` of `q x b q` attends to ...",
    {
        "the first q": "That is what a duplicate-token head does. You meet some below.",
        "the first x": "The token after the earlier copy. It finds it by what the key says about "
        "the token before.",
        "BOS": "It rests there when it finds nothing.",
    },
    answer="the first x",
)

checks.quiz(
    "which_composition",
    "From chapter 05: head A changes what head B *asks for*, and so where B looks. That is ...",
    {
        "Q-composition": "A's write becomes part of B's query.",
        "K-composition": "Then A would change what a position answers to, not what B asks for.",
        "V-composition": "Then B would look where it always does and move something else.",
    },
    answer="Q-composition",
)

checks.quiz(
    "zero_or_mean_again",
    "From chapter 04: what does mean ablation leave that zero ablation takes away?",
    {
        "what the head says about this prompt": "That is what both take away.",
        "what the head says on every prompt": "A constant that later layers may rely on.",
        "nothing": "The mean of a head's output is rarely zero.",
    },
    answer="what the head says on every prompt",
)

checks.prediction(
    "late_or_early",
    "The names are read early in the prompt. In which layers are the parts that add most to the "
    "logit difference?",
    {"in the first third": "", "in the middle": "", "in the last third": ""},
)

checks.prediction(
    "largest_head_looks",
    "One head adds more to the logit difference than any other. From END, which name does it look "
    "at most?",
    {
        "the IO, whose name it copies": "",
        "the subject": "",
        "neither": "",
    },
)

checks.prediction(
    "negative_movers_look",
    "Some heads *lower* the logit difference. A common account: they write against the subject's "
    "name. If that were so, what would they do to the logit difference?",
    {
        "lower it": "Writing against the subject lowers the subject's logit, which is subtracted.",
        "raise it": "Less for the subject is more for the difference. So heads that lower it must "
        "do something else.",
    },
    answer="raise it",
)

checks.prediction(
    "knock_out_movers",
    "You knock out all name movers at once. How much of the logit difference is left?",
    {"nearly all": "", "about half": "", "next to nothing": ""},
)

checks.prediction(
    "how_many_heads",
    "How many of the model's heads does it take to keep at least half of the logit difference?",
    {"a tenth or fewer": "", "about a third": "", "more than half": ""},
)

checks.prediction(
    "adversarial",
    "Now the IO is said twice as well, so being said twice no longer tells the names apart. What "
    "becomes of the logit difference?",
    {"it stays": "", "it falls": "", "it turns negative": ""},
)

checks.explanation(
    "attention_and_effect",
    "A head attends strongly to the IO. Why does that not tell you whether it helps?",
    "Looking is half of a head; what it writes is the other half: it may write for the name, "
    "against it, or about something else, which copy score and direct attribution tell apart.",
)

checks.explanation(
    "why_three_criteria",
    "Why does a circuit that passes faithfulness still need completeness?",
    "It may lack a backup: both score alike as long as the main heads are there, and differ once "
    "these are removed from circuit and model.",
)
