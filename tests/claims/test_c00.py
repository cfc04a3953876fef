"""Chapter 00: its first causal experiment, on sequences of other lengths and seeds."""

from __future__ import annotations

import torch

from circuits_course.circuits import interval
from circuits_course.data import repeats_for

HEADS = [(layer, head) for layer in range(2) for head in range(4)]


def second_copy_losses(model, tokens, period, silenced=None):
    """Mean loss of each sequence on its second copy, its first token excepted. [batch]"""

    def silence(z, hook):
        z[:, :, silenced[1]] = 0.0
        return z

    hooks = [(f"blocks.{silenced[0]}.attn.hook_z", silence)] if silenced else []
    log_probs = model.run_with_hooks(tokens, fwd_hooks=hooks).log_softmax(-1)
    said = log_probs[:, period + 1 : -1].gather(-1, tokens[:, period + 2 :, None])
    return -said.mean((1, 2))


def test_two_heads_carry_the_second_copy(claim, induction_2l):
    """Two of the eight heads of induction-2l carry second copies; silencing others costs less."""
    second, third = [], []
    for seed, period in enumerate((10, 15, 20, 25, 30), start=50):
        tokens = repeats_for(induction_2l, period, batch=40, seed=seed)
        whole = second_copy_losses(induction_2l, tokens, period)
        costs = [second_copy_losses(induction_2l, tokens, period, h) - whole for h in HEADS]
        order = torch.stack(costs).mean(1).argsort(descending=True).tolist()
        second.append(costs[order[1]])
        third.append(costs[order[2]])
    more = torch.cat(second) - torch.cat(third)
    claim(
        interval(more),
        unit="nats, second-costliest head over the third",
        holds=interval(more).low > 1.0,
        data="repeats of 10 to 30 random tokens, 5 seeds of 40 sequences",
    )
