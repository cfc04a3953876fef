"""Exercise `patch_heads`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c07_activation_patching.shared import (
    EVERY,
    LOGITS,
    Edits,
    Head,
    ablated,
    heads_oracle,
    heads_patched,
    kept_by_layer,
    pair,
    put,
    staged_run,
    whole_model,
)
from circuits_course.checks.inputs import random_model
from circuits_course.checks.slips import slip
from circuits_course.circuits.gates import gate_model

patch_heads = Exercise(
    "patch_heads",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "It is patch_residual with another activation, another axis, and a loop. z is [batch, pos, "
        "head, d_head]: every prompt, every position, some heads.",
        "The hook is called once for each layer concerned, and hook.name says which one it is. "
        "Which of the heads are its own?",
        "for layer, head in heads: if the name is this layer's, z[:, :, head] = "
        "clean_cache[hook.name][:, :, head]. Then one run of the corrupted prompt with all hooks.",
    ],
    tolerance=LOGITS,
)


@patch_heads.cases
def _heads_cases() -> Iterator[Case]:
    both = "11=", "00="
    yield Case("an OR gate whose second head, 0.1, is put back", gate_model("or"), *both, [(0, 1)])
    yield Case("an AND gate, both heads put back", gate_model("and"), *both, [(0, 0), (0, 1)])
    yield Case("one head, 2.1", random_model(), *pair(2, 5, 0), [(2, 1)])
    several = [(2, 1), (0, 2), (2, 0)]
    yield Case("three heads in two layers", random_model(seed=1), *pair(3, 7, 1), several)
    yield Case(
        "prompts that differ at position 0",
        random_model(seed=2),
        *pair(3, 5, 3, first=0),
        [(0, 1), (1, 3)],
    )
    yield Case("no heads: nothing is patched", random_model(), *pair(2, 6, 4), [])
    yield Case("a model with MLPs and norms", whole_model(), *pair(4, 6, 2), [(0, 2), (1, 0)])


patch_heads.oracle(heads_oracle)


@patch_heads.wrong(
    "clean and corrupted are exchanged: you put the corrupted heads into the clean run. That is "
    "noising; asked is denoising. Mind the order of the arguments: clean_prompt comes first."
)
def noised_heads(model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]) -> Tensor:
    return heads_oracle(model, corrupt_prompt, clean_prompt, heads)


@patch_heads.wrong(
    "nothing was patched: these are the corrupted run's logits. Does the hook compare hook.name "
    "with the layer's name, and does it change z?"
)
def heads_untouched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]
) -> Tensor:
    return staged_run(model, corrupt_prompt)[0]


@patch_heads.wrong(
    "these are the clean run's logits: run the corrupted prompt, and take only the heads from the "
    "clean one."
)
def whole_clean_run(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]
) -> Tensor:
    return staged_run(model, clean_prompt)[0]


@patch_heads.wrong(
    "one head alone was patched, the last of the list. All of them go into one run: the hook of a "
    "layer loops over every head of that layer."
)
def last_head_patched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]
) -> Tensor:
    return heads_oracle(model, clean_prompt, corrupt_prompt, heads[-1:])


@patch_heads.wrong(
    "one head alone was patched, the first of the list. Does a return stand inside the loop?"
)
def first_head_patched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]
) -> Tensor:
    return heads_oracle(model, clean_prompt, corrupt_prompt, heads[:1])


@patch_heads.wrong(
    "a head's number was patched in every layer concerned, whether or not the pair names that "
    "layer. Compare hook.name with the pair's own layer."
)
def numbers_in_every_layer(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]
) -> Tensor:
    layers = {layer for layer, _ in heads}
    return heads_oracle(
        model, clean_prompt, corrupt_prompt, [(la, h) for la in layers for _, h in heads]
    )


@patch_heads.wrong(
    "all heads of the layers were replaced. Pick them on axis 2 of z: [batch, pos, head, d_head]."
)
def whole_layers_patched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]
) -> Tensor:
    every = [(la, h) for la in {la for la, _ in heads} for h in range(model.cfg.n_heads)]
    return heads_oracle(model, clean_prompt, corrupt_prompt, every)


@patch_heads.wrong(
    "the head's number stands on the position axis. z is [batch, pos, head, d_head]: write "
    "z[:, :, head]."
)
def head_on_the_position_axis(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]
) -> Tensor:
    new = kept_by_layer(model, clean_prompt, "z")
    edits: Edits = {}
    for layer in {layer for layer, _ in heads}:
        here = [head for where, head in heads if where == layer]
        edits["z", layer] = put(new[layer], EVERY, here)
    return staged_run(model, corrupt_prompt, edits)[0]


@patch_heads.wrong(
    "you patched the last position alone. Heads that work at earlier positions would never be "
    "found: replace all of them."
)
def last_position_patched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]
) -> Tensor:
    new = kept_by_layer(model, clean_prompt, "z")
    edits: Edits = {}
    for layer in {layer for layer, _ in heads}:
        here = [head for where, head in heads if where == layer]
        edits["z", layer] = put(new[layer], EVERY, -1, here)
    return staged_run(model, corrupt_prompt, edits)[0]


@patch_heads.wrong(
    "you patched the attention pattern: where the heads look. What they say there is made of the "
    "corrupted values still. z has both."
)
def patterns_patched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]
) -> Tensor:
    return heads_patched(model, clean_prompt, corrupt_prompt, heads, name="pattern")


@patch_heads.wrong(
    "the heads were set to zero. That is ablation; a patch puts in what they said on the clean "
    "prompt."
)
def heads_zeroed(model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]) -> Tensor:
    nothing = [torch.zeros_like(z) for z in kept_by_layer(model, corrupt_prompt, "z")]
    return ablated(model, corrupt_prompt, nothing, heads)


@patch_heads.wrong(
    "the clean outputs were added to the corrupted ones. A patch replaces: = and not +=."
)
def heads_added(model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: list[Head]) -> Tensor:
    clean, corrupted = (
        kept_by_layer(model, prompt, "z") for prompt in (clean_prompt, corrupt_prompt)
    )
    both = [a + b for a, b in zip(clean, corrupted, strict=True)]
    return ablated(model, corrupt_prompt, both, heads)


slip(
    patch_heads,
    "one_head_a_layer",
    "only one head of each layer was patched. A dict {layer: head} keeps the last; go "
    "through the pairs and patch all of the hook's layer.",
    ("for layer, head in heads:", "for layer, head in dict(heads).items():"),
)


slip(
    patch_heads,
    "last_number_in_all_layers",
    "every layer got the head number of the last pair. A function made in a loop sees the "
    "last value of the loop's variable, unless it is handed over: head=head.",
    ("for layer, head in heads:", "for layer, head in [(la, heads[-1][1]) for la, _ in heads]:"),
)


slip(
    patch_heads,
    "first_prompt_for_all",
    "every prompt got the first clean prompt's output. Prompts correspond row by row.",
    (
        "z[:, :, head] = clean_cache[hook.name][:, :, head]",
        "z[:, :, head] = clean_cache[hook.name][0, :, head]",
    ),
)


slip(
    patch_heads,
    "values_patched",
    "you patched the heads' values. Their output z is the mix of values by attention: "
    'utils.get_act_name("z", layer).',
    ('get_act_name("z", layer)', 'get_act_name("v", layer)'),
)


slip(
    patch_heads,
    "half_of_each",
    "the two outputs were averaged. A patch replaces one by the other.",
    (
        "z[:, :, head] = clean_cache[hook.name][:, :, head]",
        "z[:, :, head] = (z[:, :, head] + clean_cache[hook.name][:, :, head]) / 2",
    ),
)


slip(
    patch_heads,
    "other_heads_patched",
    "all heads of the layers but these were patched.",
    (
        "return z\n",
        "z_new = clean_cache[hook.name].clone()\n"
        "        for layer, head in heads:\n"
        '            if hook.name == utils.get_act_name("z", layer):\n'
        "                z_new[:, :, head] = z[:, :, head]\n"
        "        return z_new\n",
    ),
    ("z[:, :, head] = clean_cache[hook.name][:, :, head]", "pass"),
)


slip(
    patch_heads,
    "positions_averaged",
    "the clean output was averaged over positions. Put each position's own in.",
    (
        "z[:, :, head] = clean_cache[hook.name][:, :, head]",
        "z[:, :, head] = clean_cache[hook.name][:, :, head].mean(1, keepdim=True)",
    ),
)


slip(
    patch_heads,
    "layer_and_head_turned",
    "each pair was taken as (head, layer). It is (layer, head), as in the name 2.1.",
    ("for layer, _ in heads})", "for _, layer in heads})"),
    ("for layer, head in heads:", "for head, layer in heads:"),
)


slip(
    patch_heads,
    "next_head",
    "the head after the right one was patched: heads count from 0.",
    (
        "z[:, :, head] = clean_cache[hook.name][:, :, head]",
        "z[:, :, (head + 1) % z.shape[2]] = clean_cache[hook.name][:, :, (head + 1) % z.shape[2]]",
    ),
)


slip(
    patch_heads,
    "up_to_the_head",
    "all heads up to this one were patched: a slice where one index belongs.",
    (
        "z[:, :, head] = clean_cache[hook.name][:, :, head]",
        "z[:, :, : head + 1] = clean_cache[hook.name][:, :, : head + 1]",
    ),
)


slip(
    patch_heads,
    "before_that_layer_too",
    "the head's number was patched in earlier layers as well. Compare hook.name with the "
    "pair's own layer: ==.",
    ('if hook.name == utils.get_act_name("z", layer):', "if hook.layer() <= layer:"),
)


slip(
    patch_heads,
    "first_position_spared",
    "position 0 was not patched. Put the clean output there at every position.",
    (
        "z[:, :, head] = clean_cache[hook.name][:, :, head]",
        "z[:, 1:, head] = clean_cache[hook.name][:, 1:, head]",
    ),
)
