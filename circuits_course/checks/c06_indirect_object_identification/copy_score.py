"""Exercise `copy_score`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c06_indirect_object_identification.shared import (
    D_VOCAB,
    NAMES,
    ToyBatch,
    of_first,
)
from circuits_course.checks.slips import slip
from circuits_course.models.config import CourseConfig
from circuits_course.models.layers import Attention
from circuits_course.models.transformer import CourseTransformer


class GroupedAttention(Attention):
    """Heads that share their values in pairs: `hook_v` holds each shared value once."""

    def forward(self, query_input: Tensor, key_input: Tensor, value_input: Tensor) -> Tensor:
        q, k = (
            torch.einsum("bpd,hdk->bphk", x, W)
            for x, W in ((query_input, self.W_Q), (key_input, self.W_K))
        )
        shared = self.hook_v(torch.einsum("bpd,hdk->bphk", value_input, self.W_V[::2]))
        v = shared.repeat_interleave(2, dim=2)
        pattern = self.hook_pattern(self.scores(self.hook_q(q), self.hook_k(k)).softmax(-1))
        return self.write(self.hook_z(torch.einsum("bhqk,bkhd->bqhd", pattern, v)))


class GroupedTransformer(CourseTransformer):
    """A model of such heads; W_V lists what is shared once."""

    @property
    def W_V(self) -> Tensor:
        return self._stack("W_V")[:, ::2]


@cache
def _copying_model(seed: int | None = None, n_heads: int = 4) -> CourseTransformer:
    """Layer 1: a head that copies what layer 0 left at a name, one that does the reverse, one that
    writes something else, one that copies the next name; heads share values in pairs.

    Layer 0 turns a name's embedding into another direction, so that reading W_E finds nothing.
    """
    d_model = 2 * D_VOCAB
    cfg = CourseConfig(2, n_heads, d_model, D_VOCAB, D_VOCAB, 16)
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
    for block in blocks:
        block.attn.__class__ = GroupedAttention
    return model.requires_grad_(False).eval()


@cache
def _copying_batch(seed: int | None = None, n_heads: int = 4) -> ToyBatch:
    return ToyBatch(_copying_model(seed, n_heads))


copy_score = Exercise(
    "copy_score",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "A head moves values. The value of the name in each prompt is in the cache: "
        'cache["v", layer][rows, at] is [batch, kv_head, d_head].',
        "Several heads may share a value: head h reads number h // (heads per value). How many "
        "values are there? v.shape[1].",
        "written = sign * v[:, index // shared_by] @ model.W_O[layer, index] @ model.W_U, with "
        "shared_by = model.cfg.n_heads // v.shape[1].",
    ],
)


@copy_score.cases
def _copy_cases() -> Iterator[Case]:
    batch = _copying_batch()
    model = batch.model
    yield Case("a head that writes the name it reads", model, batch, (1, 0))
    yield Case("a head that writes against the name it reads", model, batch, (1, 1), "S2")
    yield Case("that head, the sign turned", model, batch, (1, 1), "S2", -1)
    yield Case("a head that writes another name", model, batch, (1, 2), "S1")
    yield Case("a head whose W_V and W_O copy only together", model, batch, (1, 3))
    for where in ("IO", "S1", "S2"):
        random = _copying_batch(7)
        yield Case("other shares at other names", random.model, random, (1, 2), where)
    usual = _copying_batch(3)
    yield Case("a place and a sign that are not given", usual.model, usual, (1, 2))
    six = _copying_batch(9, 6)
    for index in (2, 4):
        yield Case("six heads that share three values", six.model, six, (1, index), "S1")
    tries = (("IO", 1), ("S2", 1), ("IO", -1), ("S1", 1), ("S2", -1), ("IO", 1))
    heads = ((1, 2), (0, 3), (1, 1), (1, 3), (1, 2), (0, 1))
    for seed, (head, (where, sign)) in enumerate(zip(heads, tries, strict=True)):
        random = _copying_batch(seed + 1)
        yield Case("random weights", random.model, random, head, where, sign)


def _copied(
    model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1, *, k: int = 5,
    group: int | None = None, at: Any = None, read: str = "v",
) -> Tensor:  # fmt: skip
    """Whether the name is among the k largest logits, one prompt after the other."""
    layer, index = head
    group = index // 2 if group is None else group
    W_V, W_O = model.blocks[layer].attn.W_V[2 * group], model.W_O[layer, index]
    hits = []
    for i, row in enumerate(batch.tokens):
        place = int((batch.positions[where] if at is None else at)[i])
        after = model.run_with_cache(row[None], return_cache_object=False)[1]
        value = {
            "v": lambda place=place, after=after: (
                after[f"blocks.{layer}.hook_resid_pre"][0, place] @ W_V
            ),
            "W_E": lambda place=place, row=row: model.W_E[row[place]] @ W_V,
            "z": lambda after=after, i=i: after[f"blocks.{layer}.attn.hook_z"][
                0, batch.positions["END"][i], index
            ],
        }[read]()
        name = int(row[int(batch.positions[where][i])])
        logits = sign * value @ W_O @ model.W_U
        hits.append(name in logits.argsort(descending=True)[:k].tolist())
    return torch.tensor(hits)


@copy_score.oracle
def _copy_oracle(model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1) -> float:
    return _copied(model, batch, head, where, sign).float().mean().item()


def _share(hits: Tensor) -> float:
    return hits.float().mean().item()


@copy_score.wrong(
    "the sign is not used. Multiply what the head writes by it before you look for the largest "
    "logits."
)
def sign_not_used(model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1) -> float:
    return _share(_copied(model, batch, head, where))


@copy_score.wrong(
    "the head reads the bare embedding W_E. By the time a head of a later layer reads a name, the "
    "layers below have worked on it: take the cached value of the very prompt."
)
def bare_embedding(model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1) -> float:
    return _share(_copied(model, batch, head, where, sign, read="W_E"))


@copy_score.wrong("only the single largest logit was looked at; asked is one of the 5 largest.")
def top_1(model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1) -> float:
    return _share(_copied(model, batch, head, where, sign, k=1))


@copy_score.wrong(
    "the wrong value: this model's heads share values in groups. Head h reads number "
    "h // (heads per value)."
)
def first_group(model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1) -> float:
    return _share(_copied(model, batch, head, where, sign, group=0))


@copy_score.wrong(
    "the wrong value: consecutive heads share one, so head h reads number h // (heads per value), "
    "not h modulo the number of values."
)
def group_by_modulo(model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1) -> float:
    return _share(_copied(model, batch, head, where, sign, group=head[1] % 2))


@copy_score.wrong(
    "this is what the head moves to END, z: a mixture of all values by its attention. Whether it "
    "copies is asked of the one value at the name."
)
def from_z(model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1) -> float:
    return _share(_copied(model, batch, head, where, sign, read="z"))


@copy_score.wrong(
    "the values were read at END. The name stands at batch.positions[where]; that is the value "
    "that says what the head makes of it."
)
def read_at_end(model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1) -> float:
    return _share(_copied(model, batch, head, where, sign, at=batch.positions["END"]))


@copy_score.wrong(
    "the positions of the first prompt were used for all; batch.positions has one for each."
)
def places_of_the_first(
    model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1
) -> float:
    return _share(_copied(model, batch, head, where, sign, at=of_first(batch, where)))


@copy_score.wrong("this is the number of prompts; asked is their share.")
def copies_counted(model: Any, batch: Any, head: Any, where: str = "IO", sign: int = 1) -> float:
    return float(_copied(model, batch, head, where, sign).sum())


slip(
    copy_score,
    "values_of_the_bare_name",
    "the value was made from the bare embedding. What the head moves is its v in the very "
    "prompt, which layers below have added to.",
    ("v[:, index // shared_by]", "model.W_E[name] @ model.W_V[layer, index]"),
)


slip(
    copy_score,
    "always_the_io",
    "it was the IO's token that was looked for. With another `where`, it is the name that stands "
    "there.",
    ("name = batch.tokens[rows, at]", "name = batch.io"),
)


slip(
    copy_score,
    "always_read_at_the_io",
    "`where` is not heeded: the value and the name are always those of the IO.",
    ("batch.positions[where]", 'batch.positions["IO"]'),
)


slip(
    copy_score,
    "value_of_another_place",
    "the name is looked for at `where`, but the value was read at the IO. The head reads the "
    "name at `where`.",
    ('cache["v", layer][rows, at]', 'cache["v", layer][rows, batch.positions["IO"]]'),
)


slip(
    copy_score,
    "largest_in_size",
    "sizes were compared, without their signs: a token that is lowered much counts as "
    "raised. Take topk of the signed logits.",
    ("written.topk(5)", "written.abs().topk(5)"),
)


slip(
    copy_score,
    "lowered_for_raised",
    "these are the five tokens that the head lowers most. With sign 1 it is the raised ones: "
    "topk as it is.",
    ("written.topk(5)", "written.topk(5, largest=False)"),
)


slip(
    copy_score,
    "first_heads_W_O",
    "the value went through the W_O of head 0. Each head has its own: W_O[layer, index].",
    ("W_O[layer, index]", "W_O[layer, 0]"),
)


slip(
    copy_score,
    "ten_for_five",
    "ten tokens were looked at. Five are asked for: topk(5).",
    ("topk(5)", "topk(10)"),
)


slip(
    copy_score,
    "any_name_of_the_batch",
    "a prompt counts as a hit if the name of any prompt is among the five. Compare with the "
    "prompt's own: name[:, None].",
    ("(top == name[:, None])", "torch.isin(top, name)"),
)


slip(
    copy_score,
    "one_prompt_for_all",
    "one hit anywhere makes the whole batch a hit. Ask prompt by prompt, .any(-1), and take "
    "the mean.",
    ("(top == name[:, None]).any(-1)", "(top == name[:, None]).any()"),
)


slip(
    copy_score,
    "hits_by_token",
    "this is the share of the 5 tokens that are the name, at most a fifth. Ask whether the "
    "name is among them: .any(-1).",
    ("(top == name[:, None]).any(-1)", "(top == name[:, None])"),
)


slip(
    copy_score,
    "values_of_layer_0",
    'the values are those of layer 0. Read the head\'s own layer: cache["v", layer].',
    ('names_filter=f"blocks.{layer}.attn.hook_v"', 'names_filter="blocks.0.attn.hook_v"'),
    ('cache["v", layer]', 'cache["v", 0]'),
)


slip(
    copy_score,
    "mean_W_O",
    "the value went through the mean of the layer's W_O. Each head has its own: W_O[layer, index].",
    ("W_O[layer, index]", "W_O[layer].mean(0)"),
)


slip(
    copy_score,
    "position_for_token",
    "the five tokens were compared with the place of the name. Compare with the token that "
    "stands there.",
    ("(top == name[:, None])", "(top == at[:, None])"),
)


slip(
    copy_score,
    "output_of_another_layer",
    "W_O is that of layer 0. The head's own is W_O[layer, index].",
    (
        "model.W_O[layer, index]",
        "model.W_O[0, index]",
    ),
)


slip(
    copy_score,
    "among_the_prompts_tokens",
    "only tokens of the prompts were ranked. Among all of the vocabulary the name has to be one "
    "of the first five.",
    (
        "top = written.topk(5).indices",
        "said = batch.tokens.unique()\n    top = said[written[:, said].topk(5).indices]",
    ),
)
