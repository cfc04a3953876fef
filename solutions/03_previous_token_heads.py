"""Reference answers of chapter 03, Previous-token heads."""

from itertools import combinations, product
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens import utilities as utils


def sink_share(pattern: Float[Tensor, "*heads q k"]) -> Float[Tensor, "*heads"]:
    """How much a head looks at the first token: mean over all queries but the first itself.

    pattern: attention probabilities, rows are queries. The first token is BOS. It can look nowhere
    but at itself, and that says nothing about the head.
    """
    # BEGIN BLANK
    return pattern[..., 1:, 0].mean(-1)
    # END BLANK


def value_weighted(
    pattern: Float[Tensor, "batch head q k"],
    v: Float[Tensor, "batch k head d_head"],
    W_O: Float[Tensor, "head d_head d_model"],
) -> Float[Tensor, "batch head q k"]:
    """Attention times the length of what a head would write from each key: pattern * |v W_O|.

    v: value vectors, one for each head and key. Rows no longer sum to 1: a cell says how long a
    vector the head brings from key k to query q.
    """
    # BEGIN BLANK
    written = torch.einsum("bkhd,hdm->bkhm", v, W_O)
    lengths = written.norm(dim=-1).transpose(1, 2)  # [batch, head, k]
    # END BLANK
    return pattern * lengths[:, :, None, :]


def diagonal_scores(
    pattern: Float[Tensor, "*heads q k"], max_offset: int
) -> Float[Tensor, "*heads max_offset+1"]:
    """How much a head looks `offset` tokens back, for offset = 0, 1, ..., max_offset.

    pattern: attention probabilities, rows are queries. Entry o is the mean of pattern[q, q - o]
    over all queries q >= o, those that have a token o places back. Every position counts, the first
    too: whoever wants BOS left out cuts its row and column off before.
    """
    # BEGIN BLANK
    scores = [pattern.diagonal(-offset, -2, -1).mean(-1) for offset in range(max_offset + 1)]
    # END BLANK
    return torch.stack(scores, dim=-1)


def previous_token_scores(model, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "layer head"]:
    """Every head's mean attention to the token before, BOS counting neither as query nor as key.

    tokens: sequences that begin with BOS. The mean runs over sequences and positions.
    """
    _, cache = model.run_with_cache(
        tokens, return_type=None, names_filter=lambda name: name.endswith("hook_pattern")
    )
    # BEGIN BLANK
    patterns = [cache["pattern", layer][..., 1:, 1:] for layer in range(model.cfg.n_layers)]
    return torch.stack([diagonal_scores(pattern, 1)[..., 1].mean(0) for pattern in patterns])
    # END BLANK


def find_previous_token_heads(
    model, tokens: Int[Tensor, "batch pos"], threshold: float = 0.5
) -> list[tuple[int, int]]:
    """The heads (layer, head) whose previous-token score is over the threshold, strongest first."""
    scores = previous_token_scores(model, tokens)
    # BEGIN BLANK
    over = (scores > threshold).nonzero().tolist()
    found = {(layer, head): scores[layer, head].item() for layer, head in over}
    # END BLANK
    return sorted(found, key=found.get, reverse=True)


def token_kinds(tokens: Int[Tensor, "batch pos"]) -> dict[str, Bool[Tensor, "batch pos-1"]]:
    """Which predictions are about a first copy, a second copy, or ordinary text.

    tokens: each row is BOS and then either a sequence of n tokens twice, pos = 1 + 2 n, or ordinary
    text. Entry [b, i] of a mask is about the prediction of tokens[b, i + 1], as in a loss a token.
    The first token of a second copy counts as neither: nothing says that the repetition begins.
    """
    batch, pos = tokens.shape
    n = (pos - 1) // 2
    # BEGIN BLANK
    target = torch.arange(1, pos)
    repeats = (tokens[:, 1 : 1 + n] == tokens[:, pos - n :]).all(1) & (pos == 1 + 2 * n)
    repeats = repeats[:, None].expand(batch, pos - 1)
    # END BLANK
    return {
        "first copy": repeats & (target <= n),
        "second copy": repeats & (target > n + 1),
        "ordinary text": ~repeats,
    }


