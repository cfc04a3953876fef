"""Exercise `mean_ablate`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c07_activation_patching.shared import (
    LOGITS,
    Head,
    ablated,
    as_tokens,
    kept_by_layer,
    staged_run,
    whole_model,
)
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits import patching
from circuits_course.circuits.gates import gate_model

mean_ablate = Exercise(
    "mean_ablate",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "First a run on the reference, whose z you keep. Then a run on the prompt, in which the "
        "heads' z is replaced.",
        "The mean is over the reference prompts, axis 0, and keeps positions: [pos, d_head] for "
        "one head. It fits every prompt of the batch.",
        "All heads go in one run: for every layer concerned, a hook that loops over the heads of "
        "its layer. z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
    ],
    tolerance=LOGITS,
)


@mean_ablate.cases
def _ablate_cases() -> Iterator[Case]:
    gate = gate_model("or")
    reference = gate.to_tokens(["10=", "00=", "00=", "00="])
    yield Case(
        "an OR gate whose first bit is 1 in one of four prompts", gate, "10=", reference, [(0, 0)]
    )
    model = random_model()
    prompt, reference = random_tokens(2, 6, seed=1), random_tokens(5, 6, seed=2)
    yield Case("one head", model, prompt, reference, [(1, 2)])
    yield Case("three heads in two layers", model, prompt, reference, [(2, 1), (0, 2), (2, 0)])
    whole = whole_model()
    prompt, reference = random_tokens(3, 5, seed=3), random_tokens(4, 5, seed=4)
    yield Case("a model with MLPs and norms", whole, prompt, reference, [(0, 1), (1, 0)])


@mean_ablate.oracle
def _ablate_oracle(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    tokens, others = (as_tokens(model, x) for x in (prompt, reference))
    return patching.ablate(model, tokens, heads, mode="mean", reference=others)


@mean_ablate.wrong(
    "the heads were set to zero. That also takes away what they always say; asked is their mean "
    "over the reference."
)
def zero_ablated(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    zeros = [torch.zeros_like(z[:1]) for z in kept_by_layer(model, prompt, "z")]
    return ablated(model, prompt, zeros, heads)


@mean_ablate.wrong(
    "the mean was taken over the prompts themselves: it keeps what they have in common, the answer "
    "included. Take it over the reference."
)
def own_mean(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    means = [z.mean(0, keepdim=True) for z in kept_by_layer(model, prompt, "z")]
    return ablated(model, prompt, means, heads)


@mean_ablate.wrong(
    "one mean for all positions. A head says something else at each of them: take the mean over "
    "prompts (axis 0) and keep positions."
)
def mean_over_positions_too(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    kept = kept_by_layer(model, reference, "z")
    means = [z.mean((0, 1), keepdim=True).expand(1, *z.shape[1:]) for z in kept]
    return ablated(model, prompt, means, heads)


@mean_ablate.wrong(
    "one reference prompt took the place of the mean. That is resampling, which brings another "
    "prompt's content in."
)
def first_reference_prompt(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    return ablated(model, prompt, [z[:1] for z in kept_by_layer(model, reference, "z")], heads)


@mean_ablate.wrong(
    "one head alone was replaced. If every head has its own hook, mind that a function made in a "
    "loop sees the loop's last values; replace all heads in one run."
)
def last_head_only(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    return _ablate_oracle(model, prompt, reference, heads[-1:])


@mean_ablate.wrong(
    "one head alone was replaced, the first of the list. Do you return from inside the loop?"
)
def first_head_only(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    return _ablate_oracle(model, prompt, reference, heads[:1])


@mean_ablate.wrong(
    "whole layers were replaced. Pick the heads on axis 2 of z: [batch, pos, head, d_head]."
)
def whole_layers(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    n_heads = range(model.cfg.n_heads)
    every = [(layer, head) for layer in sorted({la for la, _ in heads}) for head in n_heads]
    return _ablate_oracle(model, prompt, reference, every)


@mean_ablate.wrong(
    "these are the logits of the model as it is: nothing was replaced. Does the hook return z?"
)
def nothing_ablated(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    return staged_run(model, prompt)[0]


@mean_ablate.wrong("each pair was taken as (head, layer). It is (layer, head), as in the name 2.1.")
def pairs_turned(model: Any, prompt: Any, reference: Any, heads: list[Head]) -> Tensor:
    return _ablate_oracle(model, prompt, reference, [(head, layer) for layer, head in heads])


slip(
    mean_ablate,
    "ran_the_reference",
    "the model was run on the reference. It gives the means only; the run is on `prompt`.",
    ("run_with_hooks(prompt", "run_with_hooks(reference"),
)


slip(
    mean_ablate,
    "medians",
    "these are medians. The mean over the reference prompts is asked for.",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, :, head] = cache[hook.name][:, :, head].median(0).values",
    ),
)


slip(
    mean_ablate,
    "at_the_end_only",
    "the last position alone was replaced. Replace the head at all of them: z[:, :, head].",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, -1, head] = cache[hook.name][:, -1, head].mean(0)",
    ),
)


slip(
    mean_ablate,
    "sums_for_means",
    "the outputs were added up over the reference. Take their mean.",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, :, head] = cache[hook.name][:, :, head].sum(0)",
    ),
)


slip(
    mean_ablate,
    "numbers_in_every_layer",
    "a head's number was replaced in every layer concerned, whether or not the pair names "
    "that layer.",
    ('if hook.name == utils.get_act_name("z", layer):', "if True:"),
)


slip(
    mean_ablate,
    "mean_of_all_heads",
    "the mean was taken over the heads as well. Each head has its own.",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, :, head] = cache[hook.name].mean((0, 2))",
    ),
)


slip(
    mean_ablate,
    "mean_added",
    "the mean was added to what the head says. It takes its place: = and not +=.",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, :, head] += cache[hook.name][:, :, head].mean(0)",
    ),
)


slip(
    mean_ablate,
    "last_reference_prompt",
    "one reference prompt, the last, took the place of the mean. That is resampling, which "
    "brings another prompt's content in.",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, :, head] = cache[hook.name][-1, :, head]",
    ),
)


slip(
    mean_ablate,
    "mean_at_the_last_position",
    "the mean of the last position was put at all of them. Keep one mean for each position.",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, :, head] = cache[hook.name][:, -1, head].mean(0)",
    ),
)


slip(
    mean_ablate,
    "one_number_a_head",
    "the mean runs over d_head as well, so that one number is left. Take it over prompts "
    "alone (axis 0).",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, :, head] = cache[hook.name][:, :, head].mean((0, 2))[:, None]",
    ),
)


slip(
    mean_ablate,
    "half_way",
    "the head's output was moved half of the way to the mean. The mean takes its place.",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, :, head] = (z[:, :, head] + cache[hook.name][:, :, head].mean(0)) / 2",
    ),
)


slip(
    mean_ablate,
    "mean_subtracted",
    "the mean was taken away from what the head says. That leaves what is special about the "
    "prompt; here the mean itself takes its place.",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, :, head] -= cache[hook.name][:, :, head].mean(0)",
    ),
)


slip(
    mean_ablate,
    "one_head_a_layer",
    "only one head of each layer was replaced. A dict {layer: head} keeps the last; go "
    "through the pairs.",
    ("for layer, head in heads:", "for layer, head in dict(heads).items():"),
)


slip(
    mean_ablate,
    "all_but_the_first_reference",
    "the first reference prompt was left out of the mean.",
    (
        "z[:, :, head] = cache[hook.name][:, :, head].mean(0)",
        "z[:, :, head] = cache[hook.name][1:, :, head].mean(0)",
    ),
)


slip(
    mean_ablate,
    "one_run_for_each_head",
    "each head was replaced in a run of its own and the logits were averaged. Replace all of "
    "them in one run.",
    (
        "return model.run_with_hooks(prompt, fwd_hooks=[(name, replace) for name in "
        "sorted(names)])",
        "whole, runs = list(heads), []\n"
        "    for pair in whole:\n"
        "        heads = [pair]\n"
        "        runs.append(model.run_with_hooks(prompt, fwd_hooks=[(name, replace) for"
        " name in sorted(names)]))\n"
        "    return torch.stack(runs).mean(0)",
    ),
)
