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


def position_sweep(
    model,
    clean_prompt: Prompt,
    corrupt_prompt: Prompt,
    metric: Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, ""]],
) -> Float[Tensor, "layer position"]:
    """The metric after patching the clean residual stream into the corrupted run, at every place.

    metric: logits -> a number. One run for each layer and position, patched there alone.
    """
    n_layers = model.cfg.n_layers
    n_pos = model(clean_prompt).shape[1]
    result = torch.zeros(n_layers, n_pos)
    # BEGIN BLANK
    for layer in range(n_layers):
        for position in range(n_pos):
            logits = patch_residual(model, clean_prompt, corrupt_prompt, layer, position)
            result[layer, position] = metric(logits)
    # END BLANK
    return result


def patch_head(
    model, clean_prompt: Prompt, corrupt_prompt: Prompt, layer: int, head: int
) -> Float[Tensor, "batch pos d_vocab"]:
    """The corrupted run with the output z of one head from the clean run: its logits.

    Replaced is z, the mix of values before W_O, at every position. Prompts are text or tokens
    [batch, pos] and correspond position by position. Leaves the model as it was.
    """
    name = utils.get_act_name("z", layer)
    _, clean_cache = model.run_with_cache(clean_prompt, names_filter=name)

    def put_clean(z: Float[Tensor, "batch pos head d_head"], hook):
        z[:, :, head] = clean_cache[name][:, :, head]
        return z

    return model.run_with_hooks(corrupt_prompt, fwd_hooks=[(name, put_clean)])


def head_sweep(
    model,
    clean_prompt: Prompt,
    corrupt_prompt: Prompt,
    metric: Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, ""]],
    mode: Literal["denoising", "noising"] = "denoising",
) -> Float[Tensor, "layer head"]:
    """The metric after patching each head alone.

    mode: "denoising" puts clean outputs into the corrupted run, "noising" corrupted outputs into
    the clean run. metric: logits -> a number.
    """
    result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    source, base = clean_prompt, corrupt_prompt
    if mode == "noising":
        source, base = base, source
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            result[layer, head] = metric(patch_head(model, source, base, layer, head))
    return result


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

    _, clean_cache = model.run_with_cache(clean_prompt, names_filter=is_z)
    _, corrupt_cache = model.run_with_cache(corrupt_prompt, names_filter=is_z)
    layer, head, kind = receiver
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
    model.run_with_hooks(clean_prompt, fwd_hooks=[(is_z, freeze), (receiver_name, listen)])
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
