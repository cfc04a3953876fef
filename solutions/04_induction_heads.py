"""Reference answers of chapter 04, Induction heads."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import FactoredMatrix
from transformer_lens import utilities as utils

from circuits_course.circuits import InductionTrace
from circuits_course.data import bos_token, longest_period


def repeated_tokens(
    batch: int, period: int, d_vocab: int, bos: int, seed: int
) -> Int[Tensor, "batch pos"]:
    """Sequences [bos, copy, copy]: `period` random tokens, then the same tokens again.

    pos = 1 + 2 * period; dtype int64. Tokens are drawn evenly from 0 to d_vocab - 1, anew for each
    sequence. The same seed gives the same tokens, another seed gives others.
    """
    generator = torch.Generator().manual_seed(seed)
    # BEGIN BLANK
    copy = torch.randint(0, d_vocab - 1, (batch, period), generator=generator)
    copy = copy + (copy >= bos)  # skips bos, which should begin the sequence and nothing else
    # END BLANK
    start = torch.full((batch, 1), bos)
    # BEGIN BLANK
    return torch.cat([start, copy, copy], dim=1)
    # END BLANK


def loss_per_token(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos-1"]:
    """How surprised the model was by each token: minus the log of the probability it gave it, nats.

    Entry i is about tokens[:, i + 1]. Nothing predicts the first token, so there is one less.
    """
    # BEGIN BLANK
    log_probs = logits[:, :-1].log_softmax(-1)
    target = tokens[:, 1:]
    # END BLANK
    return -log_probs.gather(-1, target[..., None])[..., 0]


def induction_score(
    pattern: Float[Tensor, "*heads pos pos"], period: int
) -> Float[Tensor, "*heads"]:
    """Mean attention from each token of the second copy to the token after its first occurrence.

    pattern: attention probabilities, rows are queries, on [BOS, copy, copy]; pos = 1 + 2 * period.
    """
    after_first_occurrence = pattern.diagonal(1 - period, -2, -1)  # keys 0, 1, ...
    return after_first_occurrence[..., -period:].mean(-1)


def find_induction_heads(
    model, period: int = 50, batch: int = 8, threshold: float = 0.4, seed: int = 0
) -> list[tuple[int, int]]:
    """The heads (layer, head) whose induction score is over the threshold, strongest first.

    The score is measured on `batch` repeated random sequences, and averaged over them. The period
    is shortened where the model's context is too small for it.
    """
    period = longest_period(model, period)
    tokens = repeated_tokens(batch, period, model.cfg.d_vocab, bos_token(model), seed)
    _, cache = model.run_with_cache(
        tokens, return_type=None, names_filter=lambda name: name.endswith("hook_pattern")
    )
    found = {}
    for layer in range(model.cfg.n_layers):
        # BEGIN BLANK
        scores = induction_score(cache["pattern", layer], period).mean(0)
        # END BLANK
        for head, score in enumerate(scores.tolist()):
            # BEGIN BLANK
            if score > threshold:
                found[layer, head] = score
            # END BLANK
    return sorted(found, key=found.get, reverse=True)


def trace_induction(model, prompt: str) -> InductionTrace:
    """What the model's induction heads do at the last token of a prompt.

    The last token must have occurred before; the nearest earlier position counts. Raises ValueError
    where it did not occur.
    """
    tokens = model.to_tokens(prompt)
    logits, cache = model.run_with_cache(
        tokens, names_filter=lambda name: name.endswith("hook_pattern")
    )
    words, last = model.to_str_tokens(tokens[0]), tokens.shape[1] - 1
    places = (tokens[0, :-1] == tokens[0, -1]).nonzero()
    if len(places) == 0:
        raise ValueError(f"{words[-1]!r} does not occur before the end of {prompt!r}.")
    heads = find_induction_heads(model, batch=2)  # enough to find them, and quick
    # BEGIN BLANK
    earlier = int(places[-1])
    looks = {(layer, head): cache["pattern", layer][0, head, last] for layer, head in heads}
    # END BLANK
    return InductionTrace(
        token=words[-1],
        earlier=earlier,
        followed_by=words[earlier + 1],
        predicted=model.to_str_tokens(logits[0, -1].argmax()[None], prepend_bos=False)[0],
        to_earlier={head: row[earlier].item() for head, row in looks.items()},
        to_next={head: row[earlier + 1].item() for head, row in looks.items()},
    )


def copying_score(W_full_OV: FactoredMatrix) -> Float[Tensor, ""]:
    """Sum of the eigenvalues over the sum of their absolute values: 1 copies, -1 suppresses.

    W_full_OV: what a head writes onto every token's logit when it attends to every token,
    [d_vocab, d_vocab], kept as the product of A [d_vocab, r] and B [r, d_vocab] and never
    multiplied out: A B and B A have the same non-zero eigenvalues.
    """
    # BEGIN BLANK
    eigenvalues = torch.linalg.eigvals(W_full_OV.B @ W_full_OV.A)
    # END BLANK
    return eigenvalues.sum().real / eigenvalues.abs().sum()


def ablate_heads(
    model,
    tokens: Int[Tensor, "batch pos"],
    heads: list[tuple[int, int]],
    mode: Literal["zero", "mean"],
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits of the model when the outputs z of some heads (layer, head) are replaced.

    mode: "zero" puts zeros there; "mean" puts the head's own mean over all sequences and positions
    of this run there. Everything else runs on. Leaves the model as it was.
    """

    def replace(z: Float[Tensor, "batch pos head d_head"], hook):
        for layer, head in heads:
            if hook.name == utils.get_act_name("z", layer):
                # BEGIN BLANK
                mean = z[:, :, head].mean((0, 1))
                z[:, :, head] = mean if mode == "mean" else 0.0
                # END BLANK
        return z

    names = {utils.get_act_name("z", layer) for layer, _ in heads}
    return model.run_with_hooks(tokens, fwd_hooks=[(name, replace) for name in sorted(names)])


def in_context_learning_score(
    loss: Float[Tensor, "*batch pos-1"], early: int = 50, late: int = 500
) -> Float[Tensor, ""]:
    """Loss at token `late` minus loss at token `early`, mean over all sequences, nats.

    Negative: the model predicts better with more context. Tokens are counted from the beginning
    of the sequence, which is token 0, so the loss at token i is entry i - 1. Raises ValueError
    where the sequences are too short.
    """
    if loss.shape[-1] < late:
        raise ValueError(f"These sequences end before token {late}: choose a smaller `late`.")
    # BEGIN BLANK
    return (loss[..., late - 1] - loss[..., early - 1]).mean()
    # END BLANK


def smear_keys(
    k: Float[Tensor, "batch pos head d_head"], alpha: Float[Tensor, " head"]
) -> Float[Tensor, "batch pos head d_head"]:
    """Mix each key with the one before it: s k_j + (1 - s) k_{j-1}, s = sigmoid(alpha) per head.

    The first key has none before it and stays as it is.
    """
    s = alpha.sigmoid()[:, None]
    smeared = k.clone()
    # BEGIN BLANK
    smeared[:, 1:] = s * k[:, 1:] + (1 - s) * k[:, :-1]
    # END BLANK
    return smeared
