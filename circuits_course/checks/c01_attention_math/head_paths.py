"""Exercise `head_paths`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import random_model, random_tokens

head_paths = Exercise(
    "head_paths",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "The last step of the model is a product with W_U, and what it multiplies is a sum: the "
        "embedding and what each head wrote. Multiply the terms one by one.",
        'The cache has cache["embed"], [batch, pos, d_model], and cache["z", 0], [batch, pos, '
        "head, d_head]. The weights are model.W_O[0], [head, d_head, d_model], and model.W_U.",
        "Each head's write is \"batch pos head d_head, head d_head d_model -> head batch pos "
        'd_model" of z and W_O[0]. Multiply it, and the embedding, by W_U.',
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


@head_paths.cases
def _path_cases() -> Iterator[Case]:
    model = random_model(1, 3, seed=1)
    yield Case("a random model with three heads", model, random_tokens(2, 5))
    four = random_model(1, 4, seed=2)
    yield Case("as many heads as sequences", four, random_tokens(4, 7, seed=1))
    yield Case("one head", random_model(1, 1, seed=3), random_tokens(3, 6, seed=2))


@head_paths.oracle
def _paths_oracle(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    """By taking away: a head's part is what the logits lose when it is silenced."""
    whole = model(tokens)
    n_heads = model.cfg.n_heads
    heads = [whole - _silenced(model, tokens, [head]) for head in range(n_heads)]
    return {"direct": _silenced(model, tokens, range(n_heads)), "heads": torch.stack(heads)}


def _silenced(model: Any, tokens: Tensor, heads: Sequence[int]) -> Tensor:
    def silence(z: Tensor, hook: Any) -> Tensor:
        z[:, :, list(heads)] = 0.0
        return z

    return model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", silence)])


def _with(paths: dict[str, Tensor], **changed: Tensor) -> dict[str, Tensor]:
    return {**paths, **changed}


@head_paths.wrong(
    "your direct path is the whole residual stream after the heads have written to it, so the "
    "heads are counted twice. The direct path is the embedding alone times W_U."
)
def direct_is_everything(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    return _with(_paths_oracle(model, tokens), direct=model(tokens))


@head_paths.wrong(
    "positions are in your direct path. In this model they are added to what queries and keys read "
    "and never enter the residual stream."
)
def positions_in_direct(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    embedded = model.W_E[tokens] + model.W_pos[: tokens.shape[1]]
    return _with(_paths_oracle(model, tokens), direct=embedded @ model.W_U)


@head_paths.wrong(
    "the axes of `heads` stand in another order: it is [head, batch, pos, d_vocab], so that "
    "heads[0] is the path through head 0."
)
def head_axis_not_first(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    paths = _paths_oracle(model, tokens)
    return _with(paths, heads=paths["heads"].permute(1, 2, 0, 3))


@head_paths.wrong("the heads are summed: keep one path for each.")
def heads_as_one(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    paths = _paths_oracle(model, tokens)
    return _with(paths, heads=paths["heads"].sum(0))


@head_paths.wrong(
    "the paths end in the residual stream, [..., d_model]. Multiply each by W_U to get logits."
)
def not_unembedded(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    cache = model.run_with_cache(tokens)[1]
    heads = torch.einsum("bphd,hdm->hbpm", cache["z", 0], model.W_O[0])
    return {"direct": cache["embed"], "heads": heads}


@head_paths.wrong(
    "each head's path holds its values at the position itself, without the pattern. Take z, which "
    "is what the head has gathered, instead of v."
)
def values_not_mixed(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    v = model.run_with_cache(tokens)[1]["v", 0]
    heads = torch.einsum("bphd,hdm->hbpm", v, model.W_O[0]) @ model.W_U
    return _with(_paths_oracle(model, tokens), heads=heads)


@head_paths.wrong(
    "every head was written out through the sum of all W_O. Head h's z goes through W_O[h]."
)
def output_matrices_summed(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    z = model.run_with_cache(tokens)[1]["z", 0]
    heads = torch.einsum("bphd,gdm->hbpm", z, model.W_O[0]) @ model.W_U
    return _with(_paths_oracle(model, tokens), heads=heads)


@head_paths.wrong(
    "each head's path includes the embedding, so the direct path is counted once more per head."
)
def embedding_in_every_head(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    paths = _paths_oracle(model, tokens)
    return _with(paths, heads=paths["heads"] + paths["direct"])


@head_paths.wrong(
    "these are logits with one head taken away (or all but one), not the part that is the head's: "
    "subtract them from the whole."
)
def logits_without_the_head(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    paths = _paths_oracle(model, tokens)
    return _with(paths, heads=model(tokens) - paths["heads"])
