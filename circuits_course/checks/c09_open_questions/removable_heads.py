"""Exercise `removable_heads`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.c09_open_questions.shared import (
    Gone,
    Loss,
    ablated,
    costs_by_head,
    drawn,
    loss_by_half,
    over_all,
    repeats,
    zeros,
)
from circuits_course.checks.inputs import matching_model, random_model
from circuits_course.checks.slips import slip

removable_heads = Exercise(
    "removable_heads",
    difficulty=4,
    importance=4,
    minutes=15,
    hints=[
        "Order first: costs.mean(0) is each head's mean cost over the jobs; flatten it, argsort "
        "it, and turn each index back into (layer, head).",
        "Then a list `gone` that grows. The hook for layer l replaces the z of every head of l "
        "that is in `gone`; all layers need that hook in the same run.",
        "After each new head compare loss(model, tokens).mean() with the whole model's mean. If it "
        "rose by more than `allowed`, take the head back out and stop.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


def distance_from_itself(model: Any, tokens: Tensor, unwanted: float = 0.0) -> Loss:
    """Cross-entropy with what the whole model says, nats, in both halves: it can only get worse.

    unwanted: how much the logit of token 3 is worth besides; heads that raise it do harm.
    """
    whole = model(tokens).softmax(-1)

    def loss(model: Any, tokens: Tensor) -> Tensor:
        logits = model(tokens)
        entropy = -(whole * logits.log_softmax(-1)).sum(-1) + unwanted * logits[..., 3]
        return torch.stack([half.mean() for half in entropy.chunk(2, dim=1)])

    return loss


@removable_heads.cases
def _removable_cases() -> Iterator[Case]:
    made = matching_model(
        ((("even", 0.0), ("duplicate", 12.0)), (("induction", 12.0), ("even", 0.0)))
    )
    yield Case("a model in which only 1.0 writes", made, repeats(made), loss_by_half, 0.05)
    yield Case("the same model, nothing allowed", made, repeats(made), loss_by_half, 0.0)
    model, tokens = random_model(2, 3, seed=31), drawn(2, 7, 31, 30)
    loss = distance_from_itself(model, tokens)
    yield Case("a model in which every position and sequence counts", model, tokens, loss, 1.5)
    # Seeds with which every wrong answer shows, and no decision is a close one.
    for seed, allowed in ((17, 4.5), (15, 4.5), (1, 3.0)):
        model, tokens = random_model(3, 4, seed=seed), drawn(3, 9, seed, 30)
        loss = distance_from_itself(model, tokens)
        yield Case(f"a random model, {allowed} nats allowed", model, tokens, loss, allowed)
    for seed in (31, 54):
        model, tokens = random_model(3, 3, seed=seed), drawn(3, 8, seed, 30)
        loss = distance_from_itself(model, tokens, unwanted=1.0)
        yield Case("a model that is better off without some heads", model, tokens, loss, 1.0)


def _rise(model: Any, tokens: Tensor, loss: Loss, gone: Gone, mean: Any = over_all) -> float:
    with ablated(model, gone, mean):
        after = loss(model, tokens).mean().item()
    return after - loss(model, tokens).mean().item()


def _removed(
    model: Any,
    tokens: Tensor,
    loss: Loss,
    allowed: float,
    *,
    order: list[tuple[int, int]] | None = None,
    mean: Any = over_all,
    rise: Callable[[Gone], float] | None = None,
    skip: bool = False,
) -> list[tuple[int, int]]:
    order = _order(model, tokens, loss) if order is None else order
    rise = rise or (lambda gone: _rise(model, tokens, loss, gone, mean))
    gone: list[tuple[int, int]] = []
    for head in order:
        if rise((*gone, head)) <= allowed:
            gone.append(head)
        elif not skip:
            break
    return gone


def _order(
    model: Any, tokens: Tensor, loss: Loss, key: Callable[[Tensor], Tensor] = lambda c: c.mean(0)
) -> list[tuple[int, int]]:
    costs = key(costs_by_head(model, tokens, loss)).flatten().tolist()
    n_heads = model.cfg.n_heads
    return [divmod(i, n_heads) for i in sorted(range(len(costs)), key=lambda i: costs[i])]


def _pairs_of(output: Any) -> list[tuple[int, int]]:
    return [(int(layer), int(head)) for layer, head in output]


@removable_heads.observe
def _as_heads(output: Any, model: Any, tokens: Any, loss: Any, allowed: float) -> list[Any]:
    """Heads without any effect may come in either order; listed by name then."""
    return [list(head) for head in sorted(_pairs_of(output))]


@removable_heads.oracle
def _removable_oracle(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[Any]:
    return [list(head) for head in sorted(_removed(model, tokens, loss, allowed))]


@removable_heads.wrong(
    "each head was judged alone. Two heads may each be spared and not both (backups, chapter 07): "
    "leave the earlier ones out while you try the next."
)
def judged_alone(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[tuple[int, int]]:
    return _removed(
        model, tokens, loss, allowed, rise=lambda gone: _rise(model, tokens, loss, gone[-1:])
    )


@removable_heads.wrong(
    "the costs of single heads were added up. What several heads cost together is not the sum; "
    "measure the loss with all of them gone."
)
def costs_added(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[tuple[int, int]]:
    return _removed(
        model,
        tokens,
        loss,
        allowed,
        rise=lambda gone: sum(_rise(model, tokens, loss, (head,)) for head in gone),
    )


@removable_heads.wrong("the costliest heads went first. Start with the ones that cost least.")
def costliest_first(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[Any]:
    return _removed(model, tokens, loss, allowed, order=_order(model, tokens, loss)[::-1])


@removable_heads.wrong(
    "the heads went in the order of their numbers. Sort them by their cost, least first."
)
def in_order_of_names(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[Any]:
    order = sorted(_order(model, tokens, loss))
    return _removed(model, tokens, loss, allowed, order=order)


@removable_heads.wrong(
    "the head that broke it is in your list. It must go back in: without it the loss rises by more "
    "than allowed."
)
def one_too_many(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[tuple[int, int]]:
    order = _order(model, tokens, loss)
    return order[: len(_removed(model, tokens, loss, allowed)) + 1]


@removable_heads.wrong(
    "you set z to zero. That also takes away what a head always writes; replace z by its mean."
)
def removed_by_zero(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[Any]:
    return _removed(model, tokens, loss, allowed, mean=zeros)


@removable_heads.wrong(
    "you went on after a head that could not be spared. Stop there: the rule is how far one gets "
    "down the list, as in Michel et al. 2019."
)
def skips(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[tuple[int, int]]:
    return _removed(model, tokens, loss, allowed, skip=True)


@removable_heads.wrong(
    "`allowed` is by how much the loss may *rise*; you compared the loss itself with it."
)
def loss_compared(model: Any, tokens: Tensor, loss: Loss, allowed: float) -> list[tuple[int, int]]:
    whole = loss(model, tokens).mean().item()
    return _removed(model, tokens, loss, allowed - whole)


slip(
    removable_heads,
    "against_the_step_before",
    "each loss was held against the one of the step before, so that many small losses add up "
    "unseen. Hold it against the whole model's.",
    (
        "if loss(model, tokens).mean() - whole > allowed:",
        "now = loss(model, tokens).mean()\n"
        "            if now - whole <= allowed:\n"
        "                whole = now\n"
        "            else:",
    ),
)


slip(
    removable_heads,
    "order_of_the_first_job",
    "heads were sorted by their cost in the first job. Take the mean over the jobs.",
    ("ablation_costs(model, tokens, loss).mean(0)", "ablation_costs(model, tokens, loss)[0]"),
)


slip(
    removable_heads,
    "mean_by_sequence",
    "you kept a mean for every sequence. One mean, over all sequences and positions.",
    (
        "z[:, :, head] = z[:, :, head].mean((0, 1))",
        "z[:, :, head] = z[:, :, head].mean(1, keepdim=True)",
    ),
)


slip(
    removable_heads,
    "mean_by_position",
    "you kept a mean for every position. One mean, over all sequences and positions.",
    ("z[:, :, head] = z[:, :, head].mean((0, 1))", "z[:, :, head] = z[:, :, head].mean(0)"),
)


slip(
    removable_heads,
    "what_must_stay",
    "these are the heads that cannot go. Return those that can.",
    ("    return gone", "    return [head for head in order if head not in gone]"),
)


slip(
    removable_heads,
    "share_of_the_loss",
    "`allowed` was taken as a share of the loss. It is in nats.",
    ("- whole > allowed:", "- whole > allowed * whole:"),
)


slip(
    removable_heads,
    "one_head_less",
    "the last head that could go is missing.",
    ("    return gone", "    return gone[:-1]"),
)


slip(
    removable_heads,
    "cheapest_next",
    "the costs were measured again after each head, and the cheapest went next. The order is "
    "that of the costs alone, fixed from the start.",
    (
        "for head in order:",
        "order = list(order)\n"
        "        while order:\n"
        "            tries = {h: 0.0 for h in order}\n"
        "            for h in order:\n"
        "                gone.append(h)\n"
        "                tries[h] = float(loss(model, tokens).mean())\n"
        "                gone.pop()\n"
        "            head = min(tries, key=tries.__getitem__)\n"
        "            order.remove(head)",
    ),
)


slip(
    removable_heads,
    "by_the_size_of_the_cost",
    "heads were sorted by the size of their cost. A head with a cost below zero does harm, and "
    "goes first: no abs().",
    ("costs.flatten().argsort()", "costs.abs().flatten().argsort()"),
)


slip(
    removable_heads,
    "allowed_not_included",
    "a rise of just what is allowed was refused. Stop where it is more than `allowed`.",
    (
        "- whole > allowed",
        "- whole >= allowed",
    ),
)


slip(
    removable_heads,
    "order_of_the_dearest_job",
    "heads were sorted by their largest cost over the jobs. Take the mean.",
    (
        "ablation_costs(model, tokens, loss).mean(0)",
        "ablation_costs(model, tokens, loss).amax(0)",
    ),
)
