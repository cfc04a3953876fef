"""Reference answers of chapter 10, Mystery circuits."""

from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits_course.circuits import Ablation, Head, path_patch
from circuits_course.mystery import Claim


def divergence(
    logits: Float[Tensor, "batch pos d_vocab"], other: Float[Tensor, "batch pos d_vocab"]
) -> Float[Tensor, ""]:
    """Mean KL divergence in nats: how far the predictions of `other` are from those of `logits`.

    The mean is over batch and positions. 0 where both predict the same.
    """
    log_p, log_q = logits.log_softmax(-1), other.log_softmax(-1)
    # BEGIN BLANK
    per_position = (log_p.exp() * (log_p - log_q)).sum(-1)
    # END BLANK
    return per_position.mean()


def share_on(
    pattern: Float[Tensor, "batch head q k"], targets: Bool[Tensor, "batch q k"]
) -> Float[Tensor, " head"]:
    """Of each head's attention that does not rest on BOS (k = 0), the share that goes to targets.

    Attention is summed over batch and queries first, and divided then. 0 for a head that leaves BOS
    with less than 2 % of its attention.
    """
    away = pattern[..., 1:]
    # BEGIN BLANK
    on_targets = (away * targets[:, None, :, 1:]).sum(dim=(0, 2, 3))
    # END BLANK
    total = away.sum(dim=(0, 2, 3))
    active = total >= 0.02 * pattern.sum(dim=(0, 2, 3))
    return torch.where(active, on_targets / total.clamp_min(1e-9), 0.0)


def single_effects(
    model, tokens: Int[Tensor, "batch pos"], mode: str
) -> Float[Tensor, "layer head"]:
    """How far the model's predictions move, in nats, when one head is ablated; for every head.

    mode: "mean", "resample" or "zero", as `Ablation` takes it.
    """
    ablation = Ablation(model, tokens, mode)
    logits = model(tokens)
    effects = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    # BEGIN BLANK
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            effects[layer, head] = divergence(logits, ablation.logits([(layer, head)]))
    # END BLANK
    return effects


def faithfulness(
    model, tokens: Int[Tensor, "batch pos"], circuit: list[Head], mode: str = "mean"
) -> float:
    """How much of the model's predictions a circuit gives alone: 1 all, 0 no more than nothing.

    1 - D(circuit) / D(nothing), where D is the divergence from the model's own predictions with
    every head outside the circuit ablated, and "nothing" is the circuit without heads.
    """
    ablation = Ablation(model, tokens, mode)
    heads = [(la, h) for la in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]
    logits = model(tokens)
    # BEGIN BLANK
    outside = [head for head in heads if head not in circuit]
    alone = divergence(logits, ablation.logits(outside))
    nothing = divergence(logits, ablation.logits(heads))
    # END BLANK
    return 1 - float(alone / nothing)


def incompleteness(
    model,
    tokens: Int[Tensor, "batch pos"],
    circuit: list[Head],
    knocked_out: list[Head],
    mode: str = "mean",
) -> float:
    """How differently model and circuit behave when the same heads are knocked out of both.

    The divergence of the circuit without `knocked_out` (everything outside ablated too) from the
    model without `knocked_out`, over that of nothing (all heads ablated) from the model.
    """
    ablation = Ablation(model, tokens, mode)
    heads = [(la, h) for la in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]
    nothing = divergence(model(tokens), ablation.logits(heads))
    # BEGIN BLANK
    gone = [head for head in heads if head not in circuit or head in knocked_out]
    model_without, circuit_without = ablation.logits(knocked_out), ablation.logits(gone)
    # END BLANK
    return float(divergence(model_without, circuit_without) / nothing)


def importance(
    model, tokens: Int[Tensor, "batch pos"], circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    """The most that a head of a circuit ever matters there, alone or with one other head gone.

    For K = no head and K = each other head of the circuit: how far the predictions of the circuit
    without K move when `head` goes too, over the divergence of nothing from the model. The largest.
    """
    ablation = Ablation(model, tokens, mode)
    heads = [(la, h) for la in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]
    nothing = divergence(model(tokens), ablation.logits(heads))
    outside = [other for other in heads if other not in circuit]
    effects = []
    for knocked_out in [[], *([other] for other in circuit if other != head)]:
        with_head = ablation.logits([*outside, *knocked_out])
        without_head = ablation.logits([*outside, *knocked_out, head])
        effects.append(float(divergence(with_head, without_head) / nothing))
    return max(effects)


def smallest_cuts(
    model, tokens: Int[Tensor, "batch pos"], share: float, mode: str = "mean"
) -> list[tuple[Head, ...]]:
    """The smallest sets of heads without which at least `share` of the whole effect is lost.

    A set's loss is how far the model's predictions move when all its heads are ablated, over the
    divergence of nothing (all heads ablated) from the model. All sets of one head are tried first,
    then all of two, and so on; every set of the first size at which any reaches `share` is
    returned. Heads of a set in order, and sets in order.
    """
    ablation = Ablation(model, tokens, mode)
    heads = [(la, h) for la in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]
    logits = model(tokens)
    nothing = divergence(logits, ablation.logits(heads))
    cuts: list[tuple[Head, ...]] = []
    # BEGIN BLANK
    for size in range(1, len(heads) + 1):
        sets = list(combinations(heads, size))
        cuts = [s for s in sets if divergence(logits, ablation.logits(s)) >= share * nothing]
        if cuts:
            break
    # END BLANK
    return cuts


def edge_effect(
    model,
    tokens: Int[Tensor, "batch pos"],
    sender: Head,
    receiver: tuple[int, int, str] | str,
) -> float:
    """How far predictions move when `receiver` hears what `sender` says on another prompt.

    The other prompt of row i is row i - 1 (row 0 takes the last). By path patching, everything else
    held still. Over the divergence of the other prompts' predictions from these. receiver: (layer,
    head, "q" | "k" | "v") of a later layer, or "logits".
    """
    other = tokens.roll(1, dims=0)
    logits = model(tokens)
    moved = path_patch(model, tokens, other, sender, receiver, lambda new: divergence(logits, new))
    return float(moved / divergence(logits, model(other)))


def claim_agate() -> Claim:
    """Your claim about agate: the heads that matter, their edges, the algorithm, predictions."""

    def predict(symbols: list[str]) -> str:
        """The next symbol; `symbols` are those read so far, the last one last, BOS left out."""
        # BEGIN BLANK
        return symbols[-2]
        # END BLANK

    # BEGIN BLANK
    heads = {"previous token": [(0, 2)]}
    edges = [((0, 2), "logits")]
    algorithm = "previous token"
    # END BLANK
    return Claim("agate", heads, edges, algorithm, predict)
