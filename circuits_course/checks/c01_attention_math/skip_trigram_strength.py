"""Exercise `skip_trigram_strength`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import random_model
from circuits_course.checks.slips import slip
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

skip_trigram_strength = Exercise(
    "skip_trigram_strength",
    difficulty=4,
    importance=5,
    minutes=15,
    hints=[
        "There are two halves. From the QK circuit: how much does a token dest attend to the token "
        "source? From the OV circuit: what does the head add to the logit of each token out when "
        "it attends to source? The strength is their product.",
        "Token by token, W_E @ W_QK @ W_E.T / sqrt(d_head) holds the score of every query token "
        "(row) with every key token (column). A softmax over the keys makes it attention, [dest, "
        "source]. W_E @ W_OV @ W_U is the other half, [source, out].",
        'The last step: einsum(attention, ov, "dest source, source out -> source dest out").',
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


@cache
def _idiom_model() -> CourseTransformer:
    """One head by hand: at "in" it looks at "keep" and adds to "mind"; the rest is idle."""
    words = ("BOS", "keep", "in", "mind", "a")
    cfg = CourseConfig(
        n_layers=1, n_heads=2, d_model=5, d_head=4, d_vocab=5, n_ctx=8, vocabulary=words
    )
    model = CourseTransformer.blank(cfg)
    hot = torch.eye(5)
    with torch.no_grad():
        model.embed.W_E.copy_(hot)
        model.unembed.W_U.copy_(hot)
    thin = torch.eye(5, 4)
    for head, keys, outs in ((0, "a", "a"), (1, "keep", "mind")):
        query = 8.0 * torch.outer(hot[words.index("in")], thin[0, :4])
        key = torch.outer(hot[words.index(keys)], thin[0, :4])
        write = 4.0 * torch.outer(thin[0, :4], hot[words.index(outs)])
        model.set_head(0, head, W_Q=query, W_K=key, W_V=key, W_O=write)
    return model.requires_grad_(False)


@skip_trigram_strength.cases
def _trigram_cases() -> Iterator[Case]:
    yield Case('a head written by hand for "keep ... in mind"', _idiom_model(), 1)
    yield Case("a random model", random_model(1, 3, seed=1), 2)
    yield Case("another random model", random_model(1, 4, seed=2, d_head=5), 0)
    yield Case("its fourth head", random_model(1, 4, seed=2, d_head=5), 3)


@skip_trigram_strength.oracle
def _strength_oracle(model: Any, head: int) -> Tensor:
    """Word by word, with the head's own matrices; no circuit is ever multiplied out."""
    attention, writes = _halves(model, head)
    return torch.stack(
        [torch.outer(attention[:, source], write) for source, write in enumerate(writes)]
    )


def _halves(model: Any, head: int) -> tuple[Tensor, Tensor]:
    """Attention [dest, source], and what a look at each source adds to every out."""
    q, keys = model.W_E @ model.W_Q[0, head], model.W_E @ model.W_K[0, head]
    attention = [F.softmax(keys @ row / math.sqrt(len(row)), dim=0) for row in q]
    writes = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return torch.stack(attention), writes


def _raw(model: Any, head: int) -> Tensor:
    q, k = model.W_E @ model.W_Q[0, head], model.W_E @ model.W_K[0, head]
    return q @ k.T / model.cfg.d_head**0.5


def _combined(attention: Tensor, writes: Tensor) -> Tensor:
    return torch.einsum("ds,so->sdo", attention, writes)


@skip_trigram_strength.wrong(
    "you multiplied scores with logits, without the softmax. Two negative numbers then make a "
    "strong trigram, and a constant added to a row of scores, which attention does not feel, "
    "changes the ranking. Turn scores into attention first."
)
def scores_instead_of_attention(model: Any, head: int) -> Tensor:
    return _combined(_raw(model, head), _halves(model, head)[1])


