"""Tools for taking the circuit of indirect object identification apart.

What a model says and knows at END, where heads look between two named positions, and F(C), the
task's score when only the heads of C are left (Wang et al. 2022, arXiv 2211.00593, sections 2-4).
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import ActivationCache

from circuits_course.circuits.evidence import FEWEST, Interval, interval
from circuits_course.circuits.heads import PUBLISHED_IOI, Head
from circuits_course.circuits.norms import centred, final_scale_of
from circuits_course.circuits.patching import Ablation
from circuits_course.circuits.patching.stages import stages_of
from circuits_course.data.ioi import IOIBatch
from circuits_course.errors import CourseError

MEASURED = Path(__file__).parent / "measured"


@torch.no_grad()
def run_at_end(
    model: Any, tokens: Int[Tensor, "batch pos"], end: Int[Tensor, " batch"]
) -> tuple[Float[Tensor, "batch 1 d_vocab"], ActivationCache]:
    """Logits and cache at each prompt's END alone, which is then the last and only position.

    The cache holds what attribution needs: resid_pre of layer 0, every attn_out, mlp_out and z,
    and the scale of the final norm.
    """
    stages, rows = stages_of(model, tokens), torch.arange(len(tokens))
    run = stages.run(tokens, keep=("resid_pre", "attn_out", "mlp_out", "z"))
    final = run.resid_final[rows, end][:, None]
    kept = {"blocks.0.hook_resid_pre": run.resid_pre[0]}
    for name, layers in (("hook_attn_out", run.attn_out), ("hook_mlp_out", run.mlp_out),
                         ("attn.hook_z", run.z)):  # fmt: skip
        kept |= {f"blocks.{layer}.{name}": value for layer, value in enumerate(layers)}
    kept = {name: value[rows, end][:, None] for name, value in kept.items()}
    kept["ln_final.hook_scale"] = final_scale_of(model, final)[..., None]
    return stages.logits(final), ActivationCache(kept, model)


def answer_directions(
    model: Any, io: Int[Tensor, " batch"], s: Int[Tensor, " batch"]
) -> Float[Tensor, "batch d_model"]:
    """What the logit difference reads from the normalised residual stream: W_U[IO] - W_U[S].

    Where the final norm takes away the mean (LayerNorm), the directions' own mean is taken away
    instead, which comes to the same (`norms.centred`).
    """
    return centred(model, (model.W_U[:, io] - model.W_U[:, s]).T)


def output_biases(model: Any) -> Float[Tensor, " d_model"]:
    """The sum of all layers' attention biases b_O; zeros where the model has none."""
    biases = (getattr(block.attn, "b_O", None) for block in model.blocks)
    return sum((b for b in biases if b is not None), torch.zeros(model.cfg.d_model))


def component_names(model: Any) -> list[str]:
    """Names of what writes to the residual stream, in order: "embed", "0 attn", "0 mlp", ..."""
    layers = range(model.cfg.n_layers)
    return ["embed", *(f"{layer} {part}" for layer in layers for part in ("attn", "mlp"))]


@torch.no_grad()
def attention_between(
    model: Any,
    tokens: Int[Tensor, "batch pos"],
    positions: Mapping[str, Int[Tensor, " batch"]],
    pairs: Iterable[tuple[str, str]],
    *,
    each: bool = False,
) -> dict[tuple[str, str], Float[Tensor, "layer head *batch"]]:
    """Mean attention of every head from one named position to another, for several pairs.

    pairs: (query, key), for example ("END", "IO"); all are read from one run. each: keep the
    prompts apart, as a last axis.
    """
    rows = torch.arange(len(tokens))
    patterns = stages_of(model, tokens).run(tokens, keep=("pattern",)).pattern
    found = {}
    for query, key in pairs:
        looks = torch.stack([p[rows, :, positions[query], positions[key]] for p in patterns])
        found[query, key] = looks.mT if each else looks.mean(1)  # from [layer, batch, head]
    return found


def pair_means(values: Float[Tensor, "*what batch"]) -> Float[Tensor, "*what pair"]:
    """Means of twins, the prompts that differ in who is who: they were drawn together.

    Pairs are the independent units of an interval; prompts are not.
    """
    return values.unflatten(-1, (-1, 2)).mean(-1)


def pair_interval(values: Float[Tensor, " batch"]) -> Interval:
    """Mean and interval of one quantity, pairs of twins drawn anew."""
    return interval(pair_means(values))


