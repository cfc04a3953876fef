"""Exercise `knock_out_losses`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.shared import Head
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip

knock_out_losses = Exercise(
    "knock_out_losses",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "z is [batch, pos, head, d_head]: what each head has gathered, before W_O writes it. Which "
        "axis is the head, and which axes does its mean run over?",
        "`chosen` are the heads of the hook's own layer, and z[:, :, chosen] is [batch, pos, "
        "chosen, d_head]: average over its first two axes. One hook for each layer, once, with "
        "the name of its z.",
        'z[:, :, chosen] = z[:, :, chosen].mean((0, 1)) if mode == "mean" else 0.0, and '
        '(utils.get_act_name("z", layer), replace) for layer in {layer for layer, _ in heads}.',
    ],
)


@knock_out_losses.cases
def _losses_cases() -> Iterator[Case]:
    model = random_model()
    yield Case("a random model with nothing knocked out", model, random_tokens(2, 5), [], "zero")
    yield Case("head 1.2 set to zero", model, random_tokens(2, 5), [(1, 2)], "zero")
    yield Case("head 1.2 set to its mean", model, random_tokens(3, 7, seed=1), [(1, 2)], "mean")
    yield Case(
        "two heads of one layer", model, random_tokens(3, 6, seed=2), [(0, 3), (0, 1)], "mean"
    )
    yield Case(
        "heads of three layers",
        model,
        random_tokens(4, 9, seed=3),
        [(2, 0), (0, 1), (1, 1)],
        "zero",
    )
    yield Case("no mode given", model, random_tokens(2, 6, seed=6), [(0, 2), (1, 1)])
    yield Case("as many heads as tokens", random_model(2, 3, seed=5), random_tokens(3, 3, seed=4),
               [(1, 2), (0, 0)], "mean")  # fmt: skip


def _losses_with(
    model: Any, tokens: Tensor, heads: list[Head], edit: Callable[[Tensor, int], Tensor | float]
) -> Tensor:
    """Losses where each head's z [batch, pos, d_head] is replaced by edit(z of all heads, head)."""

    def hook_for(layer: int, head: int) -> tuple[str, Callable[..., Tensor]]:
        def hook(z: Tensor, hook: Any) -> Tensor:
            new = z.clone()
            new[:, :, head] = edit(z, head)
            return new

        return f"blocks.{layer}.attn.hook_z", hook

    logits = model.run_with_hooks(tokens, fwd_hooks=[hook_for(*pair) for pair in heads])
    return _cross_entropy(logits, tokens)


def _cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    rows = [
        torch.nn.functional.cross_entropy(row[:-1], target[1:], reduction="none")
        for row, target in zip(logits, tokens, strict=True)
    ]
    return torch.stack(rows)


def _replacement(mode: str) -> Callable[[Tensor, int], Tensor | float]:
    return (lambda z, head: 0.0) if mode == "zero" else (lambda z, head: z[:, :, head].mean((0, 1)))


