"""Reference answers of chapter 04, Induction heads."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.circuits import InductionTrace
from circuits_course.data import bos_token, longest_period


def repeated_tokens(
    batch: int, period: int, d_vocab: int, bos: int, seed: int
) -> Int[Tensor, "batch pos"]:
    """Sequences [bos, copy, copy]: `period` random tokens, then the same tokens again.

    pos = 1 + 2 * period; dtype int64. Tokens are drawn evenly from 0 to d_vocab - 1, anew for each
    sequence; bos may be left out. The same seed gives the same tokens, another seed gives others.
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
    model,
    periods: tuple[int, ...] = (50, 40, 30),
    batch: int = 8,
    threshold: float = 0.35,
    seed: int = 0,
) -> list[tuple[int, int]]:
    """The heads (layer, head) whose induction score is over the threshold at every period.

    The score at one period is the mean over `batch` repeated random sequences; what counts is the
    smallest of a head's scores, and the head with the largest of these comes first. A period is
    shortened where the model's context is too small for it.
    """
    lowest: dict[tuple[int, int], float] = {}
    for period in periods:
        period = longest_period(model, period)
        tokens = repeated_tokens(batch, period, model.cfg.d_vocab, bos_token(model), seed)
        _, cache = model.run_with_cache(
            tokens, return_type=None, names_filter=lambda name: name.endswith("hook_pattern")
        )
        for layer in range(model.cfg.n_layers):
            # BEGIN BLANK
            scores = induction_score(cache["pattern", layer], period).mean(0)
            # END BLANK
            for head, score in enumerate(scores.tolist()):
                # BEGIN BLANK
                lowest[layer, head] = min(score, lowest.get((layer, head), score))
                # END BLANK
    # BEGIN BLANK
    found = [head for head, score in lowest.items() if score > threshold]
    # END BLANK
    return sorted(found, key=lowest.get, reverse=True)


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
    heads = find_induction_heads(model, batch=2)  # two of each period are enough here
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


def direct_logits(
    z: Float[Tensor, "batch pos d_head"],
    W_O: Float[Tensor, "d_head d_model"],
    scale: Float[Tensor, "batch pos 1"],
    W_U: Float[Tensor, "d_model d_vocab"],
    targets: Int[Tensor, "batch pos"],
) -> Float[Tensor, "batch pos"]:
    """What one head adds to the logit of each position's target token, on the direct path alone.

    z: the head's output before W_O; scale: what the final norm divides each position by; targets: a
    token for each position. What is written is taken to the logits, and the mean over the
    vocabulary is subtracted, because what raises all logits alike changes no probability.
    """
    # BEGIN BLANK
    logits = z @ W_O / scale @ W_U
    # END BLANK
    return logits.gather(-1, targets[..., None])[..., 0] - logits.mean(-1)


def effective_embedding(
    model, words: Int[Tensor, " word"], layer: int = 1
) -> Float[Tensor, "word d_model"]:
    """What the layers below `layer` make of a token that stands alone after BOS.

    words: tokens. Row i is the residual stream that enters `layer` at the second position of
    [BOS, words[i]]. With layer=0 nothing has been made of it yet.
    """
    bos = torch.full_like(words, bos_token(model))
    # BEGIN BLANK
    prompts = torch.stack([bos, words], dim=1)
    # END BLANK
    return model(prompts, stop_at_layer=layer)[:, 1]


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


def in_context_learning_score(
    loss: Float[Tensor, "*batch pos-1"], early: int = 50, late: int = 500, width: int = 1
) -> Float[Tensor, "*batch"]:
    """How much less a token costs late in the context than early, nats, for each sequence.

    The mean loss of the tokens late, ..., late + width - 1 minus the mean loss of the tokens early,
    ..., early + width - 1. Negative: the model predicts better with more context. Tokens are
    counted from the beginning of the sequence, BOS being token 0, so the loss of token i is entry
    i - 1. Raises ValueError where a sequence ends before the last of these tokens.
    """
    if loss.shape[-1] < max(early, late) + width - 1:
        raise ValueError("These sequences are too short: choose a smaller `late` or `width`.")
    # BEGIN BLANK
    at_late = loss[..., late - 1 : late - 1 + width].mean(-1)
    at_early = loss[..., early - 1 : early - 1 + width].mean(-1)
    # END BLANK
    return at_late - at_early


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
