"""Lenses: residual states through the final norm and the unembedding, raw or mapped first.

The logit lens (nostalgebraist 2020) reads a state as if it were the last one. The tuned lens
(Belrose et al. 2023, arXiv 2303.08112) first maps it to where the last layer would have it.
TransformerLens' own `transformer_lens.tools.analysis.logit_lens` takes such a map as its argument
`lens`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.padding import require_one_length
from circuits_course.errors import CourseError


def state_names(model: Any) -> list[str]:
    """Hook names of the residual states: before each layer, and after the last; n_layers + 1."""
    n_layers = model.cfg.n_layers
    before = [f"blocks.{layer}.hook_resid_pre" for layer in range(n_layers)]
    return [*before, f"blocks.{n_layers - 1}.hook_resid_post"]


@torch.no_grad()
def residual_states(
    model: Any, tokens: Int[Tensor, "batch pos"], states: Sequence[int] | None = None
) -> Float[Tensor, "state batch pos d_model"]:
    """The residual stream before each layer and after the last, run two sequences at a time.

    states: which of the n_layers + 1 to keep, in this order (default: all); state 0 is the
    embedding, state i what layer i reads. Raises CourseError for prompts of different lengths.
    """
    require_one_length(model, tokens)
    names = state_names(model)
    kept = names if states is None else [names[state] for state in states]
    return torch.cat([_states(model, part, kept) for part in tokens.split(2)], dim=1)


def _states(model: Any, tokens: Tensor, names: list[str]) -> Tensor:
    seen: dict[str, Tensor] = {}

    def keep(value: Tensor, hook: Any, name: str) -> None:
        seen[name] = value.clone()

    hooks = [(name, partial(keep, name=name)) for name in dict.fromkeys(names)]
    model.run_with_hooks(tokens, return_type=None, fwd_hooks=hooks)
    return torch.stack([seen[name] for name in names])


def windows(
    tokens: Int[Tensor, "1 pos"], length: int, count: int | None = None
) -> Int[Tensor, "batch window"]:
    """A long text cut into sequences of `length` tokens, each led by the text's first token (BOS).

    What does not fill a window is left out. Raises CourseError where the text has no `count` of
    them.
    """
    bos, rest = tokens[0, :1], tokens[0, 1:]
    full = len(rest) // (length - 1)
    if full < (count or 1):
        raise CourseError(
            f"This text has {full} windows of {length} tokens, not {count or 1}; take shorter ones."
        )
    parts = rest[: full * (length - 1)].view(full, length - 1)[:count]
    return torch.cat([bos.expand(len(parts), 1), parts], dim=1)


def token_ranks(
    logits: Float[Tensor, "*state batch d_vocab"], tokens: Int[Tensor, " batch"]
) -> Int[Tensor, "*state batch"]:
    """How many tokens have a larger logit than each row's own token; 0 is the top."""
    chosen = tokens.expand(logits.shape[:-1])[..., None]
    return (logits > logits.gather(-1, chosen)).sum(-1)


@torch.no_grad()
def head_contributions(
    model: Any, tokens: Int[Tensor, "1 pos"], token: int, other: int
) -> Float[Tensor, "layer head"]:
    """What each head's write at the last position adds to one token's logit minus another's.

    Directly, with the final norm's scale as it was in this run.
    """
    _, cache = model.run_with_cache(tokens)
    z = torch.stack([cache["z", layer][0, -1] for layer in range(model.cfg.n_layers)])
    writes = torch.einsum("lhd,lhdm->lhm", z, model.W_O)
    normed = cache.apply_ln_to_stack(writes.flatten(0, 1)[:, None], layer=-1, pos_slice=-1)
    return (normed[:, 0] @ (model.W_U[:, token] - model.W_U[:, other])).view(writes.shape[:2])


@dataclass(frozen=True)
class TunedLens:
    """One affine map per state: x -> x weight^T + bias, weight [map, d_model, d_model]."""

    weight: Float[Tensor, "map d_model d_model"]
    bias: Float[Tensor, "map d_model"]

    @classmethod
    def identity(cls, n_maps: int, d_model: int) -> TunedLens:
        """Maps that change nothing: the logit lens."""
        return cls(torch.eye(d_model).repeat(n_maps, 1, 1), torch.zeros(n_maps, d_model))

    def __call__(
        self, states: Float[Tensor, "map *place d_model"]
    ) -> Float[Tensor, "map *place d_model"]:
        """Each state through its own map."""
        flat = states.flatten(1, -2) if states.ndim > 2 else states[:, None]  # [map, n, d_model]
        return (flat @ self.weight.mT + self.bias[:, None]).view_as(states)


