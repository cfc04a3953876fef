"""What heads written by hand do on random sequences, and how to say it.

Answers that are weights are never compared: scaled, rotated or differently wired weights may do the
same job. They are put into a model, run, and described by where they look and what they write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits_course.circuits.basis import Basis, HeadWeights, checked, small_basis
from circuits_course.errors import CourseError
from circuits_course.models.config import BOS_SYMBOL

ENOUGH = 0.9  # of the attention, or of a write, counts as all of it
SILENT = 1e-3  # a write shorter than this is none


def other_basis(seed: int | None = 1) -> Basis:
    """Another vocabulary, length and set of features than `small_basis`, rotated unless told."""
    features = {
        "height": dict(zip("bdfhklt", (2.0, 2.0, 1.0, 2.0, 2.0, 2.0, 1.0), strict=True)),
        "late": dict.fromkeys("nopqrst", 1.0),
        "round": dict.fromkeys("bdo", 1.0),
    }
    return Basis((BOS_SYMBOL, *"bdfhklmnopqrst"), 17, features, seed)


def bases() -> list[tuple[str, Basis]]:
    """Bases to try heads on, and what to call them; the small one first."""
    return [
        ("the small basis", small_basis()),
        ("a rotated basis with other symbols", other_basis()),
    ]


class HandBuiltRun(NamedTuple):
    """What heads did on a batch of sequences; one entry per layer in patterns and writes."""

    tokens: Int[Tensor, "batch pos"]
    patterns: list[Float[Tensor, "batch q k"]]
    writes: list[Float[Tensor, "batch pos d_model"]]
    logits: Float[Tensor, "batch pos d_vocab"]


def sequences(basis: Basis, seed: int = 0, batch: int = 8) -> Int[Tensor, "batch pos"]:
    """BOS and uniformly random symbols, as long as the basis has positions."""
    generator = torch.Generator().manual_seed(seed)
    symbols = torch.randint(1, basis.d_vocab, (batch, basis.n_ctx - 1), generator=generator)
    return torch.cat([torch.zeros(batch, 1, dtype=torch.int64), symbols], dim=1)


_last: list[tuple[tuple[Any, ...], HandBuiltRun]] = []


def run(
    basis: Basis, *heads: HeadWeights, draw: Callable[[Basis], Tensor] = sequences
) -> HandBuiltRun:
    """Puts the heads into a model, one a layer, and runs it on the sequences that `draw` gives.

    The latest run is kept, since several properties of one answer ask for the same. Raises
    CourseError where a head does not fit.
    """
    key = (basis, draw, *heads)
    for old, ran in _last:
        if len(old) == len(key) and all(a is b for a, b in zip(old, key, strict=True)):
            return ran
    _last[:] = [(key, _run(basis, heads, draw(basis)))]
    return _last[0][1]


def _run(basis: Basis, heads: Sequence[HeadWeights], tokens: Tensor) -> HandBuiltRun:
    model: Any = basis.model(*heads)
    logits, cache = model.run_with_cache(tokens)
    layers = range(len(heads))
    patterns = [cache["pattern", layer][:, 0] for layer in layers]
    return HandBuiltRun(tokens, patterns, [cache["attn_out", layer] for layer in layers], logits)


def unusable(basis: Basis, head: HeadWeights, which: str = "") -> str | None:
    """Why a head cannot be put into a model, if it cannot."""
    try:
        checked(basis, head)
    except CourseError as error:
        return f"{which}{str(error).rstrip('.')}"
    return None


# --- where a head looks -----------------------------------------------------------------------


def mass(
    pattern: Float[Tensor, "batch q k"], keys: Bool[Tensor, "batch q k"]
) -> Float[Tensor, "batch q"]:
    """Each query's attention to some of the keys."""
    return (pattern * keys).sum(-1)


def misses(
    pattern: Float[Tensor, "batch q k"], keys: Bool[Tensor, "batch q k"], target: str
) -> str | None:
    """Says how often the queries that have some `keys` to look at do not, and where they look."""
    has_some = keys.any(-1)
    on_target = mass(pattern, keys)[has_some]
    hits = on_target >= ENOUGH
    if hits.all():
        return None
    habit = _habit(pattern, keys, has_some, mass(pattern, keys) >= ENOUGH)
    return (
        f"of the queries that should, {percent(hits)} attend to {target} (with "
        f"{on_target.mean():.2f} of their attention on average); {habit}"
    )


def _habit(pattern: Tensor, keys: Tensor, asked: Tensor, done: Tensor) -> str:
    """What queries do most often instead."""
    top, key = pattern.max(-1)
    right = keys.gather(-1, key[..., None])[..., 0]
    labels = [
        "there" if right[b, q] else _place(int(q), int(key[b, q]), float(top[b, q]))
        for b, q in (asked & ~done).nonzero().tolist()
    ]
    label, count = Counter(labels).most_common(1)[0]
    share = _percent_of(count / int(asked.sum()))
    if label == "there":
        return f"{share} look there most, but with less than {ENOUGH} of their attention"
    if label != "spread":
        return f"{share} look {label} instead"
    largest = top[asked & ~done].mean()
    return f"{share} spread their attention, {largest:.2f} on the strongest key"


