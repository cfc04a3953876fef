"""Right answers to `faithfulness`, written in other ways than the reference."""

from circuits_course.circuits import Ablation, ablate

from .shared import _all, _kl


def faithfulness_by_sets(model, tokens, circuit, mode="mean"):
    ablation, everything = Ablation(model, tokens, mode), set(_all(model))
    clean = model(tokens)
    lost = _kl(clean, ablation.logits(everything - set(circuit)))
    return 1.0 - lost / _kl(clean, ablation.logits(everything))


def faithfulness_as_what_is_won(model, tokens, circuit, mode="mean"):
    clean = model(tokens)
    nothing = _kl(clean, ablate(model, tokens, _all(model), mode=mode)).item()
    outside = [head for head in _all(model) if head not in circuit]
    alone = _kl(clean, ablate(model, tokens, outside, mode=mode)).item()
    return (nothing - alone) / nothing


RIGHT = [faithfulness_by_sets, faithfulness_as_what_is_won]
