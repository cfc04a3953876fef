"""Reference answers of chapter 07, Activation patching."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import utilities as utils

from circuits_course.circuits import Head

Prompt = str | Int[Tensor, "batch pos"]


def patching_metric(
    logits: Float[Tensor, "batch pos d_vocab"],
    clean: Float[Tensor, "batch pos d_vocab"],
    corrupted: Float[Tensor, "batch pos d_vocab"],
    right: Int[Tensor, " batch"] | None = None,
    wrong: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """How far a run is on the way from the corrupted run (0) to the clean run (1).

    logits: of the patched run; clean, corrupted: of the two runs without a patch. Measured by the
    logit difference at the last position: logit of `right` minus logit of `wrong`, mean over the
    prompts. right, wrong: one token per prompt; by default the top tokens of the clean and of the
    corrupted run. Nothing is clipped: below 0 and above 1 are results.
    """
    right = clean[:, -1].argmax(-1) if right is None else right
    wrong = corrupted[:, -1].argmax(-1) if wrong is None else wrong

    def logit_difference(run: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, ""]:
        # BEGIN BLANK
        rows = torch.arange(len(run))
        return (run[rows, -1, right] - run[rows, -1, wrong]).mean()
        # END BLANK

    low, high = logit_difference(corrupted), logit_difference(clean)
    # BEGIN BLANK
    return (logit_difference(logits) - low) / (high - low)
    # END BLANK


def patch_residual(
    model, clean_prompt: Prompt, corrupt_prompt: Prompt, layer: int, position: int
) -> Float[Tensor, "batch pos d_vocab"]:
    """The corrupted run with one residual stream from the clean run: its logits.

    Replaced is what enters `layer` (resid_pre) at `position`, in every prompt. Prompts are text or
    tokens [batch, pos] and correspond position by position. Leaves the model as it was.
    """
    name = utils.get_act_name("resid_pre", layer)
    _, clean_cache = model.run_with_cache(clean_prompt, names_filter=name)

    def put_clean(resid: Float[Tensor, "batch pos d_model"], hook):
        # BEGIN BLANK
        resid[:, position] = clean_cache[name][:, position]
        # END BLANK
        return resid

    # BEGIN BLANK
    return model.run_with_hooks(corrupt_prompt, fwd_hooks=[(name, put_clean)])
    # END BLANK


def patch_heads(
    model, clean_prompt: Prompt, corrupt_prompt: Prompt, heads: list[Head]
) -> Float[Tensor, "batch pos d_vocab"]:
    """The corrupted run with the outputs z of some heads from the clean run: its logits.

    heads: (layer, head) pairs, all patched in one run, at every position. z is the mix of values
    before W_O. Prompts are text or tokens [batch, pos] and correspond position by position. Leaves
    the model as it was.
    """
    names = sorted({utils.get_act_name("z", layer) for layer, _ in heads})
    _, clean_cache = model.run_with_cache(clean_prompt, names_filter=names)

    def put_clean(z: Float[Tensor, "batch pos head d_head"], hook):
        # BEGIN BLANK
        for layer, head in heads:
            if hook.name == utils.get_act_name("z", layer):
                z[:, :, head] = clean_cache[hook.name][:, :, head]
        # END BLANK
        return z

    # BEGIN BLANK
    return model.run_with_hooks(corrupt_prompt, fwd_hooks=[(name, put_clean) for name in names])
    # END BLANK


def interactions(
    model,
    clean_prompt: Prompt,
    corrupt_prompt: Prompt,
    metric: Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, ""]],
    heads: list[Head],
    mode: Literal["denoising", "noising"] = "denoising",
) -> Float[Tensor, "n n"]:
    """What patching changes: single heads on the diagonal, the surplus of pairs beside it.

    heads: n (layer, head) pairs. Entry (i, i) is the change of the metric, from the run without a
    patch, when head i alone is patched. Entry (i, j) is the change when i and j are patched in one
    run, minus the two single changes: 0 where the two add up. mode: "denoising" puts clean
    outputs into the corrupted run, "noising" corrupted outputs into the clean run.
    """
    source, base = clean_prompt, corrupt_prompt
    if mode == "noising":
        source, base = base, source

    unpatched = metric(model(base))

    def change(patched: list[Head]) -> Float[Tensor, ""]:
        return metric(patch_heads(model, source, base, patched)) - unpatched

    result = torch.zeros(len(heads), len(heads))
    # BEGIN BLANK
    for i, one in enumerate(heads):
        result[i, i] = change([one])
    for i, one in enumerate(heads):
        for j, other in enumerate(heads):
            if i < j:
                result[i, j] = change([one, other]) - result[i, i] - result[j, j]
                result[j, i] = result[i, j]
    # END BLANK
    return result


def read_values(
    pattern: Float[Tensor, "batch head query key"],
    v: Float[Tensor, "batch key kv_head d_head"],
    head: int,
) -> Float[Tensor, "batch query d_head"]:
    """What one query head would output, its z, with this pattern and these values.

    Query heads share values in groups of equal size, in order: with 9 query heads and 3 value
    heads, heads 0, 1, 2 read value head 0 and heads 3, 4, 5 value head 1. To patch the values of
    one head alone, take the pattern from the run that is patched and v from the other one.
    """
    # BEGIN BLANK
    group = pattern.shape[1] // v.shape[2]
    return pattern[:, head] @ v[:, :, head // group]
    # END BLANK


def path_patch(
    model,
    clean_prompt: Prompt,
    corrupt_prompt: Prompt,
    sender: Head,
    receiver: tuple[int, int, Literal["q", "k", "v"]],
) -> Float[Tensor, "batch pos d_vocab"]:
    """The clean run in which one receiver hears a sender's corrupted output directly: its logits.

    sender: (layer, head). receiver: (layer, head, "q", "k" or "v") in a later layer. Between the
    two, every other head's output z is frozen at its clean value; MLPs and norms are recomputed.
    Three runs: keep all z of both prompts; run clean with heads frozen and the sender corrupted,
    and keep what the receiver reads; run clean with the receiver reading that (Wang et al. 2022,
    section 3.1). Leaves the model as it was.
    """

    def is_z(name: str) -> bool:
        return name.endswith("attn.hook_z")

    layer, head, kind = receiver
    below = {"stop_at_layer": layer + 1}  # the receiver's layer is the last that has to run
    _, clean_cache = model.run_with_cache(clean_prompt, names_filter=is_z, **below)
    _, corrupt_cache = model.run_with_cache(corrupt_prompt, names_filter=is_z, **below)
    receiver_name = utils.get_act_name(kind, layer)
    heard = {}

    def freeze(z: Float[Tensor, "batch pos head d_head"], hook):
        frozen = clean_cache[hook.name].clone()
        # BEGIN BLANK
        if hook.name == utils.get_act_name("z", sender[0]):
            frozen[:, :, sender[1]] = corrupt_cache[hook.name][:, :, sender[1]]
        # END BLANK
        return frozen

    def listen(x: Float[Tensor, "batch pos head d_head"], hook):
        heard["x"] = x[:, :, head].clone()

    def say(x: Float[Tensor, "batch pos head d_head"], hook):
        # BEGIN BLANK
        x[:, :, head] = heard["x"]
        # END BLANK
        return x

    # BEGIN BLANK
    model.run_with_hooks(clean_prompt, fwd_hooks=[(is_z, freeze), (receiver_name, listen)], **below)
    return model.run_with_hooks(clean_prompt, fwd_hooks=[(receiver_name, say)])
    # END BLANK


def attribution_patch(
    model,
    clean_prompt: Prompt,
    corrupt_prompt: Prompt,
    metric: Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, ""]],
) -> Float[Tensor, "layer head"]:
    """An estimate of how much the metric changes when each head is patched (denoising).

    (clean z - corrupted z) times the gradient of the metric at the corrupted z, summed over
    prompts, positions and the head's dimensions: two forward runs and one backward.
    """
    names = [utils.get_act_name("z", layer) for layer in range(model.cfg.n_layers)]
    _, clean_cache = model.run_with_cache(clean_prompt, names_filter=names)
    corrupt_z = {}

    def keep(z: Float[Tensor, "batch pos head d_head"], hook):
        corrupt_z[hook.name] = z.requires_grad_()
        return z

    with torch.enable_grad():
        logits = model.run_with_hooks(corrupt_prompt, fwd_hooks=[(name, keep) for name in names])
        gradients = torch.autograd.grad(metric(logits), [corrupt_z[name] for name in names])
    # BEGIN BLANK
    steps = [clean_cache[name] - corrupt_z[name].detach() for name in names]
    return torch.stack(
        [(step * g).sum((0, 1, 3)) for step, g in zip(steps, gradients, strict=True)]
    )
    # END BLANK


def share_changed(
    clean: Float[Tensor, "batch pos head d_head"],
    corrupted: Float[Tensor, "batch pos head d_head"],
) -> Float[Tensor, "pos head"]:
    """How much a head's output differs between two runs, as a share of its size in the clean run.

    The length (2-norm over d_head) of clean minus corrupted, mean over prompts, divided by the
    length of clean, mean over prompts. 0: no patch of this head, at this position, can change
    anything.
    """
    # BEGIN BLANK
    difference = (clean - corrupted).norm(dim=-1).mean(0)
    return difference / clean.norm(dim=-1).mean(0)
    # END BLANK


def split_change(
    before: Float[Tensor, "batch pos d_vocab"],
    after: Float[Tensor, "batch pos d_vocab"],
    right: Int[Tensor, " batch"],
    wrong: Int[Tensor, " batch"],
) -> Float[Tensor, "2"]:
    """A change of the logit difference in two parts: the right answer's rise, the wrong one's fall.

    before, after: logits of the run without and with a patch. Both parts are changes of
    log-probability at the last position, mean over prompts, counted so that both help when
    positive; they add up to the change of the logit difference.
    """
    # BEGIN BLANK
    rows = torch.arange(len(before))
    change = after[:, -1].log_softmax(-1) - before[:, -1].log_softmax(-1)
    return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])
    # END BLANK


def mean_ablate(
    model, prompt: Prompt, reference: Prompt, heads: list[Head]
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits when the outputs z of some heads are replaced by their means over a reference.

    reference: prompts of the same length as `prompt`, any number of them; the mean is over
    prompts, one for each position. heads: (layer, head) pairs, all replaced in one run. Leaves the
    model as it was.
    """
    names = {utils.get_act_name("z", layer) for layer, _ in heads}
    _, cache = model.run_with_cache(reference, names_filter=sorted(names))

    def replace(z: Float[Tensor, "batch pos head d_head"], hook):
        for layer, head in heads:
            if hook.name == utils.get_act_name("z", layer):
                z[:, :, head] = cache[hook.name][:, :, head].mean(0)
        return z

    return model.run_with_hooks(prompt, fwd_hooks=[(name, replace) for name in sorted(names)])


def split_repair(
    before: Float[Tensor, "batch part"],
    after: Float[Tensor, "batch part"],
    scale_before: Float[Tensor, " batch"],
    scale_after: Float[Tensor, " batch"],
) -> Float[Tensor, "2 part"]:
    """Why direct effects changed: what each part writes otherwise, and what the final norm does.

    before, after: direct effects on the logit difference, each already divided by the final norm's
    scale of its own run. First row: the change of what is written, with the scale held at
    scale_before. Second row: the rest, which the change of scale makes. Means over prompts; the
    rows add up to the mean of after - before.
    """
    # BEGIN BLANK
    held = after * (scale_after / scale_before)[:, None]
    return torch.stack([(held - before).mean(0), (after - held).mean(0)])
    # END BLANK
