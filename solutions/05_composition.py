"""Reference answers of chapter 05, Composition."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.circuits import Basis, CutPath, HeadCircuits, HeadWeights


def composition_score(
    kind: Literal["Q", "K", "V"], source: HeadCircuits, target: HeadCircuits
) -> Float[Tensor, ""]:
    """How well what the source writes fits what the target reads: 0 not at all, 1 perfectly.

    source: the lower head, target: the higher one; both have `.OV` and `.QK` as FactoredMatrix,
    whose `@`, `.T` and `.norm()` (Frobenius) never multiply the factors out.
    """
    written = source.OV
    # BEGIN BLANK
    read = {"Q": target.QK, "K": target.QK.T, "V": target.OV}[kind]
    # END BLANK
    return (written @ read).norm() / (written.norm() * read.norm())


def random_composition_baseline(
    d_model: int, d_head: int, n: int, seed: int
) -> Float[Tensor, " n"]:
    """The K-composition scores of n pairs of heads whose weights are independent normal numbers.

    The same seed gives the same scores, another seed gives others.
    """
    generator = torch.Generator().manual_seed(seed)

    def random_head() -> HeadCircuits:
        # BEGIN BLANK
        W_Q, W_K, W_V = torch.randn(3, d_model, d_head, generator=generator)
        W_O = torch.randn(d_head, d_model, generator=generator)
        # END BLANK
        return HeadCircuits(W_Q, W_K, W_V, W_O)

    # BEGIN BLANK
    scores = [composition_score("K", random_head(), random_head()) for _ in range(n)]
    # END BLANK
    return torch.stack(scores)


def virtual_pattern(
    pattern_a: Float[Tensor, "*batch q k"], pattern_b: Float[Tensor, "*batch q k"]
) -> Float[Tensor, "*batch q k"]:
    """From where head b gets what head a wrote: row q says which tokens reach q through both.

    pattern_a: attention of the lower head, pattern_b: of the higher one; rows are queries.
    """
    return pattern_b @ pattern_a


def virtual_ov(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    """What a token's vector becomes on its way through the lower head a, then the higher head b.

    A [d_model, d_model] matrix of rank d_head at most, so kept as a FactoredMatrix.
    """
    return head_a.OV @ head_b.OV


def two_back(basis: Basis) -> tuple[HeadWeights, HeadWeights]:
    """Two heads, one a layer, that each look one back; together they predict the symbol two back.

    `basis.model(first, second)` must give the symbol two places back the largest logit, from
    position 3 on. Rows of `basis.token`, `basis.previous` and `basis.out` are the directions for
    "this symbol stands here", "stood one back" (free to use), "comes next" (the unembedding's).
    """
    W_Q = 40.0 * basis.position.T  # position p asks for number p
    W_K = basis.position.T.roll(1, dims=1)  # position p answers to number p + 1
    # BEGIN BLANK
    first = HeadWeights(W_Q, W_K, W_V=basis.token.T, W_O=basis.previous)
    second = HeadWeights(W_Q, W_K, W_V=basis.previous.T, W_O=10.0 * basis.out)
    # END BLANK
    return first, second


def path_expansion(
    model, tokens: Int[Tensor, "batch pos"]
) -> dict[tuple[tuple[int, int], ...], Float[Tensor, "batch pos d_vocab"]]:
    """What every path through a two-layer attention-only model adds to the logits.

    A path is the tuple of heads (layer, head) that it passes, lowest first: () is the direct path,
    ((1, 2),) one head, ((0, 3), (1, 2)) a virtual head. Attention patterns are those of the full
    run. The paths sum to the logits.
    """
    _, cache = model.run_with_cache(tokens)
    streams = {(): model.W_E[tokens]}
    for layer in range(model.cfg.n_layers):
        below = dict(streams)
        for head in range(model.cfg.n_heads):
            pattern = cache["pattern", layer][:, head]
            for path, x in below.items():
                # BEGIN BLANK
                moved = pattern @ x @ model.W_V[layer, head] @ model.W_O[layer, head]
                streams[(*path, (layer, head))] = moved
                # END BLANK
    return {path: x @ model.W_U for path, x in streams.items()}


def path_importance(
    paths: dict[tuple[tuple[int, int], ...], Float[Tensor, "batch pos d_vocab"]],
    tokens: Int[Tensor, "batch pos"],
) -> dict[tuple[tuple[int, int], ...], float]:
    """How much the mean next-token loss rises, in nats, when one path is left out; for every path.

    paths: what each path adds to the logits; together they are all of the logits.
    """

    def loss(logits: Float[Tensor, "batch pos d_vocab"]) -> float:
        log_probs = logits[:, :-1].log_softmax(-1)
        return -log_probs.gather(-1, tokens[:, 1:, None]).mean().item()

    logits = sum(paths.values())
    whole = loss(logits)
    # BEGIN BLANK
    rises = {path: loss(logits - added) - whole for path, added in paths.items()}
    # END BLANK
    return rises


def decompose_keys(
    model, tokens: Int[Tensor, "batch pos"], layer: int, head: int
) -> Float[Tensor, "component batch q k"]:
    """A head's attention scores, split by what wrote the keys.

    Component 0 is the embedding with the position (`model.W_pos`), then come the heads of layer 0,
    of layer 1, ... up to the layer below. Scaled by 1 / sqrt(d_head). Their sum is the head's
    scores wherever k <= q; what stands at k > q does not matter. For models without MLP and norm.
    """
    _, cache = model.run_with_cache(tokens)
    n_pos = tokens.shape[1]
    written = [cache["embed"] + model.W_pos[:n_pos]]
    # BEGIN BLANK
    for below in range(layer):
        for source in range(model.cfg.n_heads):
            written.append(cache["z", below][:, :, source] @ model.W_O[below, source])
    keys = torch.stack(written) @ model.W_K[layer, head]
    # END BLANK
    query = cache["q", layer][:, :, head]
    return query @ keys.mT / model.cfg.d_head**0.5


def visible_scores(scores: Float[Tensor, "*batch q k"]) -> Float[Tensor, "*batch q k"]:
    """What the softmax can see of attention scores: each row less its mean over the keys k <= q.

    scores: not masked yet. Entries in the future (k > q) are 0 in the result.
    """
    past = torch.ones_like(scores).tril()
    mean = (scores * past).sum(-1, keepdim=True) / past.sum(-1, keepdim=True)
    return (scores - mean) * past


def cut_path(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: tuple[int, int],
    target: tuple[int, int],
    kind: Literal["Q", "K", "V"],
) -> CutPath:
    """Run the model with one path cut: what the source writes does not reach the target's queries,
    keys or values.

    source and target are (layer, head). Everything else runs on: the source still reaches the other
    two of the target, every other head, and the output. For models without norm.
    Returns CutPath(pattern, logits): the target's pattern [batch, q, k] and the logits.
    """
    layer, head = target
    _, cache = model.run_with_cache(tokens)
    written = cache["z", source[0]][:, :, source[1]] @ model.W_O[source]
    W = {"Q": model.W_Q, "K": model.W_K, "V": model.W_V}[kind]

    def cut(x: Float[Tensor, "batch pos head d_head"], hook):
        # BEGIN BLANK
        x[:, :, head] -= written @ W[target]
        # END BLANK
        return x

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_{kind.lower()}", cut)]):
        logits, cache = model.run_with_cache(tokens)
    return CutPath(cache["pattern", layer][:, head], logits)


def found_by_shortlist(
    scores: Float[Tensor, " path"], effects: Float[Tensor, " path"], size: int, least: float
) -> float:
    """Which share of the paths that matter is among the `size` paths with the highest scores.

    A path matters if its effect is `least` or more. 1.0 where none does.
    """
    # BEGIN BLANK
    matters = effects >= least
    shortlist = scores.topk(size).indices
    if not matters.any():
        return 1.0
    share = (matters[shortlist].sum() / matters.sum()).item()
    # END BLANK
    return share
