"""Exercise `train_tuned_lens`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from circuits_course.checking import Exercise
from circuits_course.checking.compare import same
from circuits_course.checking.declaring import Case
from circuits_course.checks.c08_logit_lens.lens_kl import _kl_oracle
from circuits_course.checks.c08_logit_lens.shared import normed_model
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.circuits.lens import TunedLens, residual_states
from circuits_course.models.transformer import CourseTransformer

train_tuned_lens = Exercise(
    "train_tuned_lens",
    difficulty=4,
    importance=4,
    minutes=15,
    hints=[
        "log_p comes from the last state, log_q from the others after their maps: "
        "lens(states[:-1, places]).",
        "Both go through model.ln_final, then @ W_U + b_U of the shortlist, then log_softmax(-1).",
        "KL(final || lens) as in lens_kl: sum over the vocabulary, mean over the places, sum over "
        "the maps, so that each map gets its own whole gradient.",
    ],
)


@cache
def _text(model: CourseTransformer, seed: int) -> Tensor:
    """States of random sequences, [state, n, d_model]."""
    return residual_states(model, random_tokens(40, 9, seed=seed)).flatten(1, 2)


@train_tuned_lens.cases
def _training_cases() -> Iterator[Case]:
    for what, model, seed in (
        ("a model with norms and MLPs", normed_model(), 0),
        ("a model without norm", random_model(2, 3, seed=1), 1),
    ):
        yield Case(what, model, _text(model, seed), 60, 64, 0.02, seed)


def _maps(lens: Any) -> tuple[Tensor, Tensor]:
    weight, bias = (lens.weight, lens.bias) if hasattr(lens, "weight") else lens
    return weight.detach().float(), bias.detach().float()


def _through(lens: Any, states: Tensor) -> Tensor:
    weight, bias = _maps(lens)
    mapped = states[:-1] @ weight.mT + bias.view(len(weight), 1, -1)
    return torch.cat([mapped, states[-1:]])


def _held_out(model: Any, lens: Any | None, seed: int) -> Tensor:
    """KL(final || lens) of each map on sequences it was not trained on; the logit lens for None."""
    states = _text(model, seed + 1000)
    states = states if lens is None else _through(lens, states)
    return _kl_oracle(model.unembed(model.ln_final(states)))[:-1].mean(-1)


@train_tuned_lens.prop
def one_map_a_state(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    weight, bias = _maps(lens)
    n, d_model = len(states) - 1, states.shape[-1]
    wanted = [n, d_model, d_model], [n, d_model]
    if [list(weight.shape), list(bias.view(len(bias), -1).shape)] == [*wanted]:
        return None
    return (
        f"expected a matrix and a bias for each of the {n} states before the last, of shapes "
        f"{wanted[0]} and {wanted[1]}; got {list(weight.shape)} and {list(bias.shape)}"
    )


@train_tuned_lens.prop
def something_was_learned(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    weight, bias = _maps(lens)
    if not same(weight, torch.eye(weight.shape[-1]).expand_as(weight)) or bias.abs().max() > 1e-4:
        return None
    return "all maps are still the identity after the training"


@train_tuned_lens.prop
def matrices_move(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    weight = _maps(lens)[0]
    still = (weight - torch.eye(weight.shape[-1])).abs().amax((1, 2)) < 1e-4
    return f"the matrices of {int(still.sum())} maps did not move" if still.any() else None


@train_tuned_lens.prop
def biases_move(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    bias = _maps(lens)[1]
    still = bias.view(len(bias), -1).abs().amax(-1) < 1e-4
    return f"the biases of {int(still.sum())} maps did not move" if still.any() else None


@train_tuned_lens.trial
def starts_as_the_logit_lens(
    attempt: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    weight, bias = _maps(attempt(model, states, 0, batch, lr, seed))
    identity = torch.eye(weight.shape[-1]).expand_as(weight)
    if same(weight, identity) and bias.abs().max() < 1e-6:
        return None
    return "with steps=0 the maps are not the identity"


@train_tuned_lens.trial
def same_seed_same_lens(
    attempt: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    first, again = (_maps(attempt(model, states, 3, batch, lr, seed))[0] for _ in range(2))
    return None if same(first, again) else "the same seed gave another lens when called again"


@train_tuned_lens.prop
def does_not_get_worse(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    before, after = _held_out(model, None, seed).mean(), _held_out(model, lens, seed).mean()
    if after < 1.05 * before:
        return None
    return (
        f"on sequences it was not trained on, the lens is {after:.2f} nats from the final "
        f"prediction; the logit lens is {before:.2f}"
    )


@train_tuned_lens.prop
def reads_better(
    lens: Any, model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> str | None:
    before, after = _held_out(model, None, seed), _held_out(model, lens, seed)
    if (after < 0.9 * before).all():
        return None
    worst = int((after / before).argmax())
    return (
        f"on sequences it was not trained on, map {worst} gives {after[worst]:.2f} nats where the "
        f"logit lens gives {before[worst]:.2f}; a trained one gives clearly less"
    )


def _trained(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int | None, *,
    sign: float = 1.0, matrix: bool = True, offset: bool = True, identity: bool = True,
) -> TunedLens:  # fmt: skip
    """Full-vocabulary training, with one thing or another done wrongly."""
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    n, d_model = len(states) - 1, states.shape[-1]
    weight = torch.eye(d_model).repeat(n, 1, 1)
    if not identity:
        weight = 0.2 * torch.randn(n, d_model, d_model, generator=generator)
    bias = torch.zeros(n, 1, d_model)
    trained = [part for part, wanted in ((weight, matrix), (bias, offset)) if wanted]
    optimizer = torch.optim.Adam([part.requires_grad_() for part in trained], lr=lr)
    for _ in range(steps):
        places = torch.randint(states.shape[1], (batch,), generator=generator)
        with torch.enable_grad():
            mapped = states[:-1, places] @ weight.mT + bias
            both = torch.cat([mapped, states[-1:, places]])
            log_q = model.unembed(model.ln_final(both)).log_softmax(-1)
            kl = F.kl_div(log_q[:-1], log_q[-1:].expand_as(log_q[:-1]), reduction="none",
                          log_target=True).sum(-1)  # fmt: skip
            optimizer.zero_grad()
            (sign * kl.mean(-1).sum()).backward()
        optimizer.step()
    return TunedLens(weight.detach(), bias.detach()[:, 0])


@train_tuned_lens.wrong(
    "there is one map for all states. Each layer has a basis of its own, so each state needs its "
    "own map."
)
def one_for_all(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    lens = _trained(model, states[[0, -1]], steps, batch, lr, seed)
    return TunedLens(lens.weight, lens.bias)


@train_tuned_lens.wrong(
    "gradients are switched off here. Compute the loss in a block that begins with "
    "`with torch.enable_grad():`"
)
def without_gradients(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    with torch.no_grad():
        lens = TunedLens.identity(len(states) - 1, states.shape[-1])
        (model.ln_final(lens(states[:-1])) @ model.W_U).log_softmax(-1).sum().backward()
    return lens


@train_tuned_lens.wrong(
    "nothing was trained. Is `loss.backward()` followed by `optimizer.step()`, and does the loss "
    "depend on the lens?"
)
def never_stepped(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    return _trained(model, states, 0, batch, lr, seed)


@train_tuned_lens.wrong("only biases were trained. An affine map has a matrix too.")
def bias_only(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    return _trained(model, states, steps, batch, lr, seed, matrix=False)


@train_tuned_lens.wrong(
    "the biases stayed at zero. The offset between a state and the last one is much of what a lens "
    "has to learn."
)
def no_bias(model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int) -> TunedLens:
    return _trained(model, states, steps, batch, lr, seed, offset=False)


@train_tuned_lens.wrong(
    "the maps do not start as the identity. Start from the logit lens, so that what training adds "
    "is what the logit lens lacks."
)
def random_start(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    return _trained(model, states, steps, batch, lr, seed, identity=False)


@train_tuned_lens.wrong(
    "the places are drawn without the seed. Give `generator` to every function that draws."
)
def seed_ignored(
    model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    return _trained(model, states, steps, batch, lr, None)


@train_tuned_lens.wrong(
    "the divergence grew: is its sign turned round? An optimizer makes the loss smaller."
)
def uphill(model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int) -> TunedLens:
    return _trained(model, states, steps, batch, lr, seed, sign=-1.0)


@train_tuned_lens.wrong(
    "the lens learned little. Run all `steps`, with `lr` as the learning rate, and sum the loss "
    "over the maps and the vocabulary (a mean makes every gradient tiny)."
)
def one_step(model: Any, states: Tensor, steps: int, batch: int, lr: float, seed: int) -> TunedLens:
    return _trained(model, states, min(steps, 1), batch, lr, seed)
