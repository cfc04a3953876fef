"""Exercise `copy_score`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c06_indirect_object_identification.shared import D_VOCAB, NAMES
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer


class GroupedTransformer(CourseTransformer):
    """Heads that share their keys and values in pairs; W_K and W_V list what is shared once."""

    @property
    def W_K(self) -> Tensor:
        return self._stack("W_K")[:, ::2]

    @property
    def W_V(self) -> Tensor:
        return self._stack("W_V")[:, ::2]

    @property
    def OV(self) -> Any:
        from transformer_lens import FactoredMatrix

        return FactoredMatrix(self._stack("W_V"), self.W_O)


@cache
def _copying_model(seed: int | None = None) -> CourseTransformer:
    """Layer 1: a head that copies what layer 0 left at a name, one that does the reverse, one that
    writes something else, one that copies the next name; heads share values in pairs.

    Layer 0 turns a name's embedding into another direction, so that reading W_E finds nothing.
    """
    d_model = 2 * D_VOCAB
    cfg = CourseConfig(2, 4, d_model, D_VOCAB, D_VOCAB, 16)
    model, unit = GroupedTransformer.blank(cfg), torch.eye(D_VOCAB)
    blocks: Any = model.blocks
    with torch.no_grad():
        model.embed.W_E[:, :D_VOCAB] = unit
        model.unembed.W_U[:D_VOCAB] = unit
        model.embed.W_E[0] = 0.0
        for query in NAMES:  # layer 0, head 0: a name moves itself to the second half
            blocks[0].attn.W_Q[0, query, query] = 300.0
        blocks[0].attn.W_K[0, :D_VOCAB] = unit
        blocks[0].attn.W_V[0, :D_VOCAB] = unit
        blocks[0].attn.W_O[0, :, D_VOCAB:] = unit
        attn = blocks[1].attn
        attn.W_V[0, D_VOCAB:] = attn.W_V[1, D_VOCAB:] = unit
        attn.W_V[2, D_VOCAB:] = attn.W_V[3, D_VOCAB:] = unit.roll(1, 1)
        attn.W_O[0, :, :D_VOCAB], attn.W_O[1, :, :D_VOCAB] = unit, -unit
        back = unit.roll(-1, 1)
        attn.W_O[2, :, :D_VOCAB], attn.W_O[3, :, :D_VOCAB] = unit - 0.5 * back, back
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            for weight in model.parameters():
                weight.copy_(0.4 * torch.randn(weight.shape, generator=generator))
            for block in blocks:
                for name in ("W_K", "W_V"):
                    shared = getattr(block.attn, name)
                    shared[1::2] = shared[::2].clone()
    return model.requires_grad_(False).eval()


copy_score = Exercise(
    "copy_score",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "A head reads x and writes x W_V W_O. The unembedding W_U turns that into logits, one for "
        "each token of the vocabulary.",
        "Grouped values: if W_V has fewer heads than W_O, head h uses value h // (heads per "
        "value).",
        "written = sign * resid @ W_V[group] @ W_O[index], with group = index // (len(W_O) // "
        "len(W_V)).",
    ],
)


@copy_score.cases
def _copy_cases() -> Iterator[Case]:
    model, names = _copying_model(), torch.tensor(NAMES)
    yield Case("a head that writes the name it reads", model, (1, 0), names)
    yield Case("a head that writes against the name it reads", model, (1, 1), names)
    yield Case("that head, the sign turned", model, (1, 1), names, -1)
    yield Case("a head that writes another name", model, (1, 2), names)
    yield Case("a head whose W_V and W_O copy only together", model, (1, 3), names)
    for seed, head in enumerate([(1, 2), (0, 3), (1, 1), (1, 3)]):
        sign = -1 if seed == 2 else 1
        random = _copying_model(seed + 1)
        yield Case("random weights", random, head, torch.arange(1, 28), sign)


def _copied(
    model: Any, head: Any, names: Tensor, sign: int = 1, *, k: int = 5, bos: bool = True,
    position: int = -1, raw: bool = False, group: int | None = None, keep: bool = False,
) -> Tensor:  # fmt: skip
    """Whether each name is among the k largest logits, one name after the other."""
    layer, index = head
    W_V, hits = model.W_V[layer], []
    group = index * len(W_V) // model.cfg.n_heads if group is None else group
    for name in names:
        prompt = torch.tensor([[0, int(name)] if bos else [int(name)]])
        after = model.run_with_cache(prompt, return_cache_object=False)[1]
        read = model.W_E[name] if raw else after["blocks.0.hook_resid_post"][0, position]
        written = sign * read @ W_V[group] @ model.W_O[layer, index]
        logits = (written + keep * read) @ model.W_U
        hits.append(int(name) in logits.argsort(descending=True)[:k].tolist())
    return torch.tensor(hits)


@copy_score.oracle
def _copy_oracle(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _copied(model, head, names, sign).float().mean().item()


def _share(hits: Tensor) -> float:
    return hits.float().mean().item()


@copy_score.wrong(
    "the sign is not used. Multiply what the head writes by it before you look for the largest "
    "logits."
)
def sign_not_used(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names))


@copy_score.wrong(
    "the head reads the bare embedding W_E. By the time a head of a later layer reads a name, "
    "layer "
    "0 has worked on it: take the residual stream after layer 0."
)
def bare_embedding(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, raw=True))


@copy_score.wrong("only the single largest logit was looked at; asked is one of the 5 largest.")
def top_1(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, k=1))


@copy_score.wrong(
    "the wrong value matrix: this model's heads share values in groups. Head h reads with number "
    "h // (heads per value)."
)
def first_group(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, group=0))


@copy_score.wrong(
    "the wrong value matrix: consecutive heads share one, so head h reads with number "
    "h // (heads per value), not with h modulo the number of values."
)
def group_by_modulo(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, group=head[1] % model.W_V.shape[1]))


@copy_score.wrong("the head read BOS: the name stands at position 1 of [BOS, name].")
def reads_bos(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, position=0))


@copy_score.wrong(
    "the residual stream itself was added to what the head writes. Then every head seems to copy: "
    "the name is there already."
)
def residual_added(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return _share(_copied(model, head, names, sign, keep=True))


@copy_score.wrong("this is the number of names; asked is their share.")
def copies_counted(model: Any, head: Any, names: Tensor, sign: int = 1) -> float:
    return float(_copied(model, head, names, sign).sum())