def _place(query: int, key: int, weight: float) -> str:
    if weight < 0.7:
        return "spread"
    if key == query:
        return "at themselves"
    return "at BOS" if key == 0 else f"{query - key} back"


def percent(hits: Tensor) -> str:
    return _percent_of(float(hits.double().mean()))


def _percent_of(share: float) -> str:
    """Never "100 %" or "0 %" of what is not all or nothing."""
    return f"{min(max(round(100 * share), int(share > 0)), 100 - int(share < 1))} %"


# --- what a head writes -----------------------------------------------------------------------


def shares(
    basis: Basis, write: Float[Tensor, "*place d_model"], group: str = "out"
) -> Float[Tensor, "*place name"]:
    """How a write is shared out over the directions of a group; 0 everywhere for a silent one."""
    along = (write @ basis.group(group).T).clamp_min(0)
    total = along.sum(-1, keepdim=True)
    return torch.where(total > SILENT, along / total.clamp_min(SILENT), 0.0)


def energies(basis: Basis, write: Float[Tensor, "*place d_model"]) -> Float[Tensor, " group"]:
    """Mean squared length of a write along each group of directions."""
    squares = (write @ basis.directions.T).pow(2).flatten(0, -2).mean(0)
    sizes = [len(names) for names in basis.groups.values()]
    return torch.stack([part.sum() for part in squares.split(sizes)])


def strays(basis: Basis, write: Float[Tensor, "*place d_model"], group: str) -> str | None:
    """Says where a head writes, if it is not along the directions of a group."""
    energy = dict(zip(basis.groups, energies(basis, write).tolist(), strict=True))
    wanted = energy.pop(group)
    other = max(energy, key=lambda name: energy[name])
    if wanted < SILENT**2:
        instead = f"; it writes along {other!r}" if energy[other] > SILENT**2 else ", nor anywhere"
        return f"the head writes nothing along {group!r}{instead}"
    if energy[other] > 0.01 * wanted:
        return f"besides {group!r} the head also writes along {other!r}"
    return None


def summary(
    basis: Basis, write: Float[Tensor, "batch pos d_model"], *what: Tensor
) -> Float[Tensor, " entry"]:
    """What a head does as one row of numbers between 0 and 1, to tell whether two do the same:
    which groups it writes to (in shares), and whatever else is given."""
    energy = energies(basis, write)
    groups = energy / energy.sum().clamp_min(SILENT**2)
    return torch.cat([groups, *(part.flatten().float() for part in what)])


def miswrites(
    basis: Basis,
    tokens: Int[Tensor, "batch pos"],
    write: Float[Tensor, "batch pos d_model"],
    wanted: Float[Tensor, "batch pos d_vocab"],
) -> str | None:
    """Says where the symbols written along `out` are not the wanted ones (rows of 0: any)."""
    graded = wanted.sum(-1) > 0.5
    written = shares(basis, write)
    good = (written - wanted).abs().sum(-1) <= 2 * (1 - ENOUGH)
    if good[graded].all():
        return None
    b, q = (graded & ~good).nonzero()[0].tolist()
    read = " ".join(basis.vocabulary[token] for token in tokens[b, : q + 1].tolist())
    return (
        f"the head writes the right symbol at {percent(good[graded])} of the positions; after "
        f"{read} it should write {_mixture(basis, wanted[b, q])} and writes "
        f"{_mixture(basis, written[b, q])}"
    )


def _mixture(basis: Basis, weights: Float[Tensor, " d_vocab"]) -> str:
    """Symbols with their shares, strongest first: "'a'", "0.50 'a', 0.33 'b'", or "nothing"."""
    value, token = weights.topk(min(3, len(weights)))
    kept = [
        (float(v), basis.vocabulary[int(t)])
        for v, t in zip(value, token, strict=True)
        if v > 1 - ENOUGH
    ]
    if len(kept) == 1 and kept[0][0] > ENOUGH:
        return repr(kept[0][1])
    return ", ".join(f"{v:.2f} {symbol!r}" for v, symbol in kept) or "nothing much"


# --- what should happen -----------------------------------------------------------------------


def earlier(
    basis: Basis, same: Float[Tensor, "batch q k"] | Bool[Tensor, "batch q k"]
) -> Bool[Tensor, "batch q k"]:
    """Only keys that are not in the future, and neither the query nor the key BOS."""
    keep = torch.ones(basis.n_ctx, basis.n_ctx, dtype=torch.bool).tril()
    keep[0], keep[:, 0] = False, False
    return same.bool() & keep[: same.shape[1], : same.shape[2]]


def bos_where_none(keys: Bool[Tensor, "batch q k"]) -> Bool[Tensor, "batch q k"]:
    """BOS as the place to look at for queries other than BOS that have none of the keys."""
    rest = torch.zeros_like(keys)
    rest[:, 1:, 0] = ~keys[:, 1:].any(-1)
    return rest
