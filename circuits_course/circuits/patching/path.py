"""Path patching: what one head tells others directly, with every other head held still.

Wang et al. 2022 (arXiv 2211.00593, section 3.1): run the clean prompt with every head frozen at its
clean output except the sender, which gives its output on the corrupted prompt; MLPs and norms are
recomputed. Keep what the receivers then read. Run the clean prompt again, with the receivers
reading that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.padding import require_at_words
from circuits_course.circuits.patching.metrics import (
    Metric,
    Tokens,
    first_difference,
    require_pair,
)
from circuits_course.circuits.patching.stages import Edit, Stages, stages_of
from circuits_course.circuits.patching.tail import Tail, chunks
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError

Receiver = str | tuple[int, int] | tuple[int, int, str]
"""(layer, head, "q" | "k" | "v"); (layer, head) for all three; or "logits".

(layer, head, "own v"): the values as this one query head moves them, with its clean pattern. Under
grouped keys and values "v" changes what all heads of a group move.
"""

HeadInputs = dict[tuple[int, str, int], Float[Tensor, "run batch tail d_head"]]
"""What receivers read, by layer, "q", "k", "v" (or "z", for "own v"), and head."""


def path_patch(
    model: Any,
    clean: Tokens,
    corrupted: Tokens,
    sender: Head,
    receivers: Receiver | Iterable[Receiver],
    metric: Metric | LogitDifference,
    *,
    position: int | Int[Tensor, " batch"] | None = None,
) -> float:
    """The metric on the clean prompts when receivers hear the sender's corrupted output.

    model: a CourseTransformer or a bridge. clean, corrupted: tokens [batch, pos]. sender:
    (layer, head). receivers: "logits", or heads of later layers: (layer, head, "q"), "k" or "v"
    (for k and v counted in key/value heads), or (layer, head) for all three, where grouped keys
    and values are shared with the head's group. metric: as for `patch_sweep`. position: where the
    sender's output is replaced (default: everywhere); one for all prompts or one each.

    Raises CourseError for heads that do not exist and receivers that the sender cannot reach.
    """
    paths = _Paths(model, clean, corrupted, receivers, metric, position)
    paths.require_head(sender)
    if sender[0] >= paths.last_receiver:
        raise CourseError(
            f"Head {sender[0]}.{sender[1]} cannot reach the receivers; give some in later layers."
        )
    return paths.scores([sender]).item()


def path_patch_sweep(
    model: Any,
    clean: Tokens,
    corrupted: Tokens,
    receivers: Receiver | Iterable[Receiver],
    metric: Metric | LogitDifference,
    *,
    position: int | Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "layer head"]:
    """`path_patch` for every head as sender; the arguments are its own.

    Heads that reach no receiver leave the metric as it is.
    """

    def sweep(paths: _Paths) -> Tensor:
        stages = paths.stages
        untouched = paths.tail.scores(paths.base.resid_final[None])[0]
        result = untouched.expand(stages.n_layers, stages.n_heads, *untouched.shape).clone()
        last = min(paths.last_receiver, stages.n_layers)
        if last:
            heads = [(layer, head) for layer in range(last) for head in range(stages.n_heads)]
            result[:last] = paths.scores(heads).unflatten(0, (last, stages.n_heads))
        return result

    return _by_place(sweep, model, clean, corrupted, receivers, metric, position)


@torch.no_grad()
def path_patch_together(
    model: Any,
    clean: Tokens,
    corrupted: Tokens,
    senders: Collection[Head],
    receivers: Receiver | Iterable[Receiver],
    metric: Metric | LogitDifference,
    *,
    position: int | Int[Tensor, " batch"] | None = None,
) -> Tensor:
    """`path_patch` with several senders that are heard at once; the arguments are its own.

    The senders do not hear each other: each gives its output on the corrupted prompt. Returns the
    metric: a number, or one for each prompt with `metric.each()`.
    """

    def together(paths: _Paths) -> Tensor:
        for sender in senders:
            paths.require_head(sender)
        return paths.together(senders)

    return _by_place(together, model, clean, corrupted, receivers, metric, position)


def _by_place(
    measure: Callable[[_Paths], Tensor],
    model: Any,
    clean: Tokens,
    corrupted: Tokens,
    receivers: Receiver | Iterable[Receiver],
    metric: Metric | LogitDifference,
    position: int | Tensor | None,
) -> Tensor:
    """What `measure` finds of the paths, prompts whose senders act at the same place together.

    So no position is computed that comes before a prompt's own, nor any that nobody reads.
    """
    chosen = torch.as_tensor(-1 if position is None else position)
    if chosen.ndim == 0 or not isinstance(metric, LogitDifference):
        return measure(_Paths(model, clean, corrupted, receivers, metric, position))
    require_pair(model, clean, corrupted, metric)
    require_at_words(model, clean, chosen)
    receivers = receivers if isinstance(receivers, str | tuple) else list(receivers)
    n_pos, each = clean.shape[1], metric.each()
    read, chosen = metric.positions(n_pos), torch.where(chosen < 0, chosen + n_pos, chosen)
    found: list[Tensor] = []
    rows = [(chosen == place).nonzero()[:, 0] for place in chosen.unique()]
    for here in rows:
        part = replace(each, right=each.right[here], wrong=each.wrong[here], position=read[here])
        known = slice(int(torch.cat([read[here], chosen[here]]).max()) + 1)
        pair = clean[here, known], corrupted[here, known]
        found.append(measure(_Paths(model, *pair, receivers, part, chosen[here])))
    return metric.of_prompts(torch.cat(found, dim=-1)[..., torch.cat(rows).argsort()])


class _Paths:
    """The paths into one set of receivers."""

    @torch.no_grad()
    def __init__(
        self,
        model: Any,
        clean: Tokens,
        corrupted: Tokens,
        receivers: Receiver | Iterable[Receiver],
        metric: Metric,
        position: int | Tensor | None,
    ) -> None:
        require_pair(model, clean, corrupted, metric)
        if position is not None:
            require_at_words(model, clean, position)
        self.stages: Stages = stages_of(model, clean)
        self.receivers = self._parsed(receivers)
        self.base = self.stages.run(clean)
        self.source_z = self.stages.run(corrupted, keep=("z",)).z
        self.where = _mask(position, clean)
        first = max(first_difference(clean, corrupted), _first(self.where))
        self.tail = Tail(self.stages, self.base, metric, first)

    @property
    def to_logits(self) -> bool:
        return not self.receivers

    @property
    def last_receiver(self) -> int:
        """The layer of the last receiver; the logits count as a layer after the last."""
        if self.to_logits:
            return self.stages.n_layers
        return max(layer for layer, _, _ in self.receivers)

    @torch.no_grad()
    def scores(self, senders: Sequence[Head]) -> Float[Tensor, " sender"]:
        """The metric for each sender by itself; they come sorted by layer."""
        values = []
        for part in chunks(len(senders), self.tail.runs_at_once()):
            written = {
                layer: torch.cat([self._written([sender]) for sender in here])
                for layer, here in groupby(senders[part], key=lambda sender: sender[0])
            }
            inputs, resid = self._heard(written)
            values.append(self.tail.scores(resid if self.to_logits else self._hearing(inputs)))
        return torch.cat(values)

    def together(self, senders: Collection[Head]) -> Tensor:
        """The metric when several senders, of any layers, are heard at once."""
        first = min(layer for layer, _ in senders)
        written = {
            layer: self._written([sender for sender in senders if sender[0] == layer])
            for layer, _ in senders
        }
        inputs, resid = self._heard({first: written.pop(first)}, written)
        if not self.to_logits:
            resid = self._hearing(inputs) if inputs else self.base.resid_final[None]
        return self.tail.scores(resid)[0]

    def _wanted(self) -> slice:
        """With heads frozen no position affects another: for the logits, only those read matter."""
        return self.tail.last_read if self.to_logits else slice(None)

    def _heard(
        self, begun: dict[int, Tensor], later: dict[int, Tensor] | None = None
    ) -> tuple[HeadInputs, Tensor]:
        """What receivers read, and the final residual stream, with the other heads frozen.

        begun: by layer, what its attention writes in the runs [run, batch, tail, d_model] that
        begin there. later: what it writes in layers above instead of what is frozen.
        """
        inputs: HeadInputs = {}
        later, wanted, n_runs = later or {}, self._wanted(), sum(map(len, begun.values()))
        resid = self.tail.of(self.base.resid_pre[0])[None, :, wanted][:0]
        for layer in range(min(begun), self.stages.n_layers):
            if len(resid):
                inputs |= self._read(layer, resid, n_runs)
            if layer >= self.last_receiver:
                break
            frozen = self.tail.of(self.base.attn_out[layer])[None, :, wanted]
            attn_out = later.get(layer, frozen).expand(resid.shape)
            if layer in begun:
                own = self.tail.of(self.base.resid_pre[layer])[:, wanted]
                resid = torch.cat([resid, own.expand(begun[layer].shape)])
                attn_out = torch.cat([attn_out, begun[layer]])
            resid = self.tail.rest(layer, resid, attn_out)
        return inputs, resid

    def _written(self, senders: Sequence[Head]) -> Float[Tensor, "1 batch end d_model"]:
        """What a layer's attention writes with the outputs of some of its heads replaced."""
        z = self._sent(senders)[None, :, self._wanted()]
        return self.stages.write(senders[0][0], z)

    def _sent(self, senders: Sequence[Head]) -> Float[Tensor, "batch tail head d_head"]:
        """z of a layer with the outputs of some of its heads replaced."""
        layer = senders[0][0]
        z = self.base.z[layer].clone()
        for _, head in senders:
            z[:, :, head] = torch.where(self.where, self.source_z[layer][:, :, head], z[:, :, head])
        return self.tail.of(z)

    def _read(self, layer: int, resid: Tensor, n_runs: int) -> HeadInputs:
        """What the receivers of a layer read from these streams; in runs to come, their own."""
        here = [receiver for receiver in self.receivers if receiver[0] == layer]
        if not here:
            return {}
        qkv = self.stages.qkv(layer, resid, self.tail.start)._asdict()
        inputs: HeadInputs = {}
        for _, name, head in here:
            if name == "z":
                read = self._own_values(layer, head, qkv["v"])
            else:
                read = qkv[name][..., head, :]
            own = self.tail.of(getattr(self.base, name)[layer])[..., head, :]
            rest = own.expand(n_runs - len(read), *own.shape)
            inputs[layer, name, head] = torch.cat([read, rest])
        return inputs

    def _own_values(
        self, layer: int, head: int, v: Float[Tensor, "run batch tail kv_head d_head"]
    ) -> Float[Tensor, "run batch tail d_head"]:
        """What one head moves when these values meet its clean pattern."""
        group = head * self.stages.n_kv_heads // self.stages.n_heads
        start, pattern = self.tail.start, self.base.pattern[layer][:, head, self.tail.start :]
        early = pattern[..., :start] @ self.base.v[layer][:, :start, group]
        return early + pattern[..., start:] @ v[..., group, :]

    def _hearing(self, inputs: HeadInputs) -> Float[Tensor, "run batch end d_model"]:
        """The clean run with receivers reading `inputs`."""
        first = min(layer for layer, _, _ in inputs)
        n_runs = len(next(iter(inputs.values())))
        resid = self.tail.of(self.base.resid_pre[first]).expand(n_runs, -1, -1, -1)
        for layer in range(first, self.stages.n_layers):
            resid = self.tail.through(layer, resid, _replace(inputs))
        return resid

    # --- receivers ---------------------------------------------------------------------------

    def _parsed(self, receivers: Receiver | Iterable[Receiver]) -> list[tuple[int, str, int]]:
        """Receivers as (layer, "q" | "k" | "v", head); none at all stands for the logits."""
        alone = isinstance(receivers, str) or (
            isinstance(receivers, tuple) and len(receivers) > 1 and isinstance(receivers[0], int)
        )
        listed: list[Any] = [receivers] if alone else list(receivers)
        if listed == ["logits"]:
            return []
        if not listed:
            raise CourseError("There are no receivers: give heads, or 'logits'.")
        return [found for receiver in listed for found in self._parse(receiver)]

    def _parse(self, receiver: Any) -> list[tuple[int, str, int]]:
        match receiver:
            case (int(layer), int(head), "q" | "k" | "v" as name):
                self.require_head((layer, head), name)
                return [(layer, name, head)]
            case (int(layer), int(head), "own v"):
                self.require_head((layer, head))
                return [(layer, "z", head)]
            case (int(layer), int(head)):
                self.require_head((layer, head))
                group = head * self.stages.n_kv_heads // self.stages.n_heads
                return [(layer, "q", head), (layer, "k", group), (layer, "v", group)]
        raise CourseError(
            f"{receiver!r} is no receiver: give (layer, head), (layer, head, 'q'), 'k' or 'v', "
            "or 'logits' alone."
        )

    def require_head(self, head: Head, name: str = "q") -> None:
        """Raises CourseError where the model has no such head."""
        count = self.stages.n_heads if name == "q" else self.stages.n_kv_heads
        if not (0 <= head[0] < self.stages.n_layers and 0 <= head[1] < count):
            kind = "heads" if name == "q" else "key/value heads"
            raise CourseError(
                f"There is no head {head[0]}.{head[1]} here: the model has {self.stages.n_layers} "
                f"layers of {count} {kind}, counted from 0."
            )


def _replace(inputs: HeadInputs) -> Edit:
    def edit(name: str, layer: int, value: Tensor) -> Tensor:
        here = {
            head: x for (where, what, head), x in inputs.items() if (where, what) == (layer, name)
        }
        if here:
            value = value.clone()
        for head, heard in here.items():  # of z the last layer computes the last positions only
            value[..., head, :] = heard[..., -value.shape[-3] :, :]
        return value

    return edit


def _first(where: Tensor) -> int:
    """The first position at which any prompt's sender is replaced; nothing before it changes."""
    return int(where.any(dim=0).flatten().float().argmax())


def _mask(position: int | Tensor | None, tokens: Tokens) -> Tensor:
    """[batch, pos, 1]: where the sender's output is replaced."""
    n_pos = tokens.shape[1]
    if position is None:
        return torch.ones(*tokens.shape, 1, dtype=torch.bool, device=tokens.device)
    chosen = torch.as_tensor(position, device=tokens.device).expand(len(tokens))
    chosen = torch.where(chosen < 0, chosen + n_pos, chosen)
    return (torch.arange(n_pos, device=tokens.device) == chosen[:, None])[..., None]
