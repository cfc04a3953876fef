"""Exercise `patch_residual`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c07_activation_patching.shared import (
    EVERY,
    LOGITS,
    as_tokens,
    kept_by_layer,
    pair,
    put,
    residual,
    staged_run,
    whole_model,
)
from circuits_course.checks.inputs import random_model
from circuits_course.checks.slips import slip
from circuits_course.circuits.gates import gate_model
from circuits_course.circuits.patching.stages import stages_of

patch_residual = Exercise(
    "patch_residual",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "The hook is handed the corrupted run's residual stream, [batch, pos, d_model]. Which part "
        "of it has to come from clean_cache[name]?",
        "One position of every prompt: resid[:, position] on both sides of the equals sign.",
        "model.run_with_hooks(prompt, fwd_hooks=[(name, put_clean)]) returns logits. The prompt to "
        "run is the corrupted one: the clean one is in the cache already.",
    ],
    tolerance=LOGITS,
)


@patch_residual.cases
def _residual_cases() -> Iterator[Case]:
    both = gate_model("or"), "11=", "00="
    yield Case("a gate that says 1 where any bit is 1, with its second bit put back", *both, 0, 2)
    yield Case("the same gate at a position that both prompts share", *both, 0, 3)
    sizes = [(2, 5), (3, 7), (4, 6)]
    for seed, ((batch, pos), where) in enumerate(zip(sizes, [(1, 1), (2, 3), (0, 2)], strict=True)):
        yield Case("random prompts", random_model(seed=seed), *pair(batch, pos, seed), *where)
    yield Case("a model with MLPs and norms", whole_model(), *pair(3, 6, 9), 1, 2)


@patch_residual.oracle
def _residual_oracle(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return residual(model, clean_prompt, corrupt_prompt, layer, EVERY, position)


@patch_residual.wrong(
    "clean and corrupted are exchanged: you put the corrupted residual stream into the clean run. "
    "That is noising; asked is denoising."
)
def noised_residual(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return _residual_oracle(model, corrupt_prompt, clean_prompt, layer, position)


@patch_residual.wrong(
    "nothing was patched: these are the corrupted run's logits. Does your hook change `resid`, and "
    "does it return it?"
)
def residual_untouched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return staged_run(model, corrupt_prompt)[0]


@patch_residual.wrong(
    "these are the clean run's logits. Run the corrupted prompt, and replace one position of it: "
    "with all of them replaced, nothing of the corrupted run is left."
)
def clean_run(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return staged_run(model, clean_prompt)[0]


@patch_residual.wrong(
    "you replaced every position up to this one: a slice where one index belongs, "
    "resid[:, position]."
)
def up_to_the_position(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return residual(model, clean_prompt, corrupt_prompt, layer, EVERY, slice(position + 1))


@patch_residual.wrong(
    "you replaced what *leaves* the layer. resid_pre is what enters it; resid_post of this layer "
    "is resid_pre of the next."
)
def residual_after_the_layer(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    def after(prompt: Any) -> Tensor:
        run = staged_run(model, prompt, keep=("resid_pre", "attn_out", "mlp_out"))[1]
        return run.resid_pre[layer] + run.attn_out[layer] + run.mlp_out[layer]

    swap = put(after(clean_prompt), EVERY, position)(after(corrupt_prompt))
    if layer == model.cfg.n_layers - 1:
        return stages_of(model, as_tokens(model, clean_prompt)).logits(swap)
    return staged_run(model, corrupt_prompt, {("resid_pre", layer + 1): lambda _: swap})[0]


@patch_residual.wrong(
    "the index stands on the batch axis: `resid[position]` is one whole prompt. Positions are on "
    "axis 1: `resid[:, position]`."
)
def position_on_the_batch_axis(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    return residual(model, clean_prompt, corrupt_prompt, layer, position)


@patch_residual.wrong(
    "you patched one position further on. Positions count the BOS token, and the first one is 0."
)
def one_position_on(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    last = as_tokens(model, clean_prompt).shape[1] - 1
    return _residual_oracle(model, clean_prompt, corrupt_prompt, layer, min(position + 1, last))


@patch_residual.wrong(
    "the clean residual stream was added to the corrupted one. A patch *replaces*: = and not +=."
)
def residual_added(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, position: int
) -> Tensor:
    both = (
        kept_by_layer(model, clean_prompt, "resid_pre")[layer]
        + (kept_by_layer(model, corrupt_prompt, "resid_pre")[layer])
    )
    return staged_run(model, corrupt_prompt, {("resid_pre", layer): put(both, EVERY, position)})[0]


slip(
    patch_residual,
    "layer_before",
    "this is what enters the layer before. resid_pre of `layer` itself.",
    ('get_act_name("resid_pre", layer)', 'get_act_name("resid_pre", max(layer - 1, 0))'),
)


slip(
    patch_residual,
    "from_the_position_on",
    "you replaced this position and all after it: a slice where one index belongs, resid[:, "
    "position].",
    (
        "resid[:, position] = clean_cache[name][:, position]",
        "resid[:, position:] = clean_cache[name][:, position:]",
    ),
)


slip(
    patch_residual,
    "before_the_mlp",
    "you replaced the residual stream between attention and MLP, resid_mid. What enters the "
    "layer is resid_pre.",
    ('"resid_pre"', '"resid_mid"'),
)


slip(
    patch_residual,
    "attention_output",
    "you replaced what the layer's attention writes. Asked is the whole residual stream that "
    "enters the layer: resid_pre.",
    ('"resid_pre"', '"attn_out"'),
)


slip(
    patch_residual,
    "half_of_each",
    "the two residual streams were averaged. A patch replaces one by the other.",
    (
        "resid[:, position] = clean_cache[name][:, position]",
        "resid[:, position] = (resid[:, position] + clean_cache[name][:, position]) / 2",
    ),
)


slip(
    patch_residual,
    "first_prompt_for_all",
    "every prompt got the residual stream of the first clean prompt. Prompts correspond row "
    "by row: clean_cache[name][:, position].",
    (
        "resid[:, position] = clean_cache[name][:, position]",
        "resid[:, position] = clean_cache[name][0, position]",
    ),
)


slip(
    patch_residual,
    "difference_put_in",
    "what was put in is clean minus corrupted. Put in the clean residual stream itself.",
    (
        "resid[:, position] = clean_cache[name][:, position]",
        "resid[:, position] = clean_cache[name][:, position] - resid[:, position]",
    ),
)


slip(
    patch_residual,
    "last_position_of_clean",
    "the clean stream was read at the last position. Read and write at the same one: [:, "
    "position].",
    (
        "resid[:, position] = clean_cache[name][:, position]",
        "resid[:, position] = clean_cache[name][:, -1]",
    ),
)


slip(
    patch_residual,
    "first_coordinates",
    "only part of the vector was replaced. Take the whole of it: resid[:, position].",
    (
        "resid[:, position] = clean_cache[name][:, position]",
        "half = resid.shape[-1] // 2\n"
        "        resid[:, position, :half] = clean_cache[name][:, position, :half]",
    ),
)


slip(
    patch_residual,
    "length_kept",
    "the clean direction got the corrupted length. Put the clean vector in as it is.",
    (
        "resid[:, position] = clean_cache[name][:, position]",
        "new = clean_cache[name][:, position]\n"
        "        resid[:, position] = new * (resid[:, position].norm(dim=-1) /"
        " new.norm(dim=-1))[:, None]",
    ),
)
