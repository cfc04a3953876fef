"""What later layers make of a changed last position, and of what an attention layer wrote there.

Causal attention lets nothing earlier see the last position, so a change there is followed by
computing that one position alone, with the keys and values of the plain run: a layer's every write
can be followed, and many random directions beside it, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.evidence import interval
from circuits_course.circuits.ioi import answer_directions
from circuits_course.circuits.norms import final_scale_of
from circuits_course.circuits.padding import require_one_length
from circuits_course.circuits.patching.stages import stages_of
from circuits_course.circuits.patching.tail import Tail
from circuits_course.errors import CourseError


class LastPosition:
    """Runs that equal a plain run of `tokens` everywhere but at the last position.

    states: the plain run's residual streams there, [state, batch, d_model], n_layers + 1 of them.
    attn_out: its attention layers' writes there, [layer, batch, d_model]. Raises CourseError for
    models whose stages cannot be run one by one and for prompts of different lengths.
    """

    def __init__(self, model: Any, tokens: Int[Tensor, "batch pos"]) -> None:
        require_one_length(model, tokens)
        self.stages = stages_of(model, tokens)
        if not self.stages.local_keys:
            raise CourseError("With smeared keys the last position cannot be computed alone.")
        run = self.stages.run(tokens)
        self.n_layers = self.stages.n_layers
        self.states = torch.stack([x[:, -1] for x in (*run.resid_pre, run.resid_final)])
        self.attn_out = torch.stack([x[:, -1] for x in run.attn_out])
        self._tail = Tail(self.stages, run, torch.mean, first=tokens.shape[1] - 1)

    def onward(
        self, state: int, changed: Float[Tensor, "*run batch d_model"]
    ) -> Float[Tensor, "layer *run batch d_model"]:
        """The states after each of the layers from `state` on, begun with `changed`; n of them."""
        resid, after = changed.reshape(-1, *changed.shape[-2:])[:, :, None], []
        for layer in range(state, self.n_layers):
            resid = self._tail.through(layer, resid)
            after.append(resid[:, :, 0].view_as(changed))
        return torch.stack(after) if after else changed.new_zeros(0, *changed.shape)

    def after_write(
        self, layer: int, write: Float[Tensor, "*run batch d_model"]
    ) -> Float[Tensor, "layer *run batch d_model"]:
        """The states after `layer` and those above it where its attention writes `write`."""
        before = self.states[layer].expand_as(write)
        first = self._tail.rest(layer, before, write)
        return torch.cat([first[None], self.onward(layer + 1, first)])

    def logits(self, resid: Float[Tensor, "*run d_model"]) -> Float[Tensor, "*run d_vocab"]:
        """What the model says with this last state."""
        return self.stages.logits(resid)


@torch.no_grad()
def swap_states(
    model: Any, tokens: Int[Tensor, "batch pos"], others: Int[Tensor, "batch pos"]
) -> Float[Tensor, "state batch d_vocab"]:
    """Logits of each prompt when its last position's state is that of another prompt.

    One row for each state but the last: the state before layer 0, 1, ... is taken from the prompt
    of `others` in the same row, at its last position; all layers from there on run as ever.
    """
    at_end, theirs = LastPosition(model, tokens), LastPosition(model, others).states
    finals = [at_end.onward(state, theirs[state])[-1] for state in range(at_end.n_layers)]
    return at_end.logits(torch.stack(finals))


@dataclass(frozen=True)
class WriteTrace:
    """What became of each attention layer's write about the answer, at the last position.

    shares: [prompt, layer, direction, state], the share of what was taken away along a direction by
    which each state changed along it; direction 0 is the write itself (chapter 08's
    `write_survival`), the others are random, of the same length. direct, total: [prompt, layer],
    in logits: what the write adds to the logit difference by itself, and what the difference loses
    when the write is taken away and later layers answer.
    """

    shares: Float[Tensor, "prompt layer direction state"]
    direct: Float[Tensor, "prompt layer"]
    total: Float[Tensor, "prompt layer"]

    @property
    def left(self) -> Float[Tensor, "prompt layer"]:
        """How much of the write is left in the last state."""
        return self.shares[:, :, 0, -1]

    @property
    def random_left(self) -> Float[Tensor, "prompt layer direction"]:
        """The same for the random directions."""
        return self.shares[:, :, 1:, -1]

    @property
    def erased(self) -> Float[Tensor, "prompt layer"]:
        """How much less of the write is left than of a random direction: the excess erasure."""
        return self.random_left.mean(-1) - self.left

    def table(self, count: int = 8) -> list[dict[str, Any]]:
        """Means over the prompts for the layers of largest total effect, in order of layers."""
        mean_total = self.total.mean(0).abs()
        largest = mean_total.topk(min(count, len(mean_total))).indices.sort().values
        return [
            {
                "layer": layer,
                "direct": self.direct[:, layer].mean().item(),
                "total": str(interval(self.total[:, layer])),
                "left": self.left[:, layer].mean().item(),
                "random left": self.random_left[:, layer].mean().item(),
                "erased beyond random": str(interval(self.erased[:, layer])),
            }
            for layer in largest.tolist()
        ]


@torch.no_grad()
def trace_writes(
    model: Any,
    tokens: Int[Tensor, "batch pos"],
    others: Int[Tensor, "batch pos"],
    answers: Int[Tensor, "batch 2"],
    n_random: int = 23,
    seed: int = 0,
) -> WriteTrace:
    """Follows what every attention layer wrote about the answer at the last position.

    others: prompts with another answer, row by row; a layer's write about the answer is its write
    on `tokens` minus its write on `others`. answers: the right token and the wrong one, whose
    logits' difference is measured. n_random: random directions of the write's length, drawn anew
    for every prompt and layer.
    """
    mine, theirs = LastPosition(model, tokens), LastPosition(model, others)
    generator = torch.Generator().manual_seed(seed)
    directions = answer_directions(model, answers[:, 0], answers[:, 1])
    scale = final_scale_of(model, mine.states[-1])[:, None]
    plain = _difference(mine, mine.states[-1], answers)
    shares, direct, total = [], [], []
    for layer in range(mine.n_layers):
        w = mine.attn_out[layer] - theirs.attn_out[layer]
        away = torch.cat([w[None], _random_like(w, n_random, generator)])  # [direction, batch, d]
        after = mine.after_write(layer, mine.attn_out[layer] - away)
        change = mine.states[layer + 1 :, None] - after
        share = (change * away).sum(-1) / (away * away).sum(-1)
        shares.append(torch.cat([share.new_zeros(layer + 1, *share.shape[1:]), share]))
        direct.append((w / scale * directions).sum(-1))
        total.append(plain - _difference(mine, after[-1, 0], answers))
    return WriteTrace(
        torch.stack(shares).permute(3, 0, 2, 1), torch.stack(direct, 1), torch.stack(total, 1)
    )


def _random_like(w: Tensor, count: int, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(count, *w.shape, generator=generator).to(w)
    return drawn / drawn.norm(dim=-1, keepdim=True) * w.norm(dim=-1, keepdim=True)


def _difference(at_end: LastPosition, resid: Tensor, answers: Tensor) -> Tensor:
    right, wrong = at_end.stages.columns(resid, answers).unbind(-1)
    return right - wrong
