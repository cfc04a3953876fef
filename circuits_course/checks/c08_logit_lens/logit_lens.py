"""Exercise `logit_lens`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c08_logit_lens.shared import (
    LOOSE,
    activations,
    as_tokens,
    lens_by_silencing,
    models_to_try,
    normed_model,
)
from circuits_course.checks.inputs import random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits.lens import residual_states


def _states(model: Any, prompt: str | Tensor) -> Tensor:
    return residual_states(model, as_tokens(model, prompt))[:, 0]  # [state, pos, d_model]


logit_lens = Exercise(
    "logit_lens",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "Which activations are the states? What layer i reads is resid_pre of layer i; after the "
        "last layer there is resid_post.",
        'torch.cat of n_layers times cache["resid_pre", layer] and one cache["resid_post", last] '
        "gives [state, pos, d_model], since the batch axis has length 1.",
        "What does the model do with its own last state? model.ln_final, then model.unembed. Do "
        "that with all of them.",
    ],
    tolerance=LOOSE,
)


@logit_lens.cases
def _lens_cases() -> Iterator[Case]:
    for seed, (what, model) in enumerate(models_to_try()):
        yield Case(f"{what}, tokens", model, random_tokens(1, 5 + seed, seed=seed))
    yield Case("a prompt in words", normed_model(), "abcab")


@logit_lens.oracle
def _lens_oracle(model: Any, prompt: str | Tensor) -> Tensor:
    return lens_by_silencing(model, prompt)


@logit_lens.wrong(
    "the final norm is missing. A state has to go through model.ln_final before the unembedding, "
    "as the last one does."
)
def no_final_norm(model: Any, prompt: str | Tensor) -> Tensor:
    return _states(model, prompt) @ model.W_U


@logit_lens.wrong(
    "every state was divided by the scale of the last one. For a lens the norm is computed anew "
    "for each state: the question is what the model would say *if it stopped here*."
)
def cached_scale(model: Any, prompt: str | Tensor) -> Tensor:
    states = _states(model, prompt)
    if not model.cfg.normalization_type:
        return states @ model.W_U
    centred = states - states.mean(-1, keepdim=True)
    return centred / activations(model, prompt)["ln_final.hook_scale"][0] @ model.W_U


@logit_lens.wrong(
    "the bias b_U is missing. model.unembed adds it after W_U, at the last state too."
)
def no_unembedding_bias(model: Any, prompt: str | Tensor) -> Tensor:
    return lens_by_silencing(model, prompt) - model.b_U


@logit_lens.wrong("these are probabilities. Return logits, before the softmax.")
def probabilities(model: Any, prompt: str | Tensor) -> Tensor:
    return lens_by_silencing(model, prompt).softmax(-1)


@logit_lens.wrong("these are log-probabilities. Return logits, before the softmax.")
def log_probabilities(model: Any, prompt: str | Tensor) -> Tensor:
    return lens_by_silencing(model, prompt).log_softmax(-1)


@logit_lens.wrong(
    "state 0, the embedding, is missing: there are n_layers + 1 states, one before each layer and "
    "one after the last."
)
def no_embedding(model: Any, prompt: str | Tensor) -> Tensor:
    return lens_by_silencing(model, prompt)[1:]


@logit_lens.wrong(
    "the last state is missing. What the layers read is resid_pre; the state after the last layer "
    "is its resid_post."
)
def no_last_state(model: Any, prompt: str | Tensor) -> Tensor:
    return lens_by_silencing(model, prompt)[:-1]


@logit_lens.wrong("the batch axis is still there; a prompt is one sequence, so drop it.")
def batch_axis_kept(model: Any, prompt: str | Tensor) -> Tensor:
    return lens_by_silencing(model, prompt)[:, None]


@logit_lens.wrong("this is the last position alone. Keep all positions.")
def last_position_only(model: Any, prompt: str | Tensor) -> Tensor:
    return lens_by_silencing(model, prompt)[:, -1]


@logit_lens.wrong(
    "W_E transposed took the place of W_U. Even where a model ties the two, the gain of the final "
    "norm is folded into W_U alone."
)
def tied(model: Any, prompt: str | Tensor) -> Tensor:
    return model.ln_final(_states(model, prompt)) @ model.W_E.T


@logit_lens.wrong("the states are in the wrong order: the embedding comes first.")
def backwards(model: Any, prompt: str | Tensor) -> Tensor:
    return lens_by_silencing(model, prompt).flip(0)


slip(
    logit_lens,
    "final_norm_left_out",
    "the states go to the unembedding without the final norm. The model's own last step is "
    "unembed(ln_final(...)).",
    ("model.ln_final(states)", "states"),
)


slip(
    logit_lens,
    "scale_of_the_last_state",
    "every state was divided by the scale of the last one. For a lens the norm is computed "
    "anew for each state: model.ln_final(states).",
    ('lambda name: "resid" in name', 'lambda name: "resid" in name or "scale" in name'),
    (
        "return model.unembed(model.ln_final(states))",
        'scale = cache["ln_final.hook_scale"] if "ln_final.hook_scale" in cache else 1.0\n'
        "    return model.unembed(states / scale)",
    ),
)


slip(
    logit_lens,
    "writes_for_states",
    "each layer's write went to the unembedding. A state is the sum of all that was written "
    "so far: resid_post.",
    (
        'states = [cache["resid_pre", layer] for layer in range(model.cfg.n_layers)]\n'
        '    states = torch.cat([*states, cache["resid_post", last]])',
        'states = [cache["resid_pre", 0]]\n'
        '    states += [cache["resid_post", i] - cache["resid_pre", i] for i in range(last'
        " + 1)]\n"
        "    states = torch.cat(states)",
    ),
)


slip(
    logit_lens,
    "before_the_mlps",
    "the states after 0 were read between attention and MLP, resid_mid. A state comes after "
    "a whole layer: resid_post.",
    (
        'states = [cache["resid_pre", layer] for layer in range(model.cfg.n_layers)]\n'
        '    states = torch.cat([*states, cache["resid_post", last]])',
        'key = "resid_mid" if "blocks.0.hook_resid_mid" in cache else "resid_post"\n'
        '    states = torch.cat([cache["resid_pre", 0], *(cache[key, i] for i in range(last'
        " + 1))])",
    ),
)


slip(
    logit_lens,
    "last_twice",
    "the last state stands there twice and one before it is missing: state i comes after i layers.",
    (
        'states = [cache["resid_pre", layer] for layer in range(model.cfg.n_layers)]\n'
        '    states = torch.cat([*states, cache["resid_post", last]])',
        'states = [cache["resid_pre", 0], *(cache["resid_post", i] for i in range(1, last +'
        " 1))]\n"
        '    states = torch.cat([*states, cache["resid_post", last]])',
    ),
)


slip(
    logit_lens,
    "mean_taken_away",
    "the mean over the vocabulary was taken away. Return logits as the unembedding gives them.",
    (
        "return model.unembed(model.ln_final(states))",
        "logits = model.unembed(model.ln_final(states))\n"
        "    return logits - logits.mean(-1, keepdim=True)",
    ),
)


slip(
    logit_lens,
    "embedding_added_to_each",
    "the embedding was added to every state. A state holds it already.",
    (
        "return model.unembed(model.ln_final(states))",
        "states = torch.cat([states[:1], states[1:] + states[:1]])\n"
        "    return model.unembed(model.ln_final(states))",
    ),
)


slip(
    logit_lens,
    "running_mean",
    "the states up to each layer were averaged or added up. A state is the residual stream after "
    "that layer, as it is.",
    (
        "return model.unembed(model.ln_final(states))",
        "states = states.cumsum(0) / torch.arange(1, len(states) + 1)[:, None, None]\n"
        "    return model.unembed(model.ln_final(states))",
    ),
)
