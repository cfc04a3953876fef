"""What IOI heads write, who hears it, and which fact about the subject it carries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.ioi import KnockOuts, answer_directions, run_at_end
from circuits_course.circuits.patching.stages import mix, stages_of
from circuits_course.data.ioi import IOIBatch

SIGNALS: dict[str, tuple[int, int]] = {
    "swap_names": (1, -1), "new_names": (1, 0), "swap_first": (-1, 1), "swap_s2": (-1, -1),
    "new_names_swap_s2": (-1, 0), "ABC": (0, 0),
}  # fmt: skip
"""Corruption -> what it says about the subject: position, token (1 true, -1 the IO's, 0 neither).

Position: whether the name said twice stood first or second. Token: which name it is. Wang et al.
2022 (arXiv 2211.00593, appendix A) tell the two apart in this way.
"""


@torch.no_grad()
def copies(
    model: Any,
    batch: IOIBatch,
    heads: Iterable[Head],
    where: str,
    sign: int = 1,
    *,
    cache: Any = None,
) -> dict[Head, Float[Tensor, " batch"]]:
    """Whether each head copies the name at `where` ("IO", "S1", "S2"), prompt by prompt: 1 or 0.

    It does if the name is among the five tokens that the head's value there, through W_O and W_U,
    raises most (sign -1: lowers most). The value is the one of the very prompt, with all that lower
    layers made of the name. cache: of `cached_values`, where it is at hand.
    """
    heads, rows = list(heads), torch.arange(len(batch.tokens))
    cache = cached_values(model, batch, heads) if cache is None else cache
    name = batch.tokens[rows, batch.positions[where]]
    found: dict[Head, Tensor] = {}
    for layer, head in heads:
        v = cache["v", layer][rows, batch.positions[where]]  # [batch, kv_head, d_head]
        group = head * v.shape[1] // model.cfg.n_heads
        written = sign * v[:, group] @ model.W_O[layer, head] @ model.W_U
        found[layer, head] = (written.topk(5).indices == name[:, None]).any(-1).float()
    return found


@torch.no_grad()
def cached_values(model: Any, batch: IOIBatch, heads: Iterable[Head]) -> Any:
    """The values of the heads' layers on a batch."""
    layers = {layer for layer, _ in heads}
    names = {f"blocks.{layer}.attn.hook_v" for layer in layers}
    _, cache = model.run_with_cache(
        batch.tokens, names_filter=lambda name: name in names,
        stop_at_layer=max(layers, default=0) + 1,
    )  # fmt: skip
    return cache


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

    z = torch.stack([z[rows, end] for z in stages.run(batch.tokens, edit, keep=("z",)).z])
    read = _read_directions(model, batch)
    return torch.einsum("lbhd,lhdm,bm->lh", z, model.W_O, read) / len(rows)


def _read_directions(model: Any, batch: IOIBatch) -> Float[Tensor, "batch d_model"]:
    """What the logit difference reads from the last residual stream, the final scale cached."""
    _, cache = run_at_end(model, batch.tokens, batch.positions["END"])
    return answer_directions(model, batch.io, batch.s) / cache["ln_final.hook_scale"][:, -1]


@torch.no_grad()
def heard_instead(
    model: Any, batch: IOIBatch, heads: Collection[Head], tokens: Tensor
) -> Float[Tensor, " batch"]:
    """Logit differences when `heads` say at END what they say there in other prompts.

    tokens: prompts that correspond to the batch's, position by position. Everything after the heads
    hears it.
    """
    stages, rows = stages_of(model, batch.tokens), torch.arange(len(batch.tokens))
    end = batch.positions["END"]
    theirs = stages.run(tokens, keep=("z",)).z

    def edit(name: str, layer: int, value: Tensor) -> Tensor:
        swapped = [head for where, head in heads if where == layer]
        if name == "z" and swapped:
            value = value.clone()
            for head in swapped:
                value[rows, end, head] = theirs[layer][rows, end, head]
        return value

    run = stages.run(batch.tokens, edit, keep=())
    metric = batch.metric.each()
    read = run.resid_final[rows, end]
    return metric.of_columns(stages.columns(read[None], metric.columns))[0]


def signal_table(
    model: Any, batch: IOIBatch, heads: Collection[Head], seed: int = 0
) -> dict[str, Float[Tensor, " batch"]]:
    """Logit differences when `heads` give at END a true or a false sign of who the subject is.

    Returns {corruption: [batch]} for every key of `SIGNALS`, and "clean".
    """
    found = {"clean": batch.metric.each()(model(batch.tokens))}
    for how in SIGNALS:
        found[how] = heard_instead(model, batch, heads, batch.corrupt(how, seed))
    return found


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
    theirs = stages.run(tokens, keep=("pattern", "v"))
    read = _read_directions(model, batch)

    def effect(looks: Any, says: Any) -> Tensor:
        z = mix(looks.pattern[layer], says.v[layer])[rows, end, index]
        return ((z @ model.W_O[layer, index]) * read).sum(-1)

    return {
        "whole": effect(ours, ours), "other pattern": effect(theirs, ours),
        "other values": effect(ours, theirs), "both other": effect(theirs, theirs),
    }  # fmt: skip
