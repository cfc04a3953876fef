"""What IOI heads write, who hears it, and which fact about the subject it carries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.ioi import KnockOuts, answer_directions
from circuits_course.circuits.norms import final_scale_of
from circuits_course.circuits.patching.stages import Run, mix, stages_of
from circuits_course.circuits.patching.tail import Tail
from circuits_course.data.ioi import IOIBatch

AMONG = 5  # tokens raised or lowered most
SIGNALS: dict[str, tuple[int, int]] = {
    "swap_names": (1, -1), "new_names": (1, 0), "swap_first": (-1, 1), "swap_s2": (-1, -1),
    "new_names_swap_s2": (-1, 0), "ABC": (0, 0),
}  # fmt: skip
"""Corruption -> what it says about the subject: position, token (1 true, -1 the IO's, 0 neither).

Position: whether the name said twice stood first or second. Token: which name it is. Wang et al.
2022 (arXiv 2211.00593, appendix A) tell the two apart in this way.
"""


@torch.no_grad()
def copies_by_name(
    model: Any, batch: IOIBatch, heads: Iterable[Head], places: Iterable[str] = ("IO", "S2")
) -> dict[str, dict[Head, Float[Tensor, " batch"]]]:
    """Whether heads copy, or write against, the names at `places`, prompt by prompt: 1 or 0.

    A head copies a name if it is among the five tokens that the head's value there, through W_O and
    W_U, raises most; it writes against it if it is among the five lowered most. The value is the
    one of the very prompt, with all that lower layers made of the name. places: "IO", "S1", "S2".
    Returns {"copies IO": {head: [batch]}, "against IO": ..., "copies S2": ..., "against S2": ...}.
    """
    heads, rows = list(heads), torch.arange(len(batch.tokens))
    names = {f"blocks.{layer}.attn.hook_v" for layer, _ in heads}
    _, cache = model.run_with_cache(
        batch.tokens, names_filter=lambda name: name in names,
        stop_at_layer=max((layer for layer, _ in heads), default=0) + 1,
    )  # fmt: skip
    W_O = model.W_O
    found: dict[str, dict[Head, Tensor]] = {}
    for where in places:
        at = batch.positions[where]
        copied, against = {}, {}
        for layer, head in heads:
            v = cache["v", layer][rows, at]  # [batch, kv_head, d_head]
            group = head * v.shape[1] // model.cfg.n_heads
            written = v[:, group] @ W_O[layer, head] @ model.W_U
            own = written.gather(1, batch.tokens[rows, at][:, None])
            copied[layer, head] = ((written > own).sum(-1) < AMONG).float()
            against[layer, head] = ((written < own).sum(-1) < AMONG).float()
        found |= {f"copies {where}": copied, f"against {where}": against}
    return found


@torch.no_grad()
def direct_effects_without(
    model: Any, F: KnockOuts, heads: Collection[Head]
) -> Float[Tensor, "layer head"]:
    """Direct effects at END, in logits, of a run in which some heads are knocked out.

    The final norm's scale is that of the whole run, so that a head whose output stays the same
    keeps its effect: a smaller residual stream alone is no backup.
    """
    batch, stages = F.batch, F.ablation.stages
    rows, end = torch.arange(len(batch.tokens)), batch.positions["END"]

    def edit(name: str, layer: int, value: Tensor) -> Tensor:
        gone = [head for where, head in heads if where == layer]
        if name == "z" and gone:
            value = value.clone()
            value[:, :, gone] = F.ablation.instead[layer][:, :, gone]
        return value

    run = stages.run(batch.tokens, edit, keep=("z",)) if heads else F.ablation.base
    z = torch.stack([z[rows, end] for z in run.z])
    read = _read_directions(model, batch, F.ablation.base)
    return torch.einsum("lbhd,lhdm,bm->lh", z, model.W_O, read) / len(rows)


def _read_directions(model: Any, batch: IOIBatch, run: Run) -> Float[Tensor, "batch d_model"]:
    """What the logit difference reads from the last residual stream, at the scale of a run."""
    final = run.resid_final[torch.arange(len(batch.tokens)), batch.positions["END"]]
    return answer_directions(model, batch.io, batch.s) / final_scale_of(model, final)[:, None]


@torch.no_grad()
def heard_instead(
    model: Any, batch: IOIBatch, heads: Collection[Head], tokens: Tensor
) -> Float[Tensor, " batch"]:
    """Logit differences when `heads` say at END what they say there in other prompts.

    tokens: prompts that correspond to the batch's, position by position. Everything after the heads
    hears it.
    """
    return _AtEnd(model, batch).hearing(heads, tokens)


class _AtEnd:
    """A batch that is run once, and from END on again, with what some heads say there exchanged."""

    def __init__(self, model: Any, batch: IOIBatch) -> None:
        self.stages, self.end = stages_of(model, batch.tokens), batch.positions["END"]
        self.base = self.stages.run(batch.tokens, keep=("resid_pre", "k", "v"))
        first = int(self.end.min())
        self.tail = Tail(self.stages, self.base, batch.metric.each(), first)

    @property
    def clean(self) -> Float[Tensor, " batch"]:
        """The logit differences of the batch as it is."""
        return self.tail.scores(self.base.resid_final[None])[0]

    def hearing(self, heads: Collection[Head], tokens: Tensor) -> Float[Tensor, " batch"]:
        """`heard_instead`."""
        layers = [layer for layer, _ in heads]
        theirs = self.stages.run(tokens, keep=("z",), until=max(layers)).z
        rows, n_pos = torch.arange(len(tokens)), tokens.shape[1]

        def edit(name: str, layer: int, value: Tensor) -> Tensor:
            swapped = [head for where, head in heads if where == layer]
            if name == "z" and swapped:
                value, here = value.clone(), self.end - n_pos + value.shape[2]
                for head in swapped:
                    value[0, rows, here, head] = theirs[layer][rows, self.end, head]
            return value

        resid = self.tail.of(self.base.resid_pre[min(layers)])[None]
        for layer in range(min(layers), self.stages.n_layers):
            resid = self.tail.through(layer, resid, edit)
        return self.tail.scores(resid)[0]


@torch.no_grad()
def signal_table(
    model: Any, batch: IOIBatch, heads: Collection[Head], seed: int = 0
) -> dict[str, Float[Tensor, " batch"]]:
    """Logit differences when `heads` give at END a true or a false sign of who the subject is.

    Returns {corruption: [batch]} for every key of `SIGNALS`, and "clean".
    """
    at_end = _AtEnd(model, batch)
    told = {how: at_end.hearing(heads, batch.corrupt(how, seed)) for how in SIGNALS}
    return {"clean": at_end.clean, **told}


def fit_signals(table: Mapping[str, Tensor]) -> tuple[float, float, float]:
    """Weights of position and of token in the logit difference, and the constant: least squares."""
    signals = {"clean": (1, 1), **SIGNALS}
    design = torch.tensor([[*signals[how], 1.0] for how in table])
    means = torch.stack([values.mean() for values in table.values()])
    position, token, constant = torch.linalg.lstsq(design, means[:, None]).solution[:, 0].tolist()
    return position, token, constant


@torch.no_grad()
def pattern_and_values(
    model: Any, batch: IOIBatch, head: Head, tokens: Tensor
) -> dict[str, Float[Tensor, " batch"]]:
    """A head's direct effect at END with pattern and values from its prompts or from others.

    Returns, in logits, prompt by prompt: "whole", "other pattern", "other values", "both other".
    All are read along the batch's own answers, with the final scale of the clean run.
    """
    stages, (layer, index) = stages_of(model, batch.tokens), head
    rows, end = torch.arange(len(batch.tokens)), batch.positions["END"]
    ours = stages.run(batch.tokens, keep=("pattern", "v"))
    theirs = stages.run(tokens, keep=("pattern", "v"), until=layer)
    read = _read_directions(model, batch, ours)

    def effect(looks: Any, says: Any) -> Tensor:
        z = mix(looks.pattern[layer], says.v[layer])[rows, end, index]
        return ((z @ model.W_O[layer, index]) * read).sum(-1)

    return {
        "whole": effect(ours, ours), "other pattern": effect(theirs, ours),
        "other values": effect(ours, theirs), "both other": effect(theirs, theirs),
    }  # fmt: skip