@knock_out_losses.oracle
def _losses_oracle(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    """Layer by layer, by hand: no hooks."""
    resid = model.embed(tokens)
    positions = model.pos_embed(tokens.shape[1])
    for layer, block in enumerate(model.blocks):
        attn, x = block.attn, resid
        for head in range(model.cfg.n_heads):
            q = (x + positions) @ attn.W_Q[head]
            k = (x + positions) @ attn.W_K[head]
            z = torch.nn.functional.scaled_dot_product_attention(
                q, k, x @ attn.W_V[head], is_causal=True
            )
            if (layer, head) in [tuple(pair) for pair in heads]:
                z = z.mean((0, 1)).expand_as(z) if mode == "mean" else torch.zeros_like(z)
            resid = resid + z @ attn.W_O[head]
    return _cross_entropy(model.unembed(resid), tokens)


@knock_out_losses.wrong("nothing was knocked out: these are the losses of the whole model.")
def nothing_knocked_out(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> Tensor:
    return _losses_oracle(model, tokens, [], mode)


@knock_out_losses.wrong('you put zeros whatever the mode: for "mean", put the head\'s mean there.')
def always_zero(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    return _losses_oracle(model, tokens, heads, "zero")


@knock_out_losses.wrong('you put the mean whatever the mode: for "zero", put zeros there.')
def always_mean(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    return _losses_oracle(model, tokens, heads, "mean")


@knock_out_losses.wrong(
    "your mean runs over the sequences only, and differs from position to position. Average over "
    "both: what the head writes wherever it is."
)
def mean_by_position(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    return _losses_with(
        model, tokens, heads, lambda z, h: 0.0 if mode == "zero" else z[:, :, h].mean(0)
    )


@knock_out_losses.wrong(
    "your mean runs over the positions only, so each sequence keeps a mean of its own, and with it "
    "something of what the head has seen there. Average over sequences and positions."
)
def mean_by_sequence(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    return _losses_with(
        model,
        tokens,
        heads,
        lambda z, h: 0.0 if mode == "zero" else z[:, :, h].mean(1, keepdim=True),
    )


@knock_out_losses.wrong(
    "your mean is one number: you averaged over the d_head numbers as well. z[:, :, head] is "
    "[batch, pos, d_head]; average over its first two axes."
)
def mean_of_everything(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    return _losses_with(
        model, tokens, heads, lambda z, h: 0.0 if mode == "zero" else z[:, :, h].mean()
    )


@knock_out_losses.wrong("every head of the layer is knocked out: pick one on axis 2 of z.")
def whole_layers(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    every = [(layer, head) for layer, _ in heads for head in range(model.cfg.n_heads)]
    return _losses_oracle(model, tokens, every, mode)


@knock_out_losses.wrong(
    "only the last head of each layer is knocked out. Several may share a layer: give every pair a "
    "hook of its own, or replace them all in one."
)
def one_head_a_layer(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    return _losses_oracle(model, tokens, list(dict(heads).items()), mode)


@knock_out_losses.wrong("layer and head are exchanged: the pairs are (layer, head).")
def pairs_exchanged(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    turned = [(head % model.cfg.n_layers, layer) for layer, head in heads]
    return _losses_oracle(model, tokens, turned, mode)


@knock_out_losses.wrong(
    "you replaced a position instead of a head: z is [batch, pos, head, d_head], heads are axis 2."
)
def position_replaced(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    def hook_for(layer: int, head: int) -> tuple[str, Callable[..., Tensor]]:
        def hook(z: Tensor, hook: Any) -> Tensor:
            new = z.clone()
            at = head % z.shape[1]
            new[:, at] = z[:, at].mean((0, 1)) if mode == "mean" else 0.0
            return new

        return f"blocks.{layer}.attn.hook_z", hook

    logits = model.run_with_hooks(tokens, fwd_hooks=[hook_for(*pair) for pair in heads])
    return _cross_entropy(logits, tokens)


@knock_out_losses.wrong(
    "you compared each position's prediction with the token it has read. The logits at position i "
    "are about tokens[:, i + 1]."
)
def loss_of_the_token_read(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> Tensor:
    shifted = torch.cat([tokens[:, :1], tokens], dim=1)
    logits = _logits_of(model, tokens, heads, mode)
    return _cross_entropy(logits[:, [*range(tokens.shape[1]), -1]], shifted)[:, :-1]


def _logits_of(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    replace = _replacement(mode)

    def hook_for(layer: int, head: int) -> tuple[str, Callable[..., Tensor]]:
        def hook(z: Tensor, hook: Any) -> Tensor:
            new = z.clone()
            new[:, :, head] = replace(z, head)
            return new

        return f"blocks.{layer}.attn.hook_z", hook

    return model.run_with_hooks(tokens, fwd_hooks=[hook_for(*pair) for pair in heads])


@knock_out_losses.wrong(
    "this is the mean loss. Keep one number for each predicted token: which tokens suffer is the "
    "question (loss_fn has per_token=True)."
)
def one_mean_loss(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    return _losses_oracle(model, tokens, heads, mode).mean()


@knock_out_losses.wrong(
    "your mean runs over the chosen heads too, so that they all write the same. Each head "
    "gets its own mean."
)
def mean_over_the_heads(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> Tensor:
    def edit(z: Tensor, chosen: list[int]) -> Tensor | float:
        return 0.0 if mode == "zero" else z[:, :, chosen].mean((0, 1, 2))

    return _losses_by_layer(model, tokens, heads, edit)


def _losses_by_layer(
    model: Any,
    tokens: Tensor,
    heads: list[Head],
    edit: Callable[[Tensor, list[int]], Tensor | float],
) -> Tensor:
    def hook_for(layer: int) -> tuple[str, Callable[..., Tensor]]:
        chosen = [head for at, head in heads if at == layer]

        def hook(z: Tensor, hook: Any) -> Tensor:
            new = z.clone()
            new[:, :, chosen] = edit(z, chosen)
            return new

        return f"blocks.{layer}.attn.hook_z", hook

    hooks = [hook_for(layer) for layer in {layer for layer, _ in heads}]
    return _cross_entropy(model.run_with_hooks(tokens, fwd_hooks=hooks), tokens)


@knock_out_losses.wrong(
    "this is what the knock-out adds. Return the losses themselves; the difference is taken "
    "in the next exercise."
)
def added_loss(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    return _losses_oracle(model, tokens, heads, mode) - _losses_oracle(model, tokens, [], mode)


@knock_out_losses.wrong(
    "one head number serves all layers: a function made in a loop sees the last value of the"
    " loop's variable. Let it look up its heads when it runs, or hand it over (head=head)."
)
def last_head_everywhere(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> Tensor:
    same = [(layer, heads[-1][1]) for layer, _ in heads]
    return _losses_oracle(model, tokens, same, mode)


@knock_out_losses.wrong(
    "the values v were replaced. A head's output is z, what its pattern has gathered from "
    "them: hook_z."
)
def values_replaced(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    def hook_for(layer: int, head: int) -> tuple[str, Callable[..., Tensor]]:
        def hook(v: Tensor, hook: Any) -> Tensor:
            new = v.clone()
            new[:, :, head] = 0.0 if mode == "zero" else v[:, :, head].mean((0, 1))
            return new

        return f"blocks.{layer}.attn.hook_v", hook

    logits = model.run_with_hooks(tokens, fwd_hooks=[hook_for(*pair) for pair in heads])
    return _cross_entropy(logits, tokens)


@knock_out_losses.wrong(
    "the heads in `heads` are the ones that were kept, and all others were replaced. It is "
    "the other way round."
)
def all_others_out(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    every = [(la, h) for la in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]
    return _losses_oracle(model, tokens, [pair for pair in every if pair not in heads], mode)


@knock_out_losses.wrong(
    "another layer was hooked, the one above. The layer of a pair is that of its hook."
)
def layer_above(model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean") -> Tensor:
    above = [((layer + 1) % model.cfg.n_layers, head) for layer, head in heads]
    return _losses_oracle(model, tokens, above, mode)


slip(
    knock_out_losses,
    "sign_of_the_loss",
    "the sign is turned: a loss is minus the log of a probability.",
    (
        "return model.loss_fn(logits, tokens, per_token=True)",
        "return -model.loss_fn(logits, tokens, per_token=True)",
    ),
)


slip(
    knock_out_losses,
    "mean_without_bos",
    "BOS was left out of the mean. It runs over all positions.",
    (
        "z[:, :, chosen].mean((0, 1))",
        "z[:, 1:, chosen].mean((0, 1))",
    ),
)


slip(
    knock_out_losses,
    "mean_of_all_heads",
    "the mean of all heads was put there. Each head has a mean of its own.",
    (
        "z[:, :, chosen].mean((0, 1))",
        "z.mean((0, 1, 2))",
    ),
)


slip(
    knock_out_losses,
    "zero_by_default",
    'without a mode zeros are put there. The default is "mean", as in the signature.',
    (
        '] = "mean"',
        '] = "zero"',
    ),
)