def least_squares_lens(states: Float[Tensor, "state n d_model"], ridge: float = 0.03) -> TunedLens:
    """For each state but the last the affine map nearest to the last, in squares; no training.

    ridge: penalty on the matrix, as a share of the mean variance of a state's dimensions. Fitting
    residual states by linear regression: Din et al. 2023 (arXiv 2303.09435).
    """
    x, y = states[:-1], states[-1]
    x_mean, y_mean = x.mean(1, keepdim=True), y.mean(0)
    xc, yc = x - x_mean, y - y_mean
    gram = xc.mT @ xc
    penalty = ridge * gram.diagonal(dim1=-2, dim2=-1).mean(-1)
    gram.diagonal(dim1=-2, dim2=-1).add_(penalty[:, None])
    weight = torch.linalg.solve(gram, xc.mT @ yc).mT
    return TunedLens(weight, y_mean - (x_mean @ weight.mT)[:, 0])


@torch.no_grad()
def kl_to_final(
    model: Any, states: Float[Tensor, "state n d_model"], lens: TunedLens | None = None
) -> Float[Tensor, "map n"]:
    """KL(final || state's prediction) over the whole vocabulary, in nats, at every place.

    For each state but the last, through its map where a lens is given. The same number as
    chapter 08's `lens_kl`; logits of 64 places and one state are held at once.
    """
    found = []
    for part in states.split(64, dim=1):
        log_p = _log_probs(model, part[-1])
        mapped = part[:-1] if lens is None else lens(part[:-1])
        found.append(torch.stack([_kl(log_p, _log_probs(model, state)) for state in mapped]))
    return torch.cat(found, dim=1)


@torch.no_grad()
def kl_of_mean_prediction(
    model: Any, known: Float[Tensor, "m d_model"], final: Float[Tensor, "n d_model"]
) -> Float[Tensor, " n"]:
    """KL(final || m) in nats, where m says the same everywhere: the mean of other predictions.

    known: last states of another text, whose predictions are averaged. It is what a reader gets who
    knows how often words come and never looks at the text; a lens that reads has to do better.
    """
    sums = [_log_probs(model, part).exp().sum(0) for part in known.split(64)]
    log_m = (torch.stack(sums).sum(0) / len(known)).log()
    return torch.cat([_kl(_log_probs(model, part), log_m) for part in final.split(64)])


def _log_probs(model: Any, states: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_vocab"]:
    return model.unembed(model.ln_final(states[None]))[0].log_softmax(-1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(-1)


class Shortlist:
    """Draws a few thousand tokens, so that a step of training needs no logits of all of them.

    Half by how probable the model finds them on average, half evenly, anew for every step. Two
    distributions that agree on every shortlist, each scaled to sum to 1 on it, agree everywhere.
    How far they are apart on a shortlist is another number than on the whole vocabulary: train
    with the one, report the other.
    """

    def __init__(
        self, model: Any, final: Float[Tensor, "n d_model"], size: int = 2048, sample: int = 128
    ) -> None:
        some = final[:: max(1, len(final) // sample)]
        with torch.no_grad():
            mean = model.unembed(model.ln_final(some[None]))[0].softmax(-1).mean(0)
        self.weights = 0.5 * mean + 0.5 / len(mean)
        self.size = min(size, len(mean))
        self.rows = model.W_U.detach().T.contiguous()  # rows are fetched faster than columns
        self.b_U = model.b_U.detach()

    def draw(
        self, generator: torch.Generator
    ) -> tuple[Float[Tensor, "d_model shortlist"], Float[Tensor, " shortlist"]]:
        """The columns of W_U and the entries of b_U that belong to tokens drawn now."""
        tokens = torch.multinomial(self.weights, self.size, generator=generator)
        return self.rows[tokens].T, self.b_U[tokens]
