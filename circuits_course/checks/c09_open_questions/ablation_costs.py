"""Exercise `ablation_costs`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.c09_open_questions.shared import (
    Loss,
    by_position,
    costs_by_head,
    drawn,
    loss_by_half,
    repeats,
    zeros,
)
from circuits_course.checks.inputs import matching_model, random_model
from circuits_course.checks.slips import slip

ablation_costs = Exercise(
    "ablation_costs",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "One head at a time: replace its z by z's mean, ask for the losses, compare with the "
        "losses of the whole model.",
        "z is [batch, pos, head, d_head]. The mean over sequences and positions of one head's z is "
        "one vector: z[:, :, head].mean((0, 1)). Work on a copy.",
        "Inside `with model.hooks(...)`: loss(model, tokens) - whole, which is [job], belongs into "
        "costs[:, layer, head].",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


def loss_by_third(model: Any, tokens: Tensor) -> Tensor:
    """Next-token loss in the beginning, in the middle and at the end, nats."""
    log_probs = model(tokens)[:, :-1].log_softmax(-1)
    loss = -log_probs.gather(-1, tokens[:, 1:, None])[..., 0]
    return torch.stack([part.mean() for part in loss.chunk(3, dim=1)])


def loss_at_the_end(model: Any, tokens: Tensor) -> Tensor:
    """What token 1 costs after the last position, nats, as one job."""
    return -model(tokens)[:, -1].log_softmax(-1)[:, 1].mean()[None]


@ablation_costs.cases
def _cost_cases() -> Iterator[Case]:
    made = matching_model(
        ((("even", 0.0), ("duplicate", 12.0)), (("induction", 12.0), ("even", 0.0)))
    )
    yield Case("a model in which only 1.0 writes, and matters only in the second half",
               made, repeats(made), loss_by_half)  # fmt: skip
    yield Case("a random model, two jobs", random_model(), drawn(3, 9), loss_by_half)
    yield Case("a random model of two layers, three jobs", random_model(2, 5, seed=3),
               drawn(2, 11, 4), loss_by_third)  # fmt: skip
    yield Case("a loss that is read at the last position", random_model(2, 3, seed=7),
               drawn(3, 6, 8), loss_at_the_end)  # fmt: skip


@ablation_costs.oracle
def _cost_oracle(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return costs_by_head(model, tokens, loss)


@ablation_costs.trial
def _left_as_it_was(
    attempt: Callable[..., Any], model: Any, tokens: Tensor, loss: Loss
) -> str | None:
    before = model(tokens)
    attempt(model, tokens, loss)
    if torch.equal(model(tokens), before):
        return None
    model.reset_hooks(including_permanent=True)
    return (
        "after your function the model gives other logits than before. A hook of yours stays on; "
        "`with model.hooks(...)` takes it off again"
    )


@ablation_costs.wrong(
    "the sign is turned: a cost is the loss without the head minus the whole one."
)
def costs_negated(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return -costs_by_head(model, tokens, loss)


@ablation_costs.wrong(
    "you set z to zero. That also takes away what the head always writes; replace z by its mean."
)
def costs_zeroed(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return costs_by_head(model, tokens, loss, mean=zeros)


@ablation_costs.wrong(
    "you kept a mean for every position. One mean, over all sequences and positions: otherwise a "
    "head that acts by position would look idle."
)
def costs_by_position(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return costs_by_head(model, tokens, loss, mean=by_position)


@ablation_costs.wrong(
    "you kept a mean for every sequence. One mean, over all sequences and positions: a head must "
    "not be told which sequence it is in."
)
def costs_by_sequence(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return costs_by_head(model, tokens, loss, mean=lambda z: z.mean(1, keepdim=True))


@ablation_costs.wrong("these are losses, not costs: take away the loss of the whole model.")
def losses(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return costs_by_head(model, tokens, loss) + loss(model, tokens)[:, None, None]


@ablation_costs.wrong(
    "all heads of a layer went together, so its heads all cost the same. Replace z[:, :, head], "
    "one head at a time."
)
def costs_of_layers(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return costs_by_head(
        model,
        tokens,
        loss,
        gone=lambda layer, _: tuple((layer, h) for h in range(model.cfg.n_heads)),
    )


@ablation_costs.wrong(
    "the heads pile up: each stays ablated while the next ones are tried. Take every hook off "
    "before the next head."
)
def costs_pile_up(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    n_heads = model.cfg.n_heads
    return costs_by_head(
        model,
        tokens,
        loss,
        gone=lambda layer, head: tuple(
            divmod(i, n_heads) for i in range(layer * n_heads + head + 1)
        ),
    )


@ablation_costs.wrong("every job has the same cost: you averaged the loss over the jobs.")
def costs_averaged(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    costs = costs_by_head(model, tokens, loss)
    return costs.mean(0, keepdim=True).expand_as(costs)


@ablation_costs.wrong("the job axis comes first: [job, layer, head].")
def jobs_last(model: Any, tokens: Tensor, loss: Loss) -> Tensor:
    return costs_by_head(model, tokens, loss).permute(1, 2, 0)


slip(
    ablation_costs,
    "position_ablated",
    "z[:, head] is a position. Heads are axis 2: z[:, :, head].",
    ("z[:, :, head] = z[:, :, head].mean((0, 1))", "z[:, head] = z[:, head].mean((0, 1))"),
)


slip(
    ablation_costs,
    "always_the_last_head",
    "every run ablates the layer's last head: a function made in a loop sees the last value of "
    "the loop's variable. Hand it over: head=head.",
    ("hook, head=head", "hook, head=model.cfg.n_heads - 1"),
)


slip(
    ablation_costs,
    "ratios",
    "the losses were divided. A cost is a difference, in nats.",
    (
        "costs[:, layer, head] = loss(model, tokens) - whole",
        "costs[:, layer, head] = loss(model, tokens) / whole",
    ),
)


slip(
    ablation_costs,
    "one_number_for_z",
    "the mean runs over d_head as well, so that one number is left. Average over sequences "
    "and positions alone.",
    ("z[:, :, head] = z[:, :, head].mean((0, 1))", "z[:, :, head] = z[:, :, head].mean()"),
)


slip(
    ablation_costs,
    "another_sequence",
    "each sequence got the head's output on another one. That is resampling; put its mean in.",
    ("z[:, :, head] = z[:, :, head].mean((0, 1))", "z[:, :, head] = z[:, :, head].roll(1, 0)"),
)


slip(
    ablation_costs,
    "sizes_of_costs",
    "the signs are lost. A job may go better without a head: its cost is negative.",
    (
        "costs[:, layer, head] = loss(model, tokens) - whole",
        "costs[:, layer, head] = (loss(model, tokens) - whole).abs()",
    ),
)


slip(
    ablation_costs,
    "relative_costs",
    "the costs were divided by the whole loss. Keep nats.",
    (
        "costs[:, layer, head] = loss(model, tokens) - whole",
        "costs[:, layer, head] = (loss(model, tokens) - whole) / whole",
    ),
)


slip(
    ablation_costs,
    "medians",
    "the median was put in the head's place. Its mean is asked for.",
    (
        "z[:, :, head] = z[:, :, head].mean((0, 1))",
        "z[:, :, head] = z[:, :, head].flatten(0, 1).median(0).values",
    ),
)


slip(
    ablation_costs,
    "shares_of_all_costs",
    "each cost was divided by the sum of all. Keep nats.",
    ("return costs", "return costs / costs.sum((1, 2), keepdim=True)"),
)


slip(
    ablation_costs,
    "mean_at_the_end_only",
    "the mean was put in at the last position alone. Replace z at all of them.",
    ("z[:, :, head] = z[:, :, head].mean((0, 1))", "z[:, -1, head] = z[:, :, head].mean((0, 1))"),
)


slip(
    ablation_costs,
    "mean_of_all_heads",
    "the mean was taken over the heads as well. Each head has its own.",
    ("z[:, :, head] = z[:, :, head].mean((0, 1))", "z[:, :, head] = z.mean((0, 1, 2))"),
)


slip(
    ablation_costs,
    "layers_and_heads_exchanged",
    "the cost of head h in layer l stands under another layer: costs[:, layer, head], and "
    "the hook in that same layer.",
    ('get_act_name("z", layer)', 'get_act_name("z", model.cfg.n_layers - 1 - layer)'),
)


slip(
    ablation_costs,
    "first_position_spared",
    "the first position kept its own z. Replace it everywhere.",
    ("z[:, :, head] = z[:, :, head].mean((0, 1))", "z[:, 1:, head] = z[:, :, head].mean((0, 1))"),
)


slip(
    ablation_costs,
    "mean_without_the_first_position",
    "the first position was left out of the mean. It runs over all positions.",
    ("z[:, :, head] = z[:, :, head].mean((0, 1))", "z[:, :, head] = z[:, 1:, head].mean((0, 1))"),
)
