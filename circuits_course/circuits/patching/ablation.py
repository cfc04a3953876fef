"""Ablation: taking a head's output away, by zeros, by its mean, or by another prompt's.

Zero is arbitrary, the mean keeps what a head says on every prompt, resampling brings in what it
says on another one. The three can disagree; chapter 07 shows it. To look at the activations of a
model without some heads see `silencing`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from einops import reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits_course.circuits.heads import Head, require_heads
from circuits_course.circuits.padding import (
    real_lengths,
    real_positions,
    require_left_aligned,
    require_read_at_words,
)
from circuits_course.circuits.patching.metrics import Metric, Tokens, first_difference
from circuits_course.circuits.patching.stages import Edit, Run, stages_of, unedited
from circuits_course.circuits.patching.sweep import replace_heads
from circuits_course.circuits.patching.tail import Tail
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError, UnknownName

Mode = Literal["zero", "mean", "resample"]
MODES: tuple[Mode, ...] = ("zero", "mean", "resample")
Heads = Iterable[Head] | Mapping[Head, Bool[Tensor, "batch pos"]]
REMEMBERED = 64_000_000  # bytes of residual streams


class Ablation:
    """What takes the place of every head's output, computed once and used for many sets of heads.

    model: a CourseTransformer or a bridge. tokens: the prompts to run. mode: "zero"; "mean", over
    `reference` at each position; "resample", from a row of `reference`. reference: any number of
    prompts that correspond to `tokens` position by position (default: `tokens`). groups: a number
    per prompt, reference_groups one per reference prompt (default: `groups`); means and samples
    are taken among the reference prompts with the prompt's number, as Wang et al. 2022 (arXiv
    2211.00593, section 2) do with templates. Padding of shorter prompts is left out of means.
    seed: of the resampling, in which no prompt gets its own row where there is another. said: every
    layer's outputs z on `reference`, where they are at hand.

    Raises UnknownName or CourseError for modes and shapes that do not fit.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: Any,
        tokens: Tokens,
        mode: Mode = "mean",
        *,
        reference: Tokens | None = None,
        groups: Int[Tensor, " batch"] | None = None,
        reference_groups: Int[Tensor, " reference"] | None = None,
        seed: int = 0,
        said: list[Tensor] | None = None,
    ) -> None:
        if mode not in MODES:
            raise UnknownName("way to ablate", mode, MODES)
        reference = tokens if reference is None else reference
        if groups is None:
            groups, reference_groups = (torch.zeros(len(x)).long() for x in (tokens, reference))
        reference_groups = groups if reference_groups is None else reference_groups
        _require_fitting(tokens, reference, groups, reference_groups)
        require_left_aligned(model, tokens)
        self.model, self.tokens, self.stages = model, tokens, stages_of(model, tokens)
        self.base: Run = self.stages.run(tokens, keep=("resid_pre", "k", "v", "z"))
        z = self.stages.run(reference, keep=("z",)).z if said is None else said
        theirs = real_positions(model, reference)
        if mode != "zero":
            needed = real_lengths(model, tokens)
            _require_words_there(needed, theirs.sum(1), groups, reference_groups, mode)
        self.instead = _replacements(z, mode, groups, reference_groups, theirs, seed)
        differ = mode != "zero"  # before the first difference a head's output replaces itself
        self.first = _first_apart(tokens, reference, groups, reference_groups) if differ else 0
        self._streams: OrderedDict[tuple[int, frozenset[Head]], Tensor] = OrderedDict()

    @torch.no_grad()
    def score(self, heads: Heads, metric: Metric | LogitDifference) -> float:
        """The metric with these heads ablated, in its own units."""
        return self.scores(heads, metric).item()

    @torch.no_grad()
    def scores(self, heads: Heads, metric: Metric | LogitDifference) -> Tensor:
        """The same as a tensor; of `LogitDifference.each()`, one number for each prompt."""
        require_read_at_words(self.model, self.tokens, metric)
        tail = Tail(self.stages, self.base, metric, self.first)
        return tail.scores(self._resid(heads, tail))[0]

    @torch.no_grad()
    def one_by_one(
        self,
        heads: Collection[Head],
        metric: Metric | LogitDifference,
        over: Sequence[str] = ("layer", "head"),
    ) -> Float[Tensor, "*over"]:
        """The metric with each of these heads ablated by itself, not a number for the others.

        over: ("layer", "head"), or ("layer", "head", "position"), ablated at one position only.
        """
        require_read_at_words(self.model, self.tokens, metric)
        return replace_heads(self.stages, self.base, self.instead, metric, heads, over, self.first)

    @torch.no_grad()
    def logits(self, heads: Heads) -> Float[Tensor, "batch pos d_vocab"]:
        """Logits with these heads ablated: everywhere, or where a mask says so.

        heads: (layer, head) pairs, or a mapping from them to masks [batch, pos].
        """
        tail = Tail(self.stages, self.base, _no_metric, self.first)
        return self.stages.logits(tail.whole(self._resid(heads, tail)[0]))

    def _resid(self, heads: Heads, tail: Tail) -> Float[Tensor, "1 batch end d_model"]:
        masks = self._masks(heads)
        if not masks:
            return self.base.resid_final[None]
        everywhere = not isinstance(heads, Mapping)
        first = min(layer for layer, _ in masks)
        resid = tail.of(self.base.resid_pre[first])[None]
        if everywhere and (known := self._known(masks, first)):
            first, resid = known
        for layer in range(first, self.stages.n_layers):
            if everywhere:
                self._remember(layer, masks, resid)
            resid = tail.through(layer, resid, self._edit(layer, masks))
        return resid

    def _known(self, heads: Iterable[Head], first: int) -> tuple[int, Tensor] | None:
        """The highest layer whose stream an earlier run had with the same heads gone below it."""
        for layer in range(self.stages.n_layers - 1, first, -1):
            key = layer, _below(layer, heads)
            if key in self._streams:
                self._streams.move_to_end(key)
                return layer, self._streams[key]
        return None

    def _remember(self, layer: int, heads: Iterable[Head], resid: Tensor) -> None:
        """Keeps the stream before a layer, and forgets what was not asked for longest."""
        self._streams[layer, _below(layer, heads)] = resid
        while len(self._streams) > max(REMEMBERED // resid.nbytes, self.stages.n_layers):
            self._streams.popitem(last=False)

    def _masks(self, heads: Heads) -> dict[Head, Bool[Tensor, "batch pos"]]:
        everywhere = torch.ones_like(self.tokens, dtype=torch.bool)
        masks = dict(heads) if isinstance(heads, Mapping) else dict.fromkeys(heads, everywhere)
        self.require_heads(masks)
        return masks

    def require_heads(self, heads: Iterable[Head]) -> None:
        """Raises CourseError where the model has no such head."""
        require_heads(heads, self.stages.n_layers, self.stages.n_heads)

    def _edit(self, layer: int, masks: dict[Head, Tensor]) -> Edit:
        here = {head: mask for (where, head), mask in masks.items() if where == layer}
        if not here:
            return unedited

        def edit(name: str, layer: int, value: Tensor) -> Tensor:
            if name != "z":
                return value
            value, n_queries = value.clone(), value.shape[2]
            for head, mask in here.items():
                mask = mask[:, -n_queries:, None]
                instead = self.instead[layer][:, -n_queries:, head]
                value[:, :, :, head] = torch.where(mask, instead, value[:, :, :, head])
            return value

        return edit


def ablations(
    model: Any, tokens: Tokens, modes: Iterable[Mode] = MODES, **options: Any
) -> dict[Mode, Ablation]:
    """The same prompts ablated in several ways, the reference run once: options of `Ablation`."""
    reference = options.get("reference", tokens)
    with torch.no_grad():
        said = stages_of(model, tokens).run(reference, keep=("z",)).z
    return {mode: Ablation(model, tokens, mode, said=said, **options) for mode in modes}


def ablate(
    model: Any,
    tokens: Tokens,
    heads: Heads,
    *,
    mode: Mode = "mean",
    **options: Any,
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits with the outputs z of some heads replaced; `options` are those of `Ablation`.

    heads: (layer, head) pairs, or a mapping from them to masks [batch, pos] of where. For many sets
    of heads on the same prompts make one `Ablation` and ask it for each.
    """
    return Ablation(model, tokens, mode, **options).logits(heads)


def _below(layer: int, heads: Iterable[Head]) -> frozenset[Head]:
    return frozenset(head for head in heads if head[0] < layer)


def _no_metric(_logits: Tensor) -> Tensor:
    raise AssertionError("Logits were asked for, not a metric.")


def _require_fitting(
    tokens: Tokens, reference: Tokens, groups: Tensor, reference_groups: Tensor
) -> None:
    if reference.ndim != 2 or reference.shape[1] != tokens.shape[1]:
        raise CourseError(
            "Reference prompts need the length of the tokens; got "
            f"{list(reference.shape)} and {list(tokens.shape)}."
        )
    for name, numbers, prompts in (
        ("groups", groups, tokens),
        ("reference_groups", reference_groups, reference),
    ):
        if numbers.shape != prompts.shape[:1]:
            raise CourseError(
                f"{name} needs one number for each of the {len(prompts)} prompts, got shape "
                f"{list(numbers.shape)}."
            )
    missing = sorted(set(groups.tolist()) - set(reference_groups.tolist()))
    if missing:
        raise CourseError(f"No reference prompt belongs to the groups {missing}.")


def _require_words_there(
    lengths: Tensor, theirs: Tensor, groups: Tensor, reference_groups: Tensor, mode: Mode
) -> None:
    """Raises CourseError where a prompt's word would be replaced by what heads say at padding."""
    for group in groups.unique():
        needed = int(lengths[groups == group].max())
        there = theirs[reference_groups == group]
        found = int(there.max() if mode == "mean" else there.min())
        if found < needed:
            who = "the longest" if mode == "mean" else "one"
            raise CourseError(
                f"A prompt has {needed} tokens and {who} of its reference prompts {found}: what "
                "follows is padding, and a head says nothing there. Give reference prompts of the "
                "prompt's length, or groups of one length each."
            )


def _first_apart(tokens: Tokens, reference: Tokens, groups: Tensor, theirs: Tensor) -> int:
    """The first position at which a prompt differs from a reference prompt of its group."""
    firsts = [
        first_difference(rows, rows[:1].expand_as(rows))
        for group in groups.unique()
        for rows in [torch.cat([tokens[groups == group], reference[theirs == group]])]
    ]
    return min(*firsts, tokens.shape[1] - 1)


def _replacements(
    z: list[Float[Tensor, "reference pos head d_head"]],
    mode: Mode,
    groups: Int[Tensor, " batch"],
    reference_groups: Int[Tensor, " reference"],
    words: Bool[Tensor, "reference pos"],
    seed: int,
) -> list[Float[Tensor, "batch pos head d_head"]]:
    """For every layer, what takes the place of z."""
    if mode == "zero":
        return [torch.zeros_like(layer[:1]).expand(len(groups), -1, -1, -1) for layer in z]
    if mode == "resample":
        rows = _other_rows(groups, reference_groups, seed)
        return [layer[rows] for layer in z]
    return [_group_means(layer, groups, reference_groups, words) for layer in z]


def _group_means(
    z: Float[Tensor, "reference pos head d_head"],
    groups: Tensor,
    reference_groups: Tensor,
    words: Bool[Tensor, "reference pos"],
) -> Float[Tensor, "batch pos head d_head"]:
    """Means at each position over those reference prompts of the group that have a word there."""
    means = torch.empty(len(groups), *z.shape[1:], dtype=z.dtype, device=z.device)
    for group in groups.unique():
        member, counted = z[reference_groups == group], words[reference_groups == group]
        if not counted.all():
            member = member * (counted / counted.float().mean(0).clamp(min=1e-9))[..., None, None]
        means[groups == group] = reduce(member, "reference ... -> 1 ...", "mean")
    return means


def _other_rows(
    groups: Int[Tensor, " batch"], reference_groups: Int[Tensor, " reference"], seed: int
) -> Int[Tensor, " batch"]:
    """For each prompt a reference row of its group: the next one in a random cycle."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.empty_like(groups)
    for group in groups.unique():
        (members,) = torch.where(groups == group)
        (others,) = torch.where(reference_groups == group)
        others = others[torch.randperm(len(others), generator=generator)]
        after = {int(row): int(other) for row, other in zip(others, others.roll(1), strict=True)}
        for i, member in enumerate(members.tolist()):
            rows[member] = after.get(member, int(others[i % len(others)]))
    return rows
