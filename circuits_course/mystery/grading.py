"""Grading a claim by intervention: every part but the algorithm's name is put to the model itself.

Faithfulness, completeness and minimality are those of Wang et al. 2022 (arXiv 2211.00593, section
4), with the divergence from the model's own predictions in place of a logit difference, so that
they can be asked of any algorithm. Nothing in a grade names a head or an algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.circuits.heads import Head, head_name
from circuits_course.circuits.patching.ablation import Mode
from circuits_course.errors import CourseError
from circuits_course.mystery.bench import Bench, Paths, all_heads
from circuits_course.mystery.claims import Claim, Edge
from circuits_course.mystery.roles import attends_as
from circuits_course.mystery.sealing import Mystery, open_seal
from circuits_course.mystery.shelf import load_mystery

BATCH, SEED = 192, 20_260_101
FEW = 64  # prompts for edges, of which there may be many
AT_ONCE = 2  # other heads that may have to be gone before one shows that it matters
GOOD = 0.9  # faithfulness and completeness from here on get full marks
MATTERS: dict[Mode, float] = {"mean": 0.05, "resample": 0.05, "zero": 0.2}
"""Share of the whole effect that a head of a minimal circuit has somewhere. By zeros more is asked:
they also take away the noise of a loud head that rests."""
CARRIES = 0.01  # the same for an edge
SILENCED = 0.1  # the same for an edge whose receiver hears nothing: noise goes with it as well
SURE = 1.5  # logits by which a prediction must lead to be asked for
ALMOST_ALL = 0.95  # of the predictions by a function count as all
FEWEST = 10  # prompts that a mapping needs for full marks

NUDGES = {
    "faithfulness": "With everything outside your claim ablated the model speaks differently: "
    "something that it needs is missing.",
    "completeness": "Knock parts of your claim out, and the model does not fall as your circuit "
    "does: something outside can do the same job.",
    "minimality": "Some head of your claim can go and nothing changes, whatever else is knocked "
    "out. A high score is no effect.",
    "roles": "Some head does not do what its role says. Where does its attention go that does not "
    "rest on BOS? Is it ever needed alone?",
    "edges": "Some edges carry nothing, or some that carry are missing. Patch one path at a time, "
    "and ask through which input it is heard.",
    "algorithm": "The name does not fit. Which other algorithms agree with it on most of your "
    "inputs, and on which inputs do they part?",
    "predictions": "Some predictions fail on fresh inputs. Look for inputs on which your idea and "
    "the model part.",
}


@dataclass(frozen=True)
class Part:
    """One part of a grade: a mark from 0 to 1 and, below 1, a nudge."""

    mark: float
    nudge: str = ""


@dataclass(frozen=True)
class Grade:
    """What a claim got, part by part."""

    mystery: str
    parts: Mapping[str, Part]

    @property
    def full(self) -> bool:
        """Whether every part has full marks."""
        return all(part.mark == 1 for part in self.parts.values())

    @property
    def marks(self) -> dict[str, float]:
        return {name: part.mark for name, part in self.parts.items()}

    def __str__(self) -> str:
        lines = [f"{self.mystery}: {'solved' if self.full else 'not solved yet'}"]
        for name, part in self.parts.items():
            glyph = "✔" if part.mark == 1 else "✘"
            lines.append(f"{glyph} {name:13} {part.mark:4.0%}  {part.nudge}".rstrip())
        return "\n".join(lines)

    __repr__ = __str__


def grade(claim: Claim) -> Grade:
    """Scores a claim, part by part, by interventions on the mystery's model.

    Raises CourseError where the claim names a mystery or a head that does not exist, or where its
    predictions fail to run.
    """
    if not isinstance(claim, Claim):
        raise CourseError(f"grade takes a Claim, got a {type(claim).__name__}.")
    if claim.mystery.startswith("exam-"):
        raise CourseError(
            f"{claim.mystery} is an exam, graded by whoever made it: "
            'hand_in(claim, "NAME.claim.json") writes the file to hand in.'
        )
    return grade_on(load_mystery(claim.mystery), claim)


def grade_on(mystery: Mystery, claim: Claim) -> Grade:
    """`grade`, with the mystery at hand."""
    _require_existing_heads(mystery, claim)
    tokens = mystery.sample(BATCH, SEED)
    benches = [Bench(mystery.model, tokens, mode) for mode in MATTERS]
    named = float(claim.algorithm == open_seal(mystery).algorithm)
    predicted = _predictions(mystery, claim, tokens)
    parts = {
        "faithfulness": _part("faithfulness", _faithfulness(benches, claim), claim.circuit),
        "completeness": _part("completeness", _completeness(benches, claim), claim.circuit),
        "minimality": _part("minimality", _minimality(benches, claim), claim.circuit),
        "roles": _part("roles", _roles(mystery, benches[0], claim), claim.circuit),
        "edges": _part("edges", edges_mark(mystery, claim, tokens[:FEW]), claim.edges),
        "algorithm": _part("algorithm", named, claim.algorithm),
        "predictions": _part("predictions", predicted, claim.predictions),
    }
    return Grade(mystery.name, parts)


def _part(name: str, mark: float, given: Any) -> Part:
    """A mark with the nudge that goes with it, where there is anything to mend."""
    if mark == 1:
        return Part(mark)
    return Part(mark, NUDGES[name] if given else "Nothing claimed yet.")


def _require_existing_heads(mystery: Mystery, claim: Claim) -> None:
    cfg = mystery.model.cfg
    for head in claim.circuit:
        if head not in all_heads(mystery.model):
            raise CourseError(
                f"There is no head {head_name(head)} in {mystery.name}: it has {cfg.n_layers} "
                f"layers of {cfg.n_heads} heads, counted from 0."
            )


# --- the circuit ------------------------------------------------------------------------------


def _mark(measured: float) -> float:
    """Full from GOOD on, in proportion below."""
    return 1.0 if measured >= GOOD else max(0.0, round(measured / GOOD, 3))


def _faithfulness(benches: list[Bench], claim: Claim) -> float:
    """How much of the model's predictions the claimed heads alone give, in the worse way to
    ablate the others."""
    return _mark(min(1 - bench.distance(bench.heads, claim.circuit) for bench in benches))


def _completeness(benches: list[Bench], claim: Claim) -> float:
    """How alike model and circuit remain when parts of the claim are knocked out of both; of the
    worst part."""
    circuit = frozenset(claim.circuit)
    worst = max(
        bench.distance(bench.heads - part, circuit - part)
        for bench in benches
        for part in _parts(claim)
    )
    return _mark(1 - worst)


def _parts(claim: Claim) -> Iterator[frozenset[Head]]:
    """What is knocked out: everything, each role, each head."""
    yield frozenset(claim.circuit)
    yield from (frozenset(heads) for heads in claim.heads.values())
    yield from (frozenset([head]) for head in claim.circuit)


def _minimality(benches: list[Bench], claim: Claim) -> float:
    """The share of claimed heads that matter, alone or with one or two others knocked out."""
    circuit = frozenset(claim.circuit)
    return _share(any(_matters(bench, circuit, head) for bench in benches) for head in circuit)


def _matters(bench: Bench, heads: frozenset[Head], head: Head) -> bool:
    """Whether a head matters among these, by itself or once up to AT_ONCE others are gone."""
    kept = (heads.difference(gone) for gone in _few(heads - {head}, 0))
    return any(bench.distance(left, left - {head}) >= MATTERS[bench.mode] for left in kept)


def _few(heads: Iterable[Head], fewest: int) -> Iterator[tuple[Head, ...]]:
    """All sets of at least `fewest` and at most AT_ONCE heads, small ones first."""
    heads = list(heads)
    sizes = range(fewest, AT_ONCE + 1)
    return chain.from_iterable(combinations(heads, size) for size in sizes)


def _share(answers: Iterator[bool]) -> float:
    answers_ = list(answers)
    return round(sum(answers_) / len(answers_), 3) if answers_ else 0.0


# --- roles and edges --------------------------------------------------------------------------


def _roles(mystery: Mystery, bench: Bench, claim: Claim) -> float:
    """The share of claimed heads whose role a detector confirms."""
    return _share(_has_role(mystery, bench, head, role) for head, role in claim.circuit.items())


def _has_role(mystery: Mystery, bench: Bench, head: Head, role: str) -> bool:
    if role == "backup":
        return _stands_in(bench, head)
    return attends_as(mystery.model, bench.tokens, head, role)


def _stands_in(bench: Bench, head: Head) -> bool:
    """Whether a head matters only where one other, or two, are knocked out."""
    if bench.distance(bench.heads, bench.heads - {head}) >= MATTERS[bench.mode]:
        return False
    return _matters(bench, bench.heads, head)


def edges_mark(mystery: Mystery, claim: Claim, tokens: Int[Tensor, "batch pos"]) -> float:
    """Claimed edges that carry something, over these and the ones that carry and are missing.

    An edge that carries only while one or two other heads are silent may be claimed, and need
    not be.
    """
    claimed = set(claim.edges)
    needed, right = _needed_and_right(mystery, claim, tokens)
    whole = claimed | needed
    return round(len(right) / len(whole), 3) if whole else 0.0


def right_edges(mystery: Mystery, claim: Claim) -> set[Edge]:
    """The claimed edges that carry something; those that are missing stay untold."""
    return _needed_and_right(mystery, claim, mystery.sample(BATCH, SEED)[:FEW])[1]


def _needed_and_right(
    mystery: Mystery, claim: Claim, tokens: Int[Tensor, "batch pos"]
) -> tuple[set[Edge], set[Edge]]:
    """Edges that a full claim names, and those of this claim that carry something."""
    claimed, paths = set(claim.edges), Paths(mystery.model, tokens)
    needed = {edge for edge in _possible(claim) if _carries(paths, edge)}
    in_need = {e for e in claimed - needed if _carries_in_need(mystery, tokens, e, claim.circuit)}
    return needed, claimed & (needed | in_need)


def _possible(claim: Claim) -> Iterator[Edge]:
    for sender in claim.circuit:
        yield sender, "logits"
        later = (head for head in claim.circuit if head[0] > sender[0])
        yield from ((sender, (*head, letter)) for head in later for letter in "qkv")


def _carries(paths: Paths, edge: Edge) -> bool:
    """Whether a path says something: another thing on another prompt, or the same on all."""
    return paths.effect(*edge) >= CARRIES or paths.silent_effect(*edge) >= SILENCED


def _carries_in_need(
    mystery: Mystery, tokens: Int[Tensor, "batch pos"], edge: Edge, claimed: Collection[Head]
) -> bool:
    """Whether a path says something while a few other heads are silent; claimed ones go first."""
    others = sorted(
        all_heads(mystery.model) - {edge[0], edge[1][:2]}, key=lambda head: head not in claimed
    )
    silenced = (_silenced(mystery.model, heads) for heads in _few(others, 1))
    return any(Paths(model, tokens).single_effect(*edge) >= CARRIES for model in silenced)


def _silenced(model: Any, heads: Iterable[Head]) -> Any:
    """A copy of the model in which some heads write nothing."""
    import copy

    silent = copy.deepcopy(model)
    for layer, head in heads:
        silent.blocks[layer].attn.W_O[head] = 0.0
    return silent


# --- predictions ------------------------------------------------------------------------------


def _predictions(mystery: Mystery, claim: Claim, tokens: Int[Tensor, "batch pos"]) -> float:
    """The share of predictions that are what the model says: of the prompts in a mapping, or of
    fresh ones on which the model is sure, for a function."""
    if isinstance(claim.predictions, Mapping):
        answers = dict(claim.predictions)
        right = sum(_said(mystery, prompt) == answer for prompt, answer in answers.items())
        return round(right / max(len(answers), FEWEST), 3)
    prompts = list(_sure_prompts(mystery, tokens))
    right = sum(_ask(claim.predictions, prompt) == said for prompt, said in prompts)
    share = right / len(prompts)
    return 1.0 if share >= ALMOST_ALL else round(share, 3)


def _said(mystery: Mystery, prompt: str) -> str:
    model = mystery.model
    return model.to_single_str_token(int(model(model.to_tokens(prompt))[0, -1].argmax()))


def _sure_prompts(
    mystery: Mystery, tokens: Int[Tensor, "batch pos"]
) -> Iterator[tuple[list[str], str]]:
    """Symbols up to a random place where one symbol leads all others, and that symbol."""
    logits, vocabulary = mystery.model(tokens), mystery.model.cfg.vocabulary
    best = logits.topk(2).values
    sure = best[..., 0] - best[..., 1] >= SURE  # [batch, pos]
    draw = torch.rand(sure.shape, generator=torch.Generator().manual_seed(SEED))
    for row, place in enumerate((draw * sure).argmax(-1).tolist()):
        if place:
            prompt = [vocabulary[token] for token in tokens[row, 1 : place + 1].tolist()]
            yield prompt, vocabulary[int(logits[row, place].argmax())]


def _ask(predict: Callable[[list[str]], str], prompt: list[str]) -> str:
    try:
        return predict(list(prompt))
    except Exception as error:
        raise CourseError(
            f"Your predictions raised {type(error).__name__} on {' '.join(prompt)}: {error}"
        ) from error