class KnockOuts:
    """F(C): the mean logit difference, in logits, when all heads outside C are knocked out.

    Knocked out means: replaced, at every position, by the mean over ABC prompts of the same
    template and order. Called with the heads to leave; `only(heads, at)` leaves some of them at
    some positions only. MLPs stay. Scores are kept, so asking twice costs nothing.
    """

    def __init__(self, model: Any, batch: IOIBatch, per_group: int = 8, seed: int = 0) -> None:
        reference, groups = batch.abc_reference(per_group, seed)
        self.batch = batch
        self.ablation = Ablation(
            model, batch.tokens, "mean",
            reference=reference, groups=batch.groups, reference_groups=groups,
        )  # fmt: skip
        layers, heads = range(model.cfg.n_layers), range(model.cfg.n_heads)
        self.heads: frozenset[Head] = frozenset((layer, h) for layer in layers for h in heads)
        self._known: dict[frozenset[Head], Tensor] = {}

    def __call__(self, heads: Iterable[Head]) -> float:
        """F of these heads."""
        return self.each(heads).mean().item()

    def each(self, heads: Iterable[Head]) -> Float[Tensor, " batch"]:
        """F of these heads, prompt by prompt."""
        left = frozenset(heads)
        if left - self.heads:
            raise CourseError(f"There are no heads {sorted(left - self.heads)} in this model.")
        if left not in self._known:
            metric = self.batch.metric.each()
            self._known[left] = self.ablation.scores(self.heads - left, metric)
        return self._known[left]

    def without_each(self, heads: Collection[Head]) -> dict[Head, Float[Tensor, " batch"]]:
        """F without each of these heads by itself, prompt by prompt; all measured together."""
        found = self.ablation.one_by_one(heads, self.batch.metric.each())
        self._known |= {self.heads - {head}: found[head] for head in heads}
        return {head: found[head] for head in heads}

    def only(
        self, heads: Iterable[Head], at: Mapping[Head, Sequence[str]]
    ) -> Float[Tensor, " batch"]:
        """F, prompt by prompt, where heads in `at` are left at these named positions only."""
        everywhere = torch.ones_like(self.batch.tokens, dtype=torch.bool)
        masks = dict.fromkeys(self.heads, everywhere)
        for head in heads:
            masks[head] = ~self._mask(at[head]) if head in at else ~everywhere
        return self.ablation.scores(masks, self.batch.metric.each())

    def _mask(self, names: Sequence[str]) -> Tensor:
        mask = torch.zeros_like(self.batch.tokens, dtype=torch.bool)
        for name in names:
            mask[torch.arange(len(mask)), self.batch.positions[name]] = True
        return mask


def other_circuits(
    circuit: Iterable[Head],
    everything: Iterable[Head],
    n_sets: int = 23,
    seed: int = 0,
    *,
    fewest: int = FEWEST,
) -> list[frozenset[Head]]:
    """Distinct sets of as many other heads of the same layers: what a circuit is compared with.

    Where a layer has fewer others than the circuit has heads there, all of them are taken: a
    circuit may hold most of a layer, for which `control_sets` finds no set. Where fewer than
    n_sets exist all of them come; raises CourseError where they are fewer than `fewest`.
    """
    chosen, draw = set(circuit), random.Random(seed)
    free = {layer: sorted(h for h in set(everything) - chosen if h[0] == layer)
            for layer in sorted({layer for layer, _ in chosen})}  # fmt: skip
    wanted = {
        layer: min(sum(h[0] == layer for h in chosen), len(rest)) for layer, rest in free.items()
    }
    exist = math.prod(math.comb(len(rest), wanted[layer]) for layer, rest in free.items())
    if exist < min(fewest, n_sets):
        raise CourseError(f"Only {exist} other sets of heads exist in these layers, not {fewest}.")
    found: set[frozenset[Head]] = set()
    while len(found) < min(n_sets, exist):
        found.add(
            frozenset(h for layer, rest in free.items() for h in draw.sample(rest, wanted[layer]))
        )
    return sorted(found, key=sorted)


def sizes(model: Any) -> dict[str, int]:
    """What tells one real model from another: layers, heads a layer, vocabulary."""
    cfg = model.cfg
    return {"n_layers": cfg.n_layers, "n_heads": cfg.n_heads, "d_vocab": model.W_U.shape[-1]}


def known_circuits() -> dict[str, tuple[int, dict[str, list[Head]]]]:
    """The IOI circuits published and measured so far: {model: (its layers, {class: heads})}.

    GPT-2 small's is that of Wang et al. 2022 (arXiv 2211.00593, figure 2).
    """
    published = {role: list(heads) for role, heads in PUBLISHED_IOI["gpt2-small"].items()}
    circuits = {"gpt2-small": (12, published)}
    for path in sorted(MEASURED.glob("ioi_*.json")):
        table = json.loads(path.read_text(encoding="utf-8"))
        circuits[table["model"]] = (
            table["sizes"]["n_layers"],
            {role: [_head(name) for name in names] for role, names in table["classes"].items()},
        )
    return circuits


def _head(name: str) -> Head:
    layer, head = map(int, name.split("."))
    return layer, head


def measured_circuit(model: Any) -> dict[str, Any]:
    """The table measured for this model by `python -m circuits_course.authoring.measure_ioi`.

    model: a model, or the name of one. Triples of numbers are a mean and its interval. Raises
    CourseError for a model that was not measured.
    """
    for path in sorted(MEASURED.glob("ioi_*.json")):
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["model"] == model if isinstance(model, str) else table["sizes"] == sizes(model):
            return table
    raise CourseError(
        "No IOI circuit was measured for this model; "
        "`python -m circuits_course.authoring.measure_ioi NAME` measures it."
    )
