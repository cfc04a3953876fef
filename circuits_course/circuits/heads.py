"""Looking at all heads of a model at once, whichever model it is.

Every function takes a `CourseTransformer` or a `transformer_lens.TransformerBridge`. Heads are
named by the pair (layer, head), in text "layer.head".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.padding import real_positions, require_scored_at_words
from circuits_course.errors import CourseError

Head = tuple[int, int]

PUBLISHED: dict[str, dict[str, tuple[Head, ...]]] = {
    "gpt2-small": {
        "induction": ((5, 1), (5, 5), (6, 9), (7, 2), (7, 10)),
        "previous token": ((2, 2), (4, 11)),
    },
}
"""Heads by what they attend to, in the order of layers.

GPT-2 small: the induction heads on random tokens shown twice, as the answers of ARENA's chapter 1.2
name them (McDougall, "Intro to Mechanistic Interpretability: TransformerLens & induction circuits",
section 2); the previous-token heads of Wang et al. 2022 (2211.00593, section 3).
"""

PUBLISHED_IOI: dict[str, dict[str, tuple[Head, ...]]] = {
    "gpt2-small": {
        "induction": ((5, 5), (6, 9), (5, 8), (5, 9)),
        "previous token": ((2, 2), (4, 11)),
        "duplicate token": ((0, 1), (3, 0), (0, 10)),
        "S-inhibition": ((7, 3), (7, 9), (8, 6), (8, 10)),
        "name mover": ((9, 9), (10, 0), (9, 6)),
        "backup name mover": (
            (9, 0), (9, 7), (10, 1), (10, 2), (10, 6), (10, 10), (11, 2), (11, 9),
        ),
        "negative name mover": ((10, 7), (11, 10)),
    },
}  # fmt: skip

"""The 26 heads of GPT-2 small's IOI circuit by class: Wang et al. 2022 (2211.00593, figure 2)."""


@torch.no_grad()
def head_scores(
    model: Any,
    tokens: Int[Tensor, "batch pos"],
    score: Callable[[Float[Tensor, "batch head q k"]], Float[Tensor, "batch head"]],
) -> Float[Tensor, "layer head"]:
    """Scores every head's attention pattern on `tokens`, averaged over the batch.

    score: pattern [batch, head, q, k] -> [batch, head]. Patterns are scored as they arise and not
    kept, so that long prompts and many layers fit in memory. Raises CourseError where prompts of
    different lengths are padded and the score counts queries that are padding.
    """
    scores: dict[str, Tensor] = {}
    words = real_positions(model, tokens)

    def keep(pattern: Tensor, hook: Any) -> None:
        if not scores:
            require_scored_at_words(score, pattern, words)
        scores[hook.name] = score(pattern).float().mean(0)

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    hooks = [*last_logits_hooks(model), *((name, keep) for name in names)]
    model.run_with_hooks(tokens, return_type=None, fwd_hooks=hooks)
    return torch.stack([scores[name] for name in names])


@torch.no_grad()
def read_patterns(
    model: Any, prompt: str | Int[Tensor, "1 pos"]
) -> tuple[list[str], Float[Tensor, "layer head q k"]]:
    """The tokens of one prompt as words, and every head's attention on them."""
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    kept: dict[int, Tensor] = {}

    def keep(pattern: Tensor, hook: Any) -> None:
        kept[hook.layer()] = pattern[0].float().cpu()

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    hooks = [*last_logits_hooks(model), *((name, keep) for name in names)]
    model.run_with_hooks(tokens, return_type=None, fwd_hooks=hooks)
    words = [str(word) for word in model.to_str_tokens(tokens[0])]
    return words, torch.stack([kept[layer] for layer in range(model.cfg.n_layers)])


def last_logits_hooks(model: Any) -> list[tuple[str, Any]]:
    """Hooks with which a run ends in the logits of its last position alone, [batch, 1, d_vocab].

    A bridge makes logits even where nobody asks for any, and of a real model's whole run they are a
    fifth. A model whose unembedding is no module of its own (a course model) makes them all.
    """
    name = "unembed.hook_in"
    return [(name, lambda resid, hook: resid[:, -1:])] if name in model.hook_dict else []


def diagonal_mean(
    pattern: Float[Tensor, "*head q k"], back: int, first: int = 0
) -> Float[Tensor, "*head"]:
    """Mean attention to the position `back` before the query, over queries from `first` on."""
    return pattern.diagonal(-back, -2, -1)[..., max(first - back, 0) :].mean(-1)


def attention_moved(
    before: Float[Tensor, "*head q k"], after: Float[Tensor, "*head q k"]
) -> Float[Tensor, "*head q"]:
    """The share of each query's attention that lands elsewhere: 0 none of it, 1 all of it."""
    return (before - after).abs().sum(-1) / 2


def head_values(model: Any, cache: Any, layer: int) -> Float[Tensor, "batch pos head d_head"]:
    """The value vectors of one layer, from a model's cache, one for every query head.

    Where several query heads share a value head (grouped keys and values), each gets its copy, so
    that `head_values(...)[:, :, head] @ model.W_O[layer, head]` is what the head would write from
    each position.
    """
    v: Tensor = cache["v", layer]
    if v.ndim == 3:
        v = v.unflatten(-1, (-1, model.cfg.d_head))
    return v.repeat_interleave(model.cfg.n_heads // v.shape[2], dim=2)


def strongest_heads(scores: Float[Tensor, "layer head"], count: int) -> list[Head]:
    """The heads with the largest scores, largest first."""
    order = scores.flatten().argsort(descending=True)[:count].tolist()
    return [divmod(index, scores.shape[1]) for index in order]


def require_heads(heads: Iterable[Head], n_layers: int, n_heads: int) -> None:
    """Raises CourseError for a head (layer, head) that the model has not."""
    for layer, head in heads:
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise CourseError(
                f"There is no head {layer}.{head}: the model has {n_layers} layers of {n_heads} "
                "heads, counted from 0."
            )


def head_name(head: Head) -> str:
    """(5, 1) -> "5.1", layer first, as in the literature."""
    return f"{head[0]}.{head[1]}"


@dataclass(frozen=True)
class InductionTrace:
    """What induction heads do at the last token of one prompt.

    Positions count the beginning-of-sequence token as 0. token: the last token, as text;
    earlier: the nearest earlier position that holds the same token; followed_by: the token that
    stood after it, which is what pure induction would say; predicted: the model's top token.
    to_earlier, to_next: for each induction head of the model, its attention from the last position
    to `earlier` and to `earlier + 1`.
    """

    token: str
    earlier: int
    followed_by: str
    predicted: str
    to_earlier: dict[Head, float]
    to_next: dict[Head, float]

    @property
    def is_induction(self) -> bool:
        """Whether the model said what followed the earlier occurrence."""
        return self.predicted == self.followed_by

    def __str__(self) -> str:
        lines = [
            f"{self.token!r} stood at position {self.earlier} before, followed by "
            f"{self.followed_by!r}. The model says {self.predicted!r}: "
            + ("what induction says." if self.is_induction else "not what induction says."),
            "attention to   the earlier one   the token after it",
        ]
        lines += [
            f"  head {head_name(head):8} {self.to_earlier[head]:9.2f} {self.to_next[head]:19.2f}"
            for head in self.to_next
        ]
        return "\n".join(lines)
