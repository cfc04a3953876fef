"""Right answers to `importance`, written in other ways than the reference."""

import torch

from circuits_course.circuits import Ablation, ablate

from .shared import _all, _kl


def importance_by_sets(model, tokens, circuit, head, mode="mean"):
    ablation, everything, circuit = Ablation(model, tokens, mode), set(_all(model)), set(circuit)
    scale = _kl(model(tokens), ablation.logits(everything))
    best = torch.tensor(0.0)
    for gone in [set(), *({other} for other in circuit - {head})]:
        kept = circuit - gone
        a, b = (ablation.logits(everything - left) for left in (kept, kept - {head}))
        best = torch.maximum(best, _kl(a, b) / scale)
    return best


def importance_with_the_head_itself_too(model, tokens, circuit, head, mode="mean"):
    """Knocking the head out of both changes nothing, so that K does no harm."""
    outside = [other for other in _all(model) if other not in circuit]
    clean, nothing = (ablate(model, tokens, gone, mode=mode) for gone in ([], _all(model)))
    values = [
        _kl(
            ablate(model, tokens, [*outside, *extra], mode=mode),
            ablate(model, tokens, [*outside, *extra, head], mode=mode),
        )
        for extra in ([], *[[other] for other in circuit])
    ]
    return float(max(values) / _kl(clean, nothing))


RIGHT = [importance_by_sets, importance_with_the_head_itself_too]
