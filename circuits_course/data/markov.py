"""Data whose statistics are known exactly, for the models that the course trains.

Every source of data is a frozen dataclass: its fields are the whole recipe, `batch` draws from it,
and its properties give the truth a model could learn at best.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from circuits_course.models.transformer import CourseTransformer


BOS_TOKEN = 0


def sample_rows(
    probabilities: Float[Tensor, "row column"], generator: torch.Generator
) -> Int[Tensor, " row"]:
    """One column per row, by inverting the cumulative distribution (quicker than multinomial)."""
    u = torch.rand(len(probabilities), 1, generator=generator)
    drawn = torch.searchsorted(probabilities.cumsum(-1), u).squeeze(1)
    return drawn.clamp_max(probabilities.shape[1] - 1)  # where rounding left the sum below u


def repeated_random_tokens(
    batch: int, period: int, d_vocab: int, generator: torch.Generator
) -> Int[Tensor, "batch pos"]:
    """BOS, then `period` uniformly random tokens, then the same again: pos = 1 + 2 * period."""
    segment = torch.randint(1, d_vocab, (batch, period), generator=generator)
    bos = torch.full((batch, 1), BOS_TOKEN)
    return torch.cat([bos, segment, segment], dim=1)


def repeated_segments(
    n_rows: int, n_pos: int, d_vocab: int, periods: tuple[int, int], generator: torch.Generator
) -> Int[Tensor, "row pos"]:
    """Random tokens, no two alike, that from some position on repeat with some period, to the end.

    Periods differ from row to row. Three rows of four repeat from their first position; the others
    start later, because a model that never sees a first copy late in its context need not learn to
    look at the previous token there. Needs n_pos < d_vocab.
    """
    low, high = periods
    tokens = 1 + torch.rand(n_rows, d_vocab - 1, generator=generator).argsort(-1)[:, :n_pos]
    period = torch.randint(low, high + 1, (n_rows, 1), generator=generator)
    latest = n_pos - period - period // 2
    start = (torch.rand(n_rows, 1, generator=generator) * (latest + 1)).long()
    start = start * (torch.rand(n_rows, 1, generator=generator) < 0.25)
    offset = torch.arange(n_pos) - start  # [row, pos]
    return tokens.gather(1, torch.where(offset < 0, torch.arange(n_pos), start + offset % period))


@dataclass(frozen=True)
class MarkovAndRepeats:
    """Half text from a Markov chain (bigrams), half random segments repeated (induction).

    The chain's transitions are softmax(sharpness * normal), drawn from `seed`; token 0 is BOS and
    starts every sequence. A sharp chain mostly agrees with its own recent past, so copying pays in
    both halves of the data. Segments have between `periods[0]` and `periods[1]` tokens: no bigram
    helps there (see `repeated_segments`).
    """

    d_vocab: int = 64
    n_ctx: int = 64
    sharpness: float = 5.0
    periods: tuple[int, int] = (6, 30)
    repeats_share: float = 0.5
    seed: int = 0

    @cached_property
    def bigrams(self) -> Float[Tensor, "token next"]:
        """The chain's true next-token probabilities; BOS never follows anything."""
        generator = torch.Generator().manual_seed(self.seed)
        logits = self.sharpness * torch.randn(self.d_vocab, self.d_vocab, generator=generator)
        logits[:, BOS_TOKEN] = -torch.inf
        return logits.softmax(-1)

    def batch(self, size: int, generator: torch.Generator) -> Int[Tensor, "batch pos"]:
        n_repeats = round(size * self.repeats_share)
        chain = self.chain(size - n_repeats, generator)
        repeats = repeated_segments(
            n_repeats, self.n_ctx - 1, self.d_vocab, self.periods, generator
        )
        bos = torch.full((n_repeats, 1), BOS_TOKEN)
        return torch.cat([chain, torch.cat([bos, repeats], dim=1)])

    def chain(self, size: int, generator: torch.Generator) -> Int[Tensor, "batch pos"]:
        """Sequences of the Markov chain alone, BOS first."""
        tokens = [torch.full((size,), BOS_TOKEN)]
        for _ in range(self.n_ctx - 1):
            tokens.append(sample_rows(self.bigrams[tokens[-1]], generator))
        return torch.stack(tokens, dim=1)

    @torch.no_grad()
    def measure(
        self, model: CourseTransformer, period: int = 20, seed: int = 1234
    ) -> dict[str, Any]:
        """Losses in nats on chain, first and second copies; scores [layer][head] on the copies.

        Copies are 20 uniformly random tokens, so one may stand twice: attention that matches a
        single token then splits, and even a perfect induction head scores about 0.86.
        """
        generator = torch.Generator().manual_seed(seed)
        chain = model(self.chain(64, generator), return_type="loss").item()
        period = min(period, (self.n_ctx - 1) // 2)
        tokens = repeated_random_tokens(64, period, self.d_vocab, generator)
        loss = model(tokens, return_type="loss", loss_per_token=True)
        _, activations = model.run_with_cache(tokens, names_filter=lambda name: "pattern" in name)
        pattern = cast(Any, activations).stack_activation("pattern")  # [layer, batch, head, q, k]
        previous = pattern.diagonal(-1, -2, -1).mean(dim=(1, 3))  # [layer, head]
        induction = pattern.diagonal(1 - period, -2, -1)[..., 1:].mean(dim=(1, 3))
        return {
            "chain_loss": round(chain, 4),
            "first_copy_loss": round(loss[:, :period].mean().item(), 4),
            "second_copy_loss": round(loss[:, period:].mean().item(), 4),
            "previous_token": _rounded(previous),
            "induction": _rounded(induction),
        }


def _rounded(scores: Float[Tensor, "layer head"]) -> list[list[float]]:
    return [[round(score, 4) for score in layer] for layer in scores.tolist()]
