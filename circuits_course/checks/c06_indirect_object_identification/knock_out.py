"""Exercise `knock_out`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.c06_indirect_object_identification.shared import toy_batch
from circuits_course.checks.slips import slip

knock_out = Exercise(
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
    batch = toy_batch()
    yield Case("no head at all", batch.model, batch, [])
    yield Case("one head", batch.model, batch, [(1, 2)])
    yield Case("heads of two layers", batch.model, batch, [(0, 1), (2, 0), (2, 3)])
    other = toy_batch(4, 3, 1)
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


slip(
    knock_out,
    "one_layer_only",
    "heads of one layer only are knocked out: there has to be a hook for every layer in `heads`.",
    (
        "layers = {layer for layer, _ in heads}",
        "layers = {layer for layer, _ in list(heads)[-1:]}",
    ),
)


slip(
    knock_out,
    "resampled",
    "one reference prompt of the group took the place of the mean. That is resampling, which "
    "brings another prompt's names in: average over the group.",
    (".mean(0) for group", "[0] for group"),
)


slip(
    knock_out,
    "medians",
    "these are medians. The mean over the group's prompts is asked for.",
    (".mean(0) for group", ".median(0).values for group"),
)


slip(
    knock_out,
    "at_end_only",
    "the mean was put in at END alone. A head is knocked out at every position: z[:, :, head].",
    (
        "z[:, :, head] = means[:, :, head]",
        "r = torch.arange(len(z))\n"
        '                z[r, batch.positions["END"], head] = means[r,'
        ' batch.positions["END"], head]',
    ),
)


slip(
    knock_out,
    "change_for_value",
    "this is the change of the logit difference. Return the logit difference itself; the "
    "next cell subtracts.",
    (
        "return logit_difference(at_end[:, None], batch.io, batch.s)",
        'plain = model(batch.tokens)[torch.arange(len(logits)), batch.positions["END"]]\n'
        "    return logit_difference(at_end[:, None] - plain[:, None], batch.io, batch.s)",
    ),
)


slip(
    knock_out,
    "names_exchanged",
    "the sign is turned: IO minus subject.",
    ("batch.io, batch.s)", "batch.s, batch.io)"),
)


slip(
    knock_out,
    "group_of_the_first",
    "every prompt got the mean of the first prompt's group. Each has its own: batch.groups.",
    ("for group in batch.groups", "for group in batch.groups[:1].expand_as(batch.groups)"),
)


slip(
    knock_out,
    "means_added",
    "the mean was added to what the head says. It takes its place: = and not +=.",
    ("z[:, :, head] = means", "z[:, :, head] += means"),
)


slip(
    knock_out,
    "numbers_in_every_layer",
    "a head's number is knocked out in every layer concerned. Compare the layer of the pair "
    "with hook.layer().",
    ("if layer == hook.layer():", "if layer is not None:"),
)


slip(
    knock_out,
    "positions_of_heads_exchanged",
    "the head's number stands on the position axis. z is [batch, pos, head, d_head]: z[:, :, "
    "head].",
    ("z[:, :, head] = means[:, :, head]", "z[:, head] = means[:, head]"),
)


slip(
    knock_out,
    "io_alone",
    "that is the IO's logit alone. Take the subject's away: logit_difference.",
    (
        "return logit_difference(at_end[:, None], batch.io, batch.s)",
        "return at_end[torch.arange(len(at_end)), batch.io]",
    ),
)


slip(
    knock_out,
    "mean_of_all_heads",
    "the mean was taken over the heads as well. Each head has its own.",
    ("z[:, :, head] = means[:, :, head]", "z[:, :, head] = means.mean(2)"),
)


slip(
    knock_out,
    "another_groups_mean",
    "each prompt got the mean of another prompt's group. Compare reference_groups with the "
    "prompt's own group.",
    ("for group in batch.groups", "for group in batch.groups.roll(1)"),
)


slip(
    knock_out,
    "last_position_alone",
    "the means stand at the last position alone. They take the head's place at every position.",
    (
        "z[:, :, head] = means[:, :, head]",
        "z[:, -1, head] = means[:, -1, head]",
    ),
)


slip(
    knock_out,
    "means_of_these_prompts",
    "the means are those of the prompts themselves, in which names return. Take them over "
    "batch.abc_reference().",
    (
        "z, theirs = z.clone(), cache[hook.name]",
        "z, theirs = z.clone(), z.clone()",
    ),
    (
        "reference_groups == group",
        "torch.as_tensor(batch.groups) == group",
    ),
)
