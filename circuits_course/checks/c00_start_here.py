"""Chapter 00, Start here: shapes, einsum, the cache and a hook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.declaring import Case
from circuits_course.checks import ChapterChecks
from circuits_course.checks.inputs import normal, random_model, random_tokens

checks = ChapterChecks("00_start_here")


# --- split_heads ------------------------------------------------------------------------------

split_heads = checks.exercise(
    "split_heads",
    difficulty=1,
    importance=3,
    minutes=5,
    hints=[
        "Write down one vector with two heads of three numbers each: a0 a1 a2 b0 b1 b2. Which "
        "numbers belong to head 0?",
        "The head is the slow index, the position inside the head the fast one. Reshaping splits "
        "the last axis in that order: (n_heads, d_head).",
        'With einops: rearrange(x, "batch pos (head d_head) -> batch pos head d_head", '
        "head=n_heads).",
    ],
)


@split_heads.cases
def _split_cases() -> Iterator[Case]:
    yield Case("the numbers 0 to 5 as two heads of three", torch.arange(6.0).view(1, 1, 6), 2)
    yield Case("one head only", normal(2, 3, 5), 1)
    yield Case("random numbers", normal(2, 7, 15, seed=1), 3)
    yield Case("random numbers", normal(5, 4, 12, seed=2), 6)


@split_heads.oracle
def _split_oracle(x: Tensor, n_heads: int) -> Tensor:
    d_head = x.shape[-1] // n_heads
    return torch.stack([x[..., h * d_head : (h + 1) * d_head] for h in range(n_heads)], dim=2)


@split_heads.wrong(
    "you took every n_heads-th number for a head. Each head's numbers stand next to each other: "
    "split the last axis as (n_heads, d_head), not (d_head, n_heads)."
)
def interleaved(x: Tensor, n_heads: int) -> Tensor:
    return x.unflatten(-1, (x.shape[-1] // n_heads, n_heads)).transpose(-1, -2)


@split_heads.wrong(
    "the last two axes are the wrong way round: the head comes before the numbers inside it."
)
def head_axis_last(x: Tensor, n_heads: int) -> Tensor:
    return _split_oracle(x, n_heads).transpose(-1, -2)


@split_heads.wrong(
    "you put the head axis before the position axis. Many attention codes do; TransformerLens, "
    "and this course, keep [batch, pos, head, d_head]."
)
def head_before_position(x: Tensor, n_heads: int) -> Tensor:
    return _split_oracle(x, n_heads).transpose(1, 2)


@split_heads.wrong(
    "`n_heads` is the number of heads, not the size of one: you made pieces of length n_heads."
)
def head_count_as_size(x: Tensor, n_heads: int) -> Tensor:
    return x.unflatten(-1, (x.shape[-1] // n_heads, n_heads))


@split_heads.wrong(
    "you reshaped straight to an order in which positions and heads mix. A reshape may only split "
    "the last axis; a change of order needs a transpose or rearrange afterwards."
)
def scrambled(x: Tensor, n_heads: int) -> Tensor:
    batch, pos, width = x.shape
    return x.reshape(batch, n_heads, pos, width // n_heads).transpose(1, 2)


# --- project_heads ----------------------------------------------------------------------------

project_heads = checks.exercise(
    "project_heads",
    difficulty=1,
    importance=4,
    minutes=5,
    hints=[
        "Name the axes of x, then the axes of W. Which name do the two share?",
        "An axis that stands on the left of -> and not on the right is summed over. Here that is "
        "d_model.",
        'The pattern is "batch pos d_model, head d_model d_head -> batch pos head d_head".',
    ],
)


@project_heads.cases
def _project_cases() -> Iterator[Case]:
    double_and_sum = torch.stack([2 * torch.eye(2), torch.ones(2, 2)])
    yield Case("x = [1, 10] with one head that doubles and one that sums",
               torch.tensor([[[1.0, 10.0]]]), double_and_sum)  # fmt: skip
    yield Case("random numbers", normal(2, 3, 5), normal(4, 5, 6, seed=1))
    yield Case("equal sizes everywhere", normal(3, 3, 3, seed=2), normal(3, 3, 3, seed=3))


@project_heads.oracle
def _project_oracle(x: Tensor, W: Tensor) -> Tensor:
    return torch.stack([x @ W[head] for head in range(len(W))], dim=2)


@project_heads.wrong(
    "you summed over the heads as well. Every name that stays on the right of -> stays an axis: "
    "keep `head`."
)
def heads_summed(x: Tensor, W: Tensor) -> Tensor:
    return _project_oracle(x, W).sum(2)


@project_heads.wrong(
    "the head axis stands before the position axis; the result is [batch, pos, head, d_head]."
)
def heads_first(x: Tensor, W: Tensor) -> Tensor:
    return _project_oracle(x, W).transpose(1, 2)


@project_heads.wrong(
    "each matrix is used transposed: the axis of W that meets x is d_model, its second axis."
)
def transposed_matrix(x: Tensor, W: Tensor) -> Tensor:
    return torch.einsum("bpm,hdm->bphd", x, W)


@project_heads.wrong(
    "x and W are summed over separately: an index that both share must carry the same name on "
    "both sides of the comma."
)
def summed_apart(x: Tensor, W: Tensor) -> Tensor:
    return torch.einsum("bpm,hnd->bphd", x, W)


# --- read_pattern -----------------------------------------------------------------------------

read_pattern = checks.exercise(
    "read_pattern",
    difficulty=1,
    importance=5,
    minutes=10,
    hints=[
        "`model.run_with_cache(tokens)` returns two things: the logits and a cache of everything "
        "the model computed on the way.",
        'The cache is read by name and layer: cache["pattern", layer] has the shape '
        "[batch, head, query, key].",
        "Which axis is the head? Take one entry of it and keep the others.",
    ],
)


@read_pattern.cases
def _pattern_cases() -> Iterator[Case]:
    model = random_model()
    yield Case("layer 1, head 2 of a random model", model, random_tokens(2, 5), 1, 2)
    yield Case("layer 0, head 0", model, random_tokens(3, 7, seed=1), 0, 0)
    yield Case("the last layer and head", model, random_tokens(4, 6, seed=2), 2, 3)
    yield Case(
        "as many heads as sequences", random_model(2, 3, seed=5), random_tokens(3, 3, seed=3), 1, 2
    )


@read_pattern.oracle
def _pattern_oracle(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    seen: list[Tensor] = []
    hook = (f"blocks.{layer}.attn.hook_pattern", lambda pattern, hook: seen.append(pattern.clone()))
    model.run_with_hooks(tokens, fwd_hooks=[hook])
    return seen[0].select(1, head)


def _cached(model: Any, tokens: Tensor, name: str, layer: int) -> Tensor:
    return model.run_with_cache(tokens)[1][name, layer]


@read_pattern.wrong(
    "these are the scores, from before the softmax. Their rows do not sum to 1; the pattern's do."
)
def scores_not_pattern(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "attn_scores", layer)[:, head]


@read_pattern.wrong(
    "you indexed the batch with `head`. The cache holds [batch, head, query, key]: the first axis "
    "is the batch."
)
def batch_indexed(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "pattern", layer)[head]


@read_pattern.wrong("all heads are there: pick one, on axis 1.")
def every_head(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "pattern", layer)


@read_pattern.wrong("layer and head are exchanged.")
def layer_and_head_exchanged(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "pattern", head)[:, layer]


@read_pattern.wrong("rows and columns are exchanged: rows are queries, the ones who look.")
def keys_as_rows(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "pattern", layer)[:, head].mT


@read_pattern.wrong("only the first sequence is there: keep the whole batch.")
def first_sequence(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "pattern", layer)[0, head]


# --- zero_head --------------------------------------------------------------------------------

zero_head = checks.exercise(
    "zero_head",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "A hook is a function that is handed an activation while the model runs. What it returns "
        "takes the activation's place.",
        '"z" has the shape [batch, pos, head, d_head]: what each head is about to write, before '
        "its W_O. Set one head's part of it to zero.",
        "z[:, :, head] = 0.0 inside the hook, and nothing else. `run_with_hooks` takes the hook "
        "off again after the run.",
    ],
)


@zero_head.cases
def _zero_cases() -> Iterator[Case]:
    model = random_model()
    yield Case("layer 1, head 2 of a random model", model, random_tokens(2, 5), 1, 2)
    yield Case("layer 0, head 0", model, random_tokens(3, 7, seed=1), 0, 0)
    yield Case("the last layer and head", model, random_tokens(5, 6, seed=2), 2, 3)
    yield Case(
        "as many heads as tokens", random_model(2, 3, seed=5), random_tokens(2, 3, seed=3), 1, 2
    )


@zero_head.oracle
def _zero_oracle(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    """Without a hook: the head's output matrix is zero for one run."""
    W_O = model.blocks[layer].attn.W_O
    kept = W_O.data[head].clone()
    W_O.data[head] = 0.0
    try:
        return model(tokens)
    finally:
        W_O.data[head] = kept


