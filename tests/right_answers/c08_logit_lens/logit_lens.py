"""Right answers to `logit_lens`, written in other ways than the reference."""

from einops import einsum
from transformer_lens.tools.analysis import logit_lens as theirs

from circuits_course.circuits import residual_states

from .shared import lens_by_stopping_early


def lens_by_transformer_lens(model, prompt):
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    return theirs(model, tokens, positions=None).values[:, 0]


def lens_by_hooks(model, prompt):
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    states = residual_states(model, tokens)[:, 0]
    return model.b_U + einsum(
        model.ln_final(states), model.W_U, "state pos d, d vocab -> state pos vocab"
    )


RIGHT = [lens_by_transformer_lens, lens_by_stopping_early, lens_by_hooks]
