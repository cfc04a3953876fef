"""What the next token costs, sequence by sequence."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor


def mean_losses(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"], first: int = 1
) -> Float[Tensor, " batch"]:
    """Each sequence's mean loss in nats on the tokens at position `first` and after it."""
    log_probs = logits[:, first - 1 : -1].log_softmax(-1)
    return -log_probs.gather(-1, tokens[:, first:, None])[..., 0].mean(-1)
