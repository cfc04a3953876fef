"""Right answers to `rank_by_layer`, written in other ways than the reference."""

from transformer_lens.tools.analysis import logit_lens as theirs

from .shared import lens_by_stopping_early


def ranks_by_sorting(model, prompt, token):
    order = lens_by_stopping_early(model, prompt)[:, -1].argsort(
        dim=-1, descending=True, stable=True
    )
    return [row.index(token) for row in order.tolist()]


def ranks_by_transformer_lens(model, prompt, token):
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    return theirs(model, tokens, targets=int(token)).rank_trajectory()[:, 0].int()


RIGHT = [ranks_by_sorting, ranks_by_transformer_lens]
