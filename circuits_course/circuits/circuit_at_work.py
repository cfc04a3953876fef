"""Heads of a circuit at work on one prompt, as plain data: what a picture or a page can show.

For each head: where it looks, whom it hears by its queries, keys and values, what it writes; and
for any set of heads taken away: where the others look then, and what the model says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.feeders import TOKENS, Feeder, Hearing
from circuits_course.circuits.heads import Head, head_name
from circuits_course.circuits.norms import centred, final_scale_of
from circuits_course.circuits.padding import require_one_length
from circuits_course.circuits.patching.ablation import Ablation
from circuits_course.circuits.patching.metrics import Metric
from circuits_course.circuits.patching.stages import Run, Stages, stages_of
from circuits_course.circuits.token_words import word_of
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError

LONGEST = 24  # tokens that a picture has room for
TOP = 3
FEEDERS = 4  # of each input that are told
LEAST = 0.02  # of a head's attention or write, below which nobody is told
LOGITS = "logits"


@dataclass(frozen=True)
class Task:
    """A prompt, what the model should say next and what not, and prompts that say nothing of it."""

    tokens: Int[Tensor, "1 pos"]
    right: int
    wrong: int | None
    reference: Int[Tensor, "reference pos"]


class CircuitAtWork:
    """A circuit on one prompt. To be silenced is to say what one says on average on `reference`.

    model: a CourseTransformer or a bridge. prompt: text, or tokens [1, pos], at most 24. heads:
    {(layer, head): role}. right: the token that the model should say next, wrong: one that it
    should not, as text or id; what is measured is the difference of their logits, or of `right`'s
    and the mean logit. reference: tokens [reference, pos] that correspond to the prompt position by
    position and do not say what it says, such as ABC prompts of the same template.

    Raises CourseError for prompts that are too long, that differ in length, and for heads that do
    not exist.
    """

    def __init__(
        self,
        model: Any,
        prompt: str | Int[Tensor, "1 pos"],
        heads: Mapping[Head, str],
        *,
        right: str | int,
        wrong: str | int | None = None,
        reference: Int[Tensor, "reference pos"],
    ) -> None:
        tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
        if tokens.shape[1] > LONGEST:
            raise CourseError(f"There is room for {LONGEST} tokens; this prompt has more.")
        if not heads:
            raise CourseError("A circuit at work needs at least one head.")
        require_one_length(model, reference)
        self.model, self.heads = model, dict(heads)
        other = None if wrong is None else _token(model, wrong)
        self.task = Task(tokens, _token(model, right), other, reference)
        self._heard: dict[Head, list[Feeder]] = {}
        self._seen: dict[frozenset[Head], dict[str, Any]] = {}
        self.words = [str(word) for word in model.to_str_tokens(tokens[0])]
        with torch.no_grad():
            keep = ("resid_pre", "z", "mlp_out")
            self._theirs = stages_of(model, tokens).run(reference, keep=keep)
        said = self._theirs.z
        self.ablation = Ablation(model, tokens, "mean", reference=reference, said=said)
        self.ablation.require_heads(self.heads)

    # --- what a picture asks for --------------------------------------------------------------

    @property
    def roles(self) -> dict[str, str]:
        """{"layer.head": role}, in the order of the layers."""
        return {head_name(head): self.heads[head] for head in sorted(self.heads)}

    @property
    def asked(self) -> list[str | None]:
        """The right answer and the wrong one, if there is one."""
        both = (self.task.right, self.task.wrong)
        return [None if token is None else word_of(self.model, token) for token in both]

    @cached_property
    def facts(self) -> dict[str, dict[str, Any]]:
        """What does not change as heads are silenced.

        {"layer.head": {"query": the position at which the answer needs it most, "key": where it
        looks most from there (not at the first token, where heads rest), "loss": what the answer
        loses without it, "feeders": [[letter, sender, share], ...], "direct": its own share of
        the answer's logits}}.
        """
        return {head_name(head): self._facts(head) for head in sorted(self.heads)}

    def arrows(self, least: float = 0.1) -> list[tuple[str, str, float, str]]:
        """Edges within the circuit, from the tokens to the logits, for `plots.plot_circuit`.

        An edge's effect is a share: for "Q" and "K" the attention on its key that the reader loses
        without the sender in that input, for "V" the part of its write that goes, and into the
        logits the part of the answer's logits. Smaller ones than `least`, of either sign, are left
        out, and so is what a head hears without which the answer loses less than that part.
        """
        known, whole = {TOKENS, *self.roles}, self.state()["score"]
        found = []
        for name, fact in self.facts.items():
            if abs(fact["loss"]) >= least * abs(whole):
                found += [(f.sender, name, f.share, f.letter) for f in self.hears(name)]
                found.append((name, LOGITS, fact["direct"], ""))
        kept = [arrow for arrow in found if arrow[0] in known and abs(arrow[2]) >= least]
        return sorted(kept, key=lambda arrow: -abs(arrow[2]))

    def hears(self, name: str) -> list[Feeder]:
        """Everybody whom a head hears, by each of its inputs, at its query and key."""
        head = self._head(name)
        if head not in self._heard:
            query, key = self._queries[head], self._key(head)
            self._heard[head] = self._hearing.feeders(head, query, key)
        return self._heard[head]

    @torch.no_grad()
    def state(self, silenced: Iterable[str] = ()) -> dict[str, Any]:
        """The model without some of the heads, named "layer.head".

        {"silenced": names, "score": what is measured, "says": [[token, probability], ...], "heads":
        {name: {"pattern": its attention in percent, a row for each query up to itself, "raises" and
        "lowers": [[token, logits], ...], what it writes straight to the logits at its query}}}.
        """
        gone = frozenset(self._head(name) for name in silenced)
        self._see([gone])
        return self._seen[gone]

    def states(self) -> list[dict[str, Any]]:
        """The whole model, and without each head by itself."""
        self._see([frozenset(), *(frozenset([head]) for head in self.heads)])
        return [self.state(), *(self.state([name]) for name in self.roles)]

    # --- measuring ----------------------------------------------------------------------------

    @property
    def stages(self) -> Stages:
        """The model in its stages."""
        return self.ablation.stages

    @torch.no_grad()
    def _see(self, sets: Iterable[frozenset[Head]]) -> None:
        """The model without each of these sets, a row for each that was not asked for before."""
        rows = [gone for gone in sets if gone not in self._seen]

        def edit(name: str, layer: int, value: Tensor) -> Tensor:
            if name == "z":
                value = value.clone()
                for row, gone in enumerate(rows):
                    here = [head for where, head in gone if where == layer]
                    value[row, :, here] = self.ablation.instead[layer][0, :, here]
            return value

        if rows:
            tokens = self.task.tokens.expand(len(rows), -1)
            run = self.stages.run(tokens, edit, keep=("pattern", "z"))
            said = self.stages.logits(run.resid_final[:, -1])
            self._seen |= {gone: self._seen_in(run, row, said[row], gone)
                           for row, gone in enumerate(rows)}  # fmt: skip

    def _seen_in(
        self, run: Run, row: int, last: Float[Tensor, " d_vocab"], gone: frozenset[Head]
    ) -> dict[str, Any]:
        top = last.softmax(-1).topk(TOP)
        return {
            "silenced": [head_name(head) for head in sorted(gone)],
            "score": round(float(self._measure(last[None, None])), 4),
            "says": _pairs(self.model, top.indices, top.values),
            "heads": self._at_work(run, row),
        }

    def _measure(self, logits: Float[Tensor, "*batch pos d_vocab"]) -> Float[Tensor, "*batch"]:
        last = logits[..., -1, :]
        wrong = self.task.wrong
        against = last.mean(-1) if wrong is None else last[..., wrong]
        return last[..., self.task.right] - against

    @property
    def _metric(self) -> Metric:
        """`_measure` as a number; where there is a wrong answer, without all the other logits."""
        if self.task.wrong is None:
            return lambda logits: self._measure(logits)[0]
        return LogitDifference(torch.tensor([self.task.right]), torch.tensor([self.task.wrong]))

    def _head(self, name: str) -> Head:
        for head in self.heads:
            if head_name(head) == name:
                return head
        raise CourseError(f"{name!r} is none of the circuit's heads: {', '.join(self.roles)}.")

    @cached_property
    def _whole(self) -> Run:
        return self.stages.run(self.task.tokens, keep=("resid_pre", "pattern", "z", "mlp_out"))

    @cached_property
    def _hearing(self) -> Hearing:
        return Hearing(self.stages, self._whole, self.ablation.instead, self._theirs)

    @cached_property
    def _queries(self) -> dict[Head, int]:
        """Where the answer changes most when a head is silent there alone."""
        metric, over = self._metric, ("layer", "head", "position")
        without = self.ablation.one_by_one(self.heads, metric, over)
        lost = (self.ablation.score((), metric) - without).abs()
        return {head: int(lost[head].argmax()) for head in self.heads}

    def _key(self, head: Head) -> int:
        layer, number = head
        query = self._queries[head]
        row = self._whole.pattern[layer][0, number, query]
        return int(row[1 : query + 1].argmax()) + 1 if query else 0

    def _facts(self, head: Head) -> dict[str, Any]:
        whole, name = self.state()["score"], head_name(head)
        told = []
        for letter in "QKV":
            heard = [f for f in self.hears(name) if f.letter == letter and abs(f.share) >= LEAST]
            told += sorted(heard, key=lambda feeder: -abs(feeder.share))[:FEEDERS]
        return {
            "query": self._queries[head],
            "key": self._key(head),
            "loss": round(whole - self.state([name])["score"], 4),
            "feeders": [[f.letter, f.sender, round(f.share, 4)] for f in told],
            "direct": round(self._direct(head) / whole, 4) if whole else 0.0,
        }

    @torch.no_grad()
    def _direct(self, head: Head) -> float:
        """What a head adds to the measured logits itself, the final norm's scale held."""
        wrote = self._hearing.written(head, self._whole.z[head[0]])[0, -1]
        toward, _ = self.stages.unembedding()
        added = float(self._measure((centred(self.model, wrote) @ toward)[None, None]))
        return added / float(final_scale_of(self.model, self._whole.resid_final[0, -1]))

    def _at_work(self, run: Run, row: int) -> dict[str, dict[str, Any]]:
        """Every head's attention in a row of a run, and what it adds straight to the logits."""
        heads, (W_U, _) = sorted(self.heads), self.stages.unembedding()
        wrote = [
            centred(self.model, self._hearing.written(head, run.z[head[0]][[row]])[0, query])
            / final_scale_of(self.model, run.resid_final[row, query])
            for head, query in ((head, self._queries[head]) for head in heads)
        ]
        adds = torch.stack(wrote) @ W_U  # [head, d_vocab]
        adds = adds - adds.mean(-1, keepdim=True)
        up, down = adds.topk(TOP), (-adds).topk(TOP)
        return {
            head_name(head): {
                "pattern": _percent(run.pattern[head[0]][row, head[1]]),
                "raises": _pairs(self.model, up.indices[i], up.values[i]),
                "lowers": _pairs(self.model, down.indices[i], -down.values[i]),
            }
            for i, head in enumerate(heads)
        }


def _percent(pattern: Float[Tensor, "q k"]) -> list[list[int]]:
    """A row for each query, up to itself."""
    rows = (100 * pattern).round().int().tolist()
    return [row[: place + 1] for place, row in enumerate(rows)]


def _token(model: Any, token: str | int) -> int:
    if isinstance(token, int):
        return token
    ids = model.to_tokens(token, prepend_bos=False)[0]
    if len(ids) != 1:
        raise CourseError(f"{token!r} is {len(ids)} tokens; an answer is one.")
    return int(ids[0])


def _pairs(model: Any, tokens: Tensor, values: Tensor) -> list[list[Any]]:
    words = [word_of(model, int(token)) for token in tokens]
    return [[word, round(float(value), 4)] for word, value in zip(words, values, strict=True)]
