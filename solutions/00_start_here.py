"""Reference answers of chapter 00, Start here."""

from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import utilities as utils


def split_heads(
    x: Float[Tensor, "batch pos n_heads*d_head"], n_heads: int
) -> Float[Tensor, "batch pos n_heads d_head"]:
    """Cut the last axis into one piece per head.

    x: the vectors of all heads laid end to end: head 0's d_head numbers, then head 1's, ...
    """
    return rearrange(x, "batch pos (head d_head) -> batch pos head d_head", head=n_heads)


def project_heads(
    x: Float[Tensor, "batch pos d_model"], W: Float[Tensor, "n_heads d_model d_head"]
) -> Float[Tensor, "batch pos n_heads d_head"]:
    """Multiply every position's vector by every head's matrix.

    x: one vector for each token of each sequence. W: one matrix for each head.
    """
    # BEGIN BLANK
    pattern = "batch pos d_model, head d_model d_head -> batch pos head d_head"
    # END BLANK
    return einsum(x, W, pattern)


def read_pattern(
    model, tokens: Int[Tensor, "batch pos"], layer: int, head: int
) -> Float[Tensor, "batch query key"]:
    """The attention pattern of one head: row q says where position q looks.

    model: anything with TransformerLens' run_with_cache.
    """
    # BEGIN BLANK
    _, cache = model.run_with_cache(tokens)
    # END BLANK
    return cache["pattern", layer][:, head]


def zero_head(
    model, tokens: Int[Tensor, "batch pos"], layer: int, head: int
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits of the model when one head's output is set to zero, everything else running on.

    Leaves the model as it was.
    """

    def silence(
        z: Float[Tensor, "batch pos n_heads d_head"], hook
    ) -> Float[Tensor, "batch pos n_heads d_head"]:
        # BEGIN BLANK
        z[:, :, head] = 0.0
        # END BLANK
        return z

    name = utils.get_act_name("z", layer)
    return model.run_with_hooks(tokens, fwd_hooks=[(name, silence)])
