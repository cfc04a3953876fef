"""Right answers to `incompleteness`, written in other ways than the reference."""

from circuits_course.circuits import Ablation, ablate

from .shared import _all, _kl


def incompleteness_by_sets(model, tokens, circuit, knocked_out, mode="mean"):
    ablation, everything = Ablation(model, tokens, mode), set(_all(model))
    left = set(circuit) - set(knocked_out)
    model_side, circuit_side = ablation.logits(knocked_out), ablation.logits(everything - left)
    return _kl(model_side, circuit_side) / _kl(model(tokens), ablation.logits(everything))


def incompleteness_one_call_each(model, tokens, circuit, knocked_out, mode="mean"):
    outside = [head for head in _all(model) if head not in circuit]
    runs = [
        ablate(model, tokens, heads, mode=mode)
        for heads in ([], _all(model), knocked_out, outside + list(knocked_out))
    ]
    clean, nothing, model_without, circuit_without = runs
    return (_kl(model_without, circuit_without) / _kl(clean, nothing)).item()


RIGHT = [incompleteness_by_sets, incompleteness_one_call_each]