@skip_trigram_strength.wrong(
    "source and dest are exchanged in the QK circuit: dest is the query, the one who looks, so it "
    "stands in the rows of the attention; source is the key."
)
def source_as_query(model: Any, head: int) -> Tensor:
    attention, writes = _halves(model, head)
    return _combined(attention.T, writes)


@skip_trigram_strength.wrong(
    "the softmax runs over the queries. Each query shares out its attention over the keys: "
    "dim=-1 of [query token, key token]."
)
def softmax_over_dests(model: Any, head: int) -> Tensor:
    return _combined(_raw(model, head).softmax(0), _halves(model, head)[1])


@skip_trigram_strength.wrong(
    "what the head writes is read from dest. A head reads its values where it looks, so the OV "
    "circuit is applied to source: strength[source, dest, out] = attention[dest, source] * "
    "ov[source, out]."
)
def written_from_dest(model: Any, head: int) -> Tensor:
    return torch.einsum("ds,do->sdo", *_halves(model, head))


@skip_trigram_strength.wrong("the scores are not divided by sqrt(d_head) before the softmax.")
def strength_unscaled(model: Any, head: int) -> Tensor:
    raw = _raw(model, head) * model.cfg.d_head**0.5
    return _combined(raw.softmax(-1), _halves(model, head)[1])


@skip_trigram_strength.wrong(
    "the OV circuit is used transposed: that is how much other tokens raise the logit of source. "
    "Rows of W_E @ W_OV @ W_U are what is read, columns what is written."
)
def written_to_source(model: Any, head: int) -> Tensor:
    attention, writes = _halves(model, head)
    return _combined(attention, writes.T)


@skip_trigram_strength.wrong(
    "the first two axes stand in another order: strength[source, dest, out], source first."
)
def dest_first(model: Any, head: int) -> Tensor:
    return _strength_oracle(model, head).transpose(0, 1)


@skip_trigram_strength.wrong(
    "dest and out are exchanged: the last axis holds the words whose logits are raised."
)
def out_before_dest(model: Any, head: int) -> Tensor:
    return _strength_oracle(model, head).transpose(1, 2)


@skip_trigram_strength.wrong("`head` has not been used: these are the strengths of head 0.")
def always_head_zero(model: Any, head: int) -> Tensor:
    return _strength_oracle(model, 0)


@skip_trigram_strength.wrong(
    "source was summed over: a product of the two matrices says what dest adds to out over all "
    "sources together. Keep the axis `source` on the right of the arrow."
)
def sources_summed(model: Any, head: int) -> Tensor:
    attention, writes = _halves(model, head)
    return attention @ writes


slip(
    skip_trigram_strength,
    "halves_added",
    "the two halves are added. A head that does not attend to a source writes nothing of it, "
    "whatever its OV circuit says: multiply.",
    (
        'return einsum(attention, ov, "dest source, source out -> source dest out")',
        "return attention.T[:, :, None] + ov[:, None, :]",
    ),
)


slip(
    skip_trigram_strength,
    "masked_by_vocabulary",
    "the words are masked as if they stood in the order of the vocabulary. No word comes "
    "first here: a softmax alone, without a mask.",
    (
        "(qk / model.cfg.d_head**0.5).softmax(dim=-1)",
        "attention_pattern((qk / model.cfg.d_head**0.5)[None, None])[0, 0]",
    ),
)


slip(
    skip_trigram_strength,
    "words_look_backwards",
    "queries and keys are exchanged: dest asks, through W_Q, and source answers, through W_K.",
    (
        "qk_circuit(model.W_Q[0, head], model.W_K[0, head])",
        "qk_circuit(model.W_K[0, head], model.W_Q[0, head])",
    ),
)


slip(
    skip_trigram_strength,
    "with_the_direct_path",
    "the direct path was added. Asked for is what the head adds: through W_V, W_O and W_U.",
    (
        "    attention =",
        "    ov = ov + model.W_E @ model.W_U\n    attention =",
    ),
)
