"""Exercise `train_tuned_lens`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance, same
from circuits_course.checking.declaring import Case
from circuits_course.checks.c08_logit_lens.shared import (
    held_out,
    maps_of,
    normed_model,
    random_states,
    through_lens,
    trained_lens,
    within_reach,
)
from circuits_course.checks.inputs import random_model
from circuits_course.checks.slips import slip
from circuits_course.circuits.lens import TunedLens

LOSS = "loss = (log_p.exp() * (log_p - log_q)).sum(-1).mean(-1).sum()"

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
    tolerance=Tolerance(atol=0.05, rtol=0.02),  # of log-probabilities after the same draws
)


@train_tuned_lens.cases
def _training_cases() -> Iterator[Case]:
    model = normed_model()
    states = random_states(model, 0)
    start = TunedLens.identity(len(states) - 1, states.shape[-1])
    yield Case(
        "a model with norms and MLPs, from the identity", model, states, start, 60, 64, 0.02, 0
    )
    model = random_model(2, 3, seed=1)
    states = random_states(model, 1)
    yield Case("a model without norm, from a shift", model, states, _shift(states), 60, 64, 0.02, 1)


def _shift(states: Tensor) -> TunedLens:
    mean = states.mean(1)
    return TunedLens(TunedLens.identity(*mean[1:].shape).weight, mean[-1] - mean[:-1])


@train_tuned_lens.observe
def _what_was_learned(lens: Any, model: Any, states: Tensor, start: Any, *rest: Any) -> Tensor:
    """What each map makes of states that it was not trained on."""
    assert len(maps_of(lens)[0]) == len(states) - 1, "a map for each state"
    states = random_states(model, rest[-1] + 1000)[:, ::40]
    return model.unembed(model.ln_final(through_lens(lens, states)[:-1])).log_softmax(-1)


@train_tuned_lens.prop
def one_map_a_state(lens: Any, model: Any, states: Tensor, start: TunedLens, *_: Any) -> str | None:
    weight, bias = maps_of(lens)
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
    lens: Any, model: Any, states: Tensor, start: TunedLens, *_: Any
) -> str | None:
    weight, bias = maps_of(lens)
    if not same(weight, start.weight) or not same(bias.view_as(start.bias), start.bias):
        return None
    return "all maps are still those of `start` after the training"


@train_tuned_lens.prop
def matrices_move(lens: Any, model: Any, states: Tensor, start: TunedLens, *_: Any) -> str | None:
    still = (maps_of(lens)[0] - start.weight).abs().amax((1, 2)) < 1e-4
    return f"the matrices of {int(still.sum())} maps did not move" if still.any() else None


@train_tuned_lens.prop
def biases_move(lens: Any, model: Any, states: Tensor, start: TunedLens, *_: Any) -> str | None:
    still = (maps_of(lens)[1].view_as(start.bias) - start.bias).abs().amax(-1) < 1e-4
    return f"the biases of {int(still.sum())} maps did not move" if still.any() else None


@train_tuned_lens.trial
def begins_at_the_start(
    attempt: Any, model: Any, states: Tensor, start: TunedLens, steps: int, batch: int, lr: float,
    seed: int,
) -> str | None:  # fmt: skip
    weight, bias = maps_of(attempt(model, states, start, 0, batch, lr, seed))
    if same(weight, start.weight) and same(bias.view_as(start.bias), start.bias):
        return None
    return "with steps=0 the maps are not those of `start`"


@train_tuned_lens.trial
def same_seed_same_lens(
    attempt: Any, model: Any, states: Tensor, start: TunedLens, steps: int, batch: int, lr: float,
    seed: int,
) -> str | None:  # fmt: skip
    first, again = (maps_of(attempt(model, states, start, 3, batch, lr, seed))[0] for _ in range(2))
    return None if same(first, again) else "the same seed gave another lens when called again"


@train_tuned_lens.prop
def does_not_get_worse(
    lens: Any, model: Any, states: Tensor, start: TunedLens, steps: int, batch: int, lr: float,
    seed: int,
) -> str | None:  # fmt: skip
    before, after = held_out(model, None, seed).mean(), held_out(model, lens, seed).mean()
    if after < 1.05 * before:
        return None
    return (
        f"on sequences it was not trained on, the lens is {after:.2f} nats from the final "
        f"prediction; the logit lens is {before:.2f}"
    )


@train_tuned_lens.prop
def reads_better(
    lens: Any, model: Any, states: Tensor, start: TunedLens, steps: int, batch: int, lr: float,
    seed: int,
) -> str | None:  # fmt: skip
    before, after = held_out(model, None, seed), held_out(model, lens, seed)
    enough = torch.minimum(0.9 * before, before - 0.6 * (before - within_reach(model, seed)))
    if (after < enough).all():
        return None
    worst = int((after / enough).argmax())
    return (
        f"on sequences it was not trained on, map {worst} gives {after[worst]:.2f} nats where the "
        f"logit lens gives {before[worst]:.2f}; a trained one gives clearly less"
    )


@train_tuned_lens.wrong(
    "there is one map for all states. Each layer has a basis of its own, so each state needs its "
    "own map."
)
def one_for_all(
    model: Any, states: Tensor, start: TunedLens, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    first = TunedLens(start.weight[:1], start.bias[:1])
    lens = trained_lens(model, states[[0, -1]], first, steps, batch, lr, seed)
    return TunedLens(lens.weight, lens.bias)


@train_tuned_lens.wrong(
    "gradients are switched off here. Compute the loss in a block that begins with "
    "`with torch.enable_grad():`"
)
def without_gradients(
    model: Any, states: Tensor, start: TunedLens, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    with torch.no_grad():
        (model.ln_final(start(states[:-1])) @ model.W_U).log_softmax(-1).sum().backward()
    return start


slip(
    train_tuned_lens,
    "its_own_target",
    "each state is trained to agree with itself. The target is the last state's prediction, "
    "states[-1:].",
    ("states[-1:, places]", "states[:-1, places]"),
)


slip(
    train_tuned_lens,
    "start_not_copied",
    "training changed the maps of `start`. Begin from copies: start.weight.clone().",
    ("start.weight.clone(), start.bias.clone()", "start.weight, start.bias"),
)


slip(
    train_tuned_lens,
    "divergence_exchanged",
    "the divergence runs the other way: weigh with the *final* distribution, log_p.exp().",
    (LOSS, "loss = (log_q.exp() * (log_q - log_p)).sum(-1).mean(-1).sum()"),
)


slip(
    train_tuned_lens,
    "no_norm_in_the_lens",
    "the lens goes to the unembedding without the final norm: model.ln_final(lens(...)).",
    (
        "log_q = (model.ln_final(lens(states[:-1, places])) @ W_U + b_U).log_softmax(-1)",
        "log_q = (lens(states[:-1, places]) @ W_U + b_U).log_softmax(-1)",
    ),
)


slip(
    train_tuned_lens,
    "no_norm_at_all",
    "the final norm is missing on both sides: model.ln_final(...) before @ W_U.",
    (
        "log_q = (model.ln_final(lens(states[:-1, places])) @ W_U + b_U).log_softmax(-1)",
        "log_q = (lens(states[:-1, places]) @ W_U + b_U).log_softmax(-1)",
    ),
    (
        "log_p = (model.ln_final(states[-1:, places]) @ W_U + b_U).log_softmax(-1)",
        "log_p = (states[-1:, places] @ W_U + b_U).log_softmax(-1)",
    ),
)


slip(
    train_tuned_lens,
    "squared_differences",
    "squared differences of log-probabilities were made small, by which unlikely tokens "
    "count as much as the answer. The loss is the divergence: weigh with log_p.exp().",
    (LOSS, "loss = (log_p - log_q).pow(2).sum(-1).mean(-1).sum()"),
)


slip(
    train_tuned_lens,
    "states_made_alike",
    "the lens was trained to give the final *state*. It should give the final prediction: "
    "compare distributions, after norm and unembedding.",
    (
        LOSS,
        "loss = (lens(states[:-1, places]) - states[-1:, places]).pow(2).sum(-1).mean(-1).sum()",
    ),
)


slip(
    train_tuned_lens,
    "target_of_other_places",
    "the target was read at other places than the states. Both come from `places`.",
    ("states[-1:, places]", "states[-1:, :batch]"),
)


slip(
    train_tuned_lens,
    "next_state_as_target",
    "each map was trained to give the *next* state's prediction. The target is the last "
    "one's: states[-1:].",
    ("states[-1:, places]", "states[1:, places]"),
)


slip(
    train_tuned_lens,
    "last_map_only",
    "only the last map was trained. Sum the loss over all maps.",
    (LOSS, "loss = (log_p.exp() * (log_p - log_q)).sum(-1).mean(-1)[-1]"),
)


slip(
    train_tuned_lens,
    "never_stepped",
    "nothing was trained. Is `loss.backward()` followed by `optimizer.step()`, and does the loss "
    "depend on the lens?",
    ("        optimizer.step()\n", ""),
)


slip(
    train_tuned_lens,
    "bias_only",
    "only biases were trained. An affine map has a matrix too.",
    ("[lens.weight.requires_grad_(), lens.bias.requires_grad_()]", "[lens.bias.requires_grad_()]"),
)


slip(
    train_tuned_lens,
    "no_bias",
    "the biases stayed as they were. The offset between a state and the last is much of what a "
    "lens has to learn.",
    (
        "[lens.weight.requires_grad_(), lens.bias.requires_grad_()]",
        "[lens.weight.requires_grad_()]",
    ),
)


slip(
    train_tuned_lens,
    "random_start",
    "the maps do not begin as those of `start`, but at random. Begin with a copy of `start`, so "
    "that what training adds is what `start` lacks.",
    (
        "start.weight.clone(), start.bias.clone()",
        "0.2 * torch.randn(start.weight.shape, generator=generator), 0 * start.bias",
    ),
)


slip(
    train_tuned_lens,
    "ignores_the_start",
    "training begins with the identity, whatever `start` is. Begin with a copy of `start`: in the "
    "notebook that will be a better lens.",
    (
        "lens = TunedLens(start.weight.clone(), start.bias.clone())",
        "lens = TunedLens.identity(len(states) - 1, states.shape[-1])",
    ),
)


slip(
    train_tuned_lens,
    "seed_ignored",
    "the places are drawn without the seed. Give `generator` to every function that draws.",
    ("(batch,), generator=generator", "(batch,)"),
)


slip(
    train_tuned_lens,
    "uphill",
    "the divergence grew: is its sign turned round? An optimizer makes the loss smaller.",
    ("loss.backward()", "(-loss).backward()"),
)


slip(
    train_tuned_lens,
    "one_step",
    "the lens learned little. Run all `steps`, with `lr` as the learning rate, and sum the loss "
    "over the maps and the vocabulary (a mean makes every gradient tiny).",
    ("for step in range(steps):", "for step in range(min(steps, 1)):"),
)


slip(
    train_tuned_lens,
    "no_norm_in_the_target",
    "the final norm is missing in the target: model.ln_final(states[-1:, places]).",
    ("model.ln_final(states[-1:, places])", "states[-1:, places]"),
)


slip(
    train_tuned_lens,
    "top_token_as_target",
    "the lens was trained on the final top token alone. The target is the whole distribution: "
    "weigh with log_p.exp().",
    (
        LOSS,
        "top = log_p.argmax(-1, keepdim=True).expand(len(log_q), -1, -1)\n"
        "            loss = -log_q.gather(-1, top)[..., 0].mean(-1).sum()",
    ),
)


slip(
    train_tuned_lens,
    "not_weighted",
    "differences of log-probabilities were added up as they are: the sum has no least value. "
    "Weigh each with log_p.exp().",
    ("(log_p.exp() * (log_p - log_q))", "(log_p - log_q)"),
)


slip(
    train_tuned_lens,
    "logits_made_alike",
    "logits were compared, of which a constant may be added without a change. Compare "
    "log-probabilities: log_softmax(-1) on both.",
    ("+ b_U).log_softmax(-1)", "+ b_U)"),
    ("(log_p.exp() * (log_p - log_q))", "(log_p - log_q).pow(2)"),
)


slip(
    train_tuned_lens,
    "map_of_the_target_too",
    "the last map went over the target as well. The final state has no map: it is the answer.",
    ("model.ln_final(states[-1:, places])", "model.ln_final(lens(states[1:, places])[-1:])"),
)