def knock_out_losses(
    model,
    tokens: Int[Tensor, "batch pos"],
    heads: list[tuple[int, int]],
    mode: Literal["zero", "mean"] = "mean",
) -> Float[Tensor, "batch pos-1"]:
    """The loss on each token, nats, while the outputs z of some heads (layer, head) are replaced.

    mode: "zero" puts zeros there; "mean" puts the head's own mean over all sequences and positions
    of this run there. Entry i is about tokens[:, i + 1]. Leaves the model as it was.
    """

    def replace(z: Float[Tensor, "batch pos n_heads d_head"], hook):
        chosen = [head for layer, head in heads if layer == hook.layer()]
        # BEGIN BLANK
        z[:, :, chosen] = z[:, :, chosen].mean((0, 1)) if mode == "mean" else 0.0
        # END BLANK
        return z

    # BEGIN BLANK
    hooks = [(utils.get_act_name("z", layer), replace) for layer in {layer for layer, _ in heads}]
    # END BLANK
    logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
    return model.loss_fn(logits, tokens, per_token=True)


def knock_out_effect(
    model,
    tokens: Int[Tensor, "batch pos"],
    heads: list[tuple[int, int]],
    mode: Literal["zero", "mean"] = "mean",
) -> dict[str, float]:
    """How much loss (nats) the knock-out of some heads adds, for each kind of token.

    tokens: rows as in `token_kinds`. The answer is {kind: mean of the change over the tokens of
    that kind}, without the kinds that `tokens` has none of. Positive: the heads were of use.
    """
    # BEGIN BLANK
    change = knock_out_losses(model, tokens, heads, mode) - knock_out_losses(model, tokens, [])
    kinds = token_kinds(tokens)
    return {kind: change[mask].mean().item() for kind, mask in kinds.items() if mask.any()}
    # END BLANK


def control_sets(
    heads: list[tuple[int, int]], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[tuple[int, int]]]:
    """Distinct sets of as many heads (layer, head) of the same layers, none of those under test.

    n_heads: heads per layer. Each set has as many heads in each layer as `heads` has there, and no
    set comes twice, in whatever order. Where fewer than n_sets exist, all of them. The same seed
    draws the same sets.
    """
    layers = [layer for layer, _ in heads]
    generator = torch.Generator().manual_seed(seed)
    # BEGIN BLANK
    choices = []
    for layer in sorted(set(layers)):
        free = [(layer, head) for head in range(n_heads) if (layer, head) not in heads]
        choices.append(combinations(free, layers.count(layer)))
    every = [[head for part in parts for head in part] for parts in product(*choices)]
    # END BLANK
    order = torch.randperm(len(every), generator=generator)
    return [every[place] for place in order[:n_sets].tolist()]


def interval(
    values: Float[Tensor, " n"], n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """The mean of some values and the ends of its 95 % bootstrap interval: (mean, low, high).

    values: one number for each independent unit, such as a sequence. The ends are those between
    which 95 % of the means lie when n values are drawn again and again from these n.
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(values)
    # BEGIN BLANK
    drawn = torch.randint(n, (n_resamples, n), generator=generator)
    means = values[drawn].mean(1)
    # END BLANK
    low, high = means.quantile(torch.tensor([0.025, 0.975])).tolist()
    return values.mean().item(), low, high


def direct_path_bigrams(model, token: int, k: int) -> list[int]:
    """The k tokens whose logits the direct path from embedding to unembedding raises most.

    token: the current token. Strongest first. A final norm is left out: it divides all logits of a
    position by the same positive number (its gain is folded into W_U), which changes no order.
    """
    # BEGIN BLANK
    return (model.W_E[token] @ model.W_U).topk(k).indices.tolist()
    # END BLANK


def bigram_table(model, heads: list[tuple[int, int]]) -> Float[Tensor, "d_vocab d_vocab"]:
    """The logits of the next token (column) as a function of the current one (row), from weights.

    The direct path, plus what each of the heads (layer, head) writes to the logits when it looks at
    nothing but the current token. For models without norm, with as many key as query heads.
    """
    table = model.W_E @ model.W_U
    for layer, head in heads:
        W_OV = model.W_V[layer, head] @ model.W_O[layer, head]
        table = table + model.W_E @ W_OV @ model.W_U
    return table
