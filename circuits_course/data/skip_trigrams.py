"""Words into which skip-trigrams are planted, with statistics known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from circuits_course.models.transformer import CourseTransformer

from circuits_course.data.markov import BOS_TOKEN, sample_rows


@dataclass(frozen=True)
class SkipTrigram:
    """`source` anywhere before, `dest` now: `out` comes next."""

    source: str
    dest: str
    out: str


IDIOMS = tuple(
    SkipTrigram(*words.split())
    for words in (
        "take into account",
        "take for granted",
        "keep in mind",
        "keep at bay",
        "salt and pepper",
        "bread and butter",
        "catch by surprise",
        "play by ear",
    )
)

WORDS = "the a it them all this that him her us dog cat man boat road tree door song game rain"

FILLERS = tuple(WORDS.split())


@dataclass(frozen=True)
class PlantedSkipTrigrams:
    """A Markov chain of words into which skip-trigrams are planted.

    `source_share` of the sequences carry one source word, somewhere among the first `source_by`
    positions. From then on each of its destinations is followed by its out word with probability
    `strength`, otherwise by what the chain says. The chain itself puts a destination after any word
    with probability `dest_share`, and after a destination each out word with probability
    `out_share`, source or no source: bigrams alone cannot tell "in mind" from "in bay".
    """

    planted: tuple[SkipTrigram, ...] = IDIOMS
    fillers: tuple[str, ...] = FILLERS
    n_ctx: int = 32
    sharpness: float = 1.0
    source_share: float = 0.75
    source_by: int = 12
    strength: float = 0.6
    dest_share: float = 0.35
    out_share: float = 0.04
    seed: int = 0

    def _words(self, role: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(getattr(trigram, role) for trigram in self.planted))

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """BOS, sources, destinations, out words, fillers."""
        named = (word for role in ("source", "dest", "out") for word in self._words(role))
        return ("BOS", *named, *self.fillers)

    @property
    def d_vocab(self) -> int:
        return len(self.vocabulary)

    def ids(self, role: str) -> list[int]:
        """Tokens of all words of a role: "source", "dest" or "out"."""
        return [self.vocabulary.index(word) for word in self._words(role)]

    @cached_property
    def bigrams(self) -> Float[Tensor, "token next"]:
        """True next-token probabilities where no source word stands before."""
        generator = torch.Generator().manual_seed(self.seed)
        logits = self.sharpness * torch.randn(self.d_vocab, self.d_vocab, generator=generator)
        dest, out = self.ids("dest"), self.ids("out")
        shares = {tuple(dest): self.dest_share, tuple(out): 0.1}
        common = self._spread(logits, shares)
        after_dest = self._spread(
            logits, {tuple(dest): 0.05, **{(word,): self.out_share for word in out}}
        )
        common[dest] = after_dest[dest]
        return common

    def _spread(
        self, logits: Float[Tensor, "token next"], shares: dict[tuple[int, ...], float]
    ) -> Float[Tensor, "token next"]:
        """Softmax within each named group and within the fillers; groups get fixed shares."""
        fillers = tuple(range(self.d_vocab - len(self.fillers), self.d_vocab))
        shares = {**shares, fillers: 1 - sum(shares.values())}
        rows = torch.zeros_like(logits)
        for group, share in shares.items():
            rows[:, list(group)] = share * logits[:, list(group)].softmax(-1)
        return rows

    @cached_property
    def next_token(self) -> Float[Tensor, "source token next"]:
        """True next-token probabilities given the source word that stands before (0 = none)."""
        table = self.bigrams.repeat(self.d_vocab, 1, 1)
        for trigram in self.planted:
            source, dest, out = (
                self.vocabulary.index(word) for word in (trigram.source, trigram.dest, trigram.out)
            )
            table[source, dest] *= 1 - self.strength
            table[source, dest, out] += self.strength
        return table

    def batch(self, size: int, generator: torch.Generator) -> Int[Tensor, "batch pos"]:
        sources = torch.tensor(self.ids("source"))
        source = sources[torch.randint(len(sources), (size,), generator=generator)]
        carries = torch.rand(size, generator=generator) < self.source_share
        place = torch.randint(1, self.source_by, (size,), generator=generator)
        tokens = [torch.full((size,), BOS_TOKEN)]
        for position in range(1, self.n_ctx):
            now: Bool[Tensor, " batch"] = carries & (place == position)
            before = torch.where(carries & (place < position), source, 0)
            drawn = sample_rows(self.next_token[before, tokens[-1]], generator)
            tokens.append(torch.where(now, source, drawn))
        return torch.stack(tokens, dim=1)

    def places(
        self, tokens: Int[Tensor, "batch pos"], source: str | None, dest: str
    ) -> Bool[Tensor, "batch pos"]:
        """Where `dest` stands and `source` stood somewhere before; None: no source word before.

        tokens: sequences with at most one source word each, as `batch` draws them.
        """
        sources = torch.tensor(self.ids("source"))
        before = torch.where(torch.isin(tokens, sources), tokens, 0).cummax(dim=1).values
        wanted = 0 if source is None else self.vocabulary.index(source)
        return (before == wanted) & (tokens == self.vocabulary.index(dest))

    @torch.no_grad()
    def measure(self, model: CourseTransformer) -> dict[str, Any]:
        """Loss in nats, the best loss possible, and each planted skip-trigram's probability."""
        generator = torch.Generator().manual_seed(1234)
        tokens = self.batch(256, generator)
        return {
            "loss_held_out": round(model(tokens, return_type="loss").item(), 4),
            "planted_probability": {
                f"{t.source} {t.dest} {t.out}": round(self.probability(model, t), 4)
                for t in self.planted
            },
        }

    @torch.no_grad()
    def probability(self, model: CourseTransformer, trigram: SkipTrigram) -> float:
        """Mean probability of `out` after "source filler dest", over all fillers between."""
        texts = [f"{trigram.source} {word} {trigram.dest}" for word in self.fillers]
        return (
            model(model.to_tokens(texts))[:, -1]
            .softmax(-1)[:, self.vocabulary.index(trigram.out)]
            .mean()
            .item()
        )