def _hooked(model: Any, tokens: Tensor, layer: int, name: str, edit: Any) -> Tensor:
    hook = (f"blocks.{layer}.attn.hook_{name}", edit)
    return model.run_with_hooks(tokens, fwd_hooks=[hook])


@zero_head.wrong("nothing was changed: these are the logits of the whole model.")
def hook_without_effect(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return model(tokens)


@zero_head.wrong("you silenced every head of the layer: pick one, on axis 2 of z.")
def whole_layer(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _hooked(model, tokens, layer, "z", lambda z, hook: torch.zeros_like(z))


@zero_head.wrong(
    "you silenced a position instead of a head: z is [batch, pos, head, d_head], heads are axis 2."
)
def position_silenced(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    def edit(z: Tensor, hook: Any) -> Tensor:
        z[:, head] = 0.0
        return z

    return _hooked(model, tokens, layer, "z", edit)


@zero_head.wrong("layer and head are exchanged.")
def wrong_layer(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _zero_oracle(model, tokens, head % model.cfg.n_layers, layer)


@zero_head.wrong(
    "you set the scores to zero before the softmax. The head then attends evenly to every "
    "position, the future included, and still writes; it is not silent."
)
def scores_silenced(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    def edit(scores: Tensor, hook: Any) -> Tensor:
        scores[:, head] = 0.0
        return scores

    return _hooked(model, tokens, layer, "attn_scores", edit)


@zero_head.wrong("these are probabilities: return the logits as they come, without a softmax.")
def probabilities(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _zero_oracle(model, tokens, layer, head).softmax(-1)


@zero_head.wrong(
    "the hook stayed on the model after the run (`add_hook` leaves it there), so every later run "
    "would be changed as well. Use run_with_hooks."
)
def hook_left_behind(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    def edit(z: Tensor, hook: Any) -> Tensor:
        z[:, :, head] = 0.0
        return z

    model.add_hook(f"blocks.{layer}.attn.hook_z", edit)
    return model(tokens)


# --- questions --------------------------------------------------------------------------------

checks.prediction(
    "heads_in_a_vector",
    "One vector holds the outputs of 2 heads, 3 numbers each: 0 1 2 3 4 5. Which numbers are "
    "head 1's?",
    {
        "1, 3, 5": "That would be every second number. Heads are laid end to end, so head 0 takes "
        "the first three and head 1 the rest.",
        "3, 4, 5": "Heads are laid end to end, and counting starts at head 0.",
        "0, 1, 2": "Those are head 0's: counting starts at zero.",
    },
    answer="3, 4, 5",
)

checks.prediction(
    "rows_sum",
    "In an attention pattern [query, key], what sums to 1?",
    {
        "every row": "Each query shares out one unit of attention over the keys.",
        "every column": "A column says how much attention one key receives from all queries; that "
        "can be anything between 0 and the number of queries.",
        "the whole matrix": "Each query has one whole unit of attention to share out, so the "
        "matrix sums to the number of queries.",
    },
    answer="every row",
)

checks.prediction(
    "silent_head",
    "One of the eight heads of this model is silenced. What happens to its prediction of the "
    "second copy of a repeated sequence?",
    {
        "it gets worse, whichever head it is": "",
        "it depends on the head": "",
        "nothing much, for any head": "",
    },
)

checks.explanation(
    "cache_or_hook",
    "When would you read from the cache, and when would you use a hook?",
    "The cache tells what the model computed; a hook changes it while it runs, which is the way "
    "to find out whether that mattered.",
)
