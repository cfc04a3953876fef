"""Reference answers of chapter 01, Attention math."""

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import FactoredMatrix


def attention_scores(
    q: Float[Tensor, "batch head pos d_head"], k: Float[Tensor, "batch head pos d_head"]
) -> Float[Tensor, "batch head query key"]:
    """How well each key answers each query: their dot product, divided by sqrt(d_head).

    Rows are queries: scores[..., i, j] compares the query at position i with the key at j.
    """
    d_head = q.shape[-1]
    # BEGIN BLANK
    pattern = "batch head query d_head, batch head key d_head -> batch head query key"
    scores = einsum(q, k, pattern)
    # END BLANK
    return scores / d_head**0.5


def score_variance(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    """Variance of the score of a random query with a random key, over n_samples such pairs.

    The entries of q and k are drawn from a standard normal distribution, beginning from `seed`.
    scaled: divide the dot product by sqrt(d_head), as attention does.
    """
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, n_samples, d_head, generator=generator)
    # BEGIN BLANK
    scores = (q * k).sum(-1)
    if scaled:
        scores = scores / d_head**0.5
    # END BLANK
    return scores.var().item()


def causal_mask(
    scores: Float[Tensor, "batch head query key"],
) -> Float[Tensor, "batch head query key"]:
    """The scores with -inf wherever the key lies in the future of the query.

    A position may look at itself and at everything before it. Leaves `scores` as it is. A number
    that no score comes near, such as -1e9, will do for -inf: after a softmax both leave nothing.
    """
    n_pos = scores.shape[-1]
    # BEGIN BLANK
    future = torch.ones(n_pos, n_pos, dtype=torch.bool, device=scores.device).triu(diagonal=1)
    # END BLANK
    return scores.masked_fill(future, -torch.inf)


def attention_pattern(
    scores: Float[Tensor, "batch head query key"],
) -> Float[Tensor, "batch head query key"]:
    """Scores to attention: mask the future, then let each query share out one unit over the keys.

    scores: scaled, not masked yet.
    """
    return causal_mask(scores).softmax(dim=-1)


def mix_values(
    pattern: Float[Tensor, "batch head query key"], v: Float[Tensor, "batch head key d_head"]
) -> Float[Tensor, "batch head query d_head"]:
    """What each query takes home: the values of all keys, weighted by its attention to them."""
    return einsum(
        pattern, v, "batch head query key, batch head key d_head -> batch head query d_head"
    )


def expand_grouped_keys(
    k: Float[Tensor, "batch pos group d_head"], n_heads: int
) -> Float[Tensor, "batch pos n_heads d_head"]:
    """One key vector for each query head, where neighbouring heads share theirs.

    k: keys (or values) of the groups. With 6 heads in 2 groups, heads 0, 1, 2 use group 0's.
    """
    # BEGIN BLANK
    heads_in_group = n_heads // k.shape[2]
    expanded = k.repeat_interleave(heads_in_group, dim=2)
    # END BLANK
    return expanded


def multi_head_attention(
    x: Float[Tensor, "batch pos d_model"],
    W_Q: Float[Tensor, "head d_model d_head"],
    W_K: Float[Tensor, "head d_model d_head"],
    W_V: Float[Tensor, "head d_model d_head"],
    W_O: Float[Tensor, "head d_head d_model"],
) -> Float[Tensor, "batch pos d_model"]:
    """What an attention layer adds to the residual stream: the sum of what its heads write.

    Causal; without biases.
    """
    q, k, v = (
        einsum(x, W, "batch pos d_model, head d_model d_head -> batch head pos d_head")
        for W in (W_Q, W_K, W_V)
    )
    # BEGIN BLANK
    z = mix_values(attention_pattern(attention_scores(q, k)), v)
    writes = einsum(z, W_O, "batch head pos d_head, head d_head d_model -> batch head pos d_model")
    # END BLANK
    return writes.sum(dim=1)


def qk_circuit(
    W_Q: Float[Tensor, "*heads d_model d_head"], W_K: Float[Tensor, "*heads d_model d_head"]
) -> FactoredMatrix:
    """The one matrix behind a head's scores: x_query @ W_QK @ x_key, before the scaling.

    Returns a FactoredMatrix of shape [*heads, d_model, d_model] that keeps its two thin factors.
    """
    return FactoredMatrix(W_Q, W_K.transpose(-2, -1))


def score_terms(
    model, tokens: Int[Tensor, "batch pos"], head: int
) -> Float[Tensor, "query_part key_part batch query key"]:
    """The scores of one head of a one-layer model, cut into four terms that add up to them.

    model: a CourseTransformer of one layer, without norm. Its queries and keys read the sum of two
    parts: part 0, the word (W_E), and part 1, the position (W_pos, counted from 0). terms[1, 0] is
    what the query's position and the key's word contribute. Scaled by sqrt(d_head), not masked.
    """
    words = model.W_E[tokens]
    positions = model.W_pos[: tokens.shape[1]].expand_as(words)
    W_QK = qk_circuit(model.W_Q[0, head], model.W_K[0, head]).AB
    # BEGIN BLANK
    parts = torch.stack([words, positions])
    terms = einsum(
        parts, W_QK, parts,
        "query_part batch query d_in, d_in d_out, key_part batch key d_out"
        " -> query_part key_part batch query key",
    )  # fmt: skip
    # END BLANK
    return terms / model.cfg.d_head**0.5


def frozen_attention(
    pattern: Float[Tensor, "batch head query key"],
    x: Float[Tensor, "batch key d_model"],
    W_OV: Float[Tensor, "head d_model d_model"],
) -> Float[Tensor, "batch head query d_model"]:
    """What each head writes at each position, its attention pattern being given.

    x: what the heads read. W_OV: each head's OV circuit, row = read, column = written.
    """
    return einsum(
        pattern,
        x,
        W_OV,
        "batch head query key, batch key d_in, head d_in d_out -> batch head query d_out",
    )


def head_paths(model, tokens: Int[Tensor, "batch pos"]) -> dict[str, Tensor]:
    """The logits of a one-layer attention-only model, cut into one part per path.

    model: a CourseTransformer of one layer, without norm. Returns
    "direct": [batch, pos, d_vocab], the path that goes past attention, and
    "heads": [head, batch, pos, d_vocab], the path through each head.
    """
    _, cache = model.run_with_cache(tokens)
    # BEGIN BLANK
    direct = cache["embed"] @ model.W_U
    writes = einsum(
        cache["z", 0], model.W_O[0],
        "batch pos head d_head, head d_head d_model -> head batch pos d_model",
    )  # fmt: skip
    heads = writes @ model.W_U
    # END BLANK
    return {"direct": direct, "heads": heads}


def skip_trigram_strength(model, head: int) -> Float[Tensor, "source dest out"]:
    """How strongly one head's weights say [source] ... [dest] -> [out], for every three words.

    model: a CourseTransformer of one layer. Strength, in logits: the attention that dest pays to
    source if every word of the vocabulary stands in the context once, times what the head adds to
    the logit of out where it attends to source alone. Positions are left out.
    """
    qk = model.W_E @ qk_circuit(model.W_Q[0, head], model.W_K[0, head]).AB @ model.W_E.T
    ov = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    attention = (qk / model.cfg.d_head**0.5).softmax(dim=-1)
    return einsum(attention, ov, "dest source, source out -> source dest out")
