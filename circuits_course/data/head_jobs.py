"""Two tasks with many jobs: one that a single head can do, one where heads must share the work.

In both, each job asks for the symbol at one place. They differ in when the jobs are asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.data.markov import BOS_TOKEN

if TYPE_CHECKING:
    from circuits_course.models.transformer import CourseTransformer


@dataclass(frozen=True)
class LookUps:
    """Jobs asked one at a time: BOS, `n_jobs` random symbols, then each command and its answer.

    Command j asks for the symbol in slot j (position 1 + j). Commands come in random order. A head
    that lets its query depend on the command can do every job.

    Tokens: 0 is BOS, 1 to n_jobs are commands, the rest symbols.
    """

    n_jobs: int = 8
    n_symbols: int = 16
    steps: int = 500

    @property
    def d_vocab(self) -> int:
        return 1 + self.n_jobs + self.n_symbols

    @property
    def n_ctx(self) -> int:
        return 1 + 3 * self.n_jobs

    def batch(self, size: int, generator: torch.Generator) -> Int[Tensor, "batch pos"]:
        slots = torch.randint(self.n_symbols, (size, self.n_jobs), generator=generator)
        slots = slots + 1 + self.n_jobs
        order = torch.rand(size, self.n_jobs, generator=generator).argsort(-1)
        pairs = torch.stack([order + 1, slots.gather(1, order)], dim=-1)
        return torch.cat([torch.full((size, 1), BOS_TOKEN), slots, pairs.flatten(1)], dim=1)

    def loss(
        self, model: CourseTransformer, tokens: Int[Tensor, "batch pos"]
    ) -> Float[Tensor, " job"]:
        """Loss on the answer to each command, nats. At best 0, without looking ln(n_symbols)."""
        loss = model(tokens, return_type="loss", loss_per_token=True)[:, self.n_jobs + 1 :: 2]
        asked = tokens[:, self.n_jobs + 1 :: 2] - 1  # which job each command is
        return torch.zeros_like(loss).scatter(1, asked, loss).mean(0)

    @property
    def worst(self) -> float:
        """Loss without looking anywhere, nats."""
        return float(torch.tensor(self.n_symbols).log())

    @property
    def best(self) -> float:
        """Loss of whoever does every job, nats."""
        return 0.0

    def measure(self, model: CourseTransformer) -> dict[str, Any]:
        return _measure(self, model)


@dataclass(frozen=True)
class AllAtOnce:
    """Jobs asked all at once: the next symbol is that of `back` positions ago, recoded.

    Which of the `backs` it is falls evenly at random and is not announced, and each has a code (a
    permutation of the symbols) of its own. To give each candidate its chance a model has to look at
    all those places, *and* recode each with its own code. Whoever looks at several places with one
    head gets their mixture, and can no longer tell which symbol takes which code.

    Tokens: 0 is BOS, the rest symbols. Each sequence starts with max(backs) + 1 random symbols.
    """

    backs: tuple[int, ...] = (1, 2, 3, 4)
    n_symbols: int = 16
    steps: int = 500
    n_ctx: int = 25
    seed: int = 0

    @property
    def d_vocab(self) -> int:
        return 1 + self.n_symbols

    @cached_property
    def codes(self) -> Int[Tensor, "job symbol"]:
        """What each job makes of each token; BOS stays BOS."""
        generator = torch.Generator().manual_seed(self.seed)
        codes = [1 + torch.randperm(self.n_symbols, generator=generator) for _ in self.backs]
        return torch.cat([torch.zeros(len(codes), 1, dtype=torch.int64), torch.stack(codes)], dim=1)

    @property
    def _given(self) -> int:
        """Positions that are not predictable: BOS and the symbols that start a sequence."""
        return max(self.backs) + 2

    def candidates(self, tokens: Int[Tensor, "batch pos"]) -> Int[Tensor, "batch query job"]:
        """What each job says after each position from max(backs) + 1 on."""
        first = self._given - 1
        return torch.stack(
            [
                code[tokens[:, first - back : tokens.shape[1] - back]]
                for code, back in zip(self.codes, self.backs, strict=True)
            ],
            dim=-1,
        )

    def batch(self, size: int, generator: torch.Generator) -> Int[Tensor, "batch pos"]:
        start = torch.randint(1, self.d_vocab, (size, self._given - 1), generator=generator)
        tokens = torch.cat([torch.full((size, 1), BOS_TOKEN), start], dim=1)
        while tokens.shape[1] < self.n_ctx:
            job = torch.randint(len(self.backs), (size, 1), generator=generator)
            tokens = torch.cat([tokens, self.candidates(tokens)[:, -1].gather(1, job)], dim=1)
        return tokens

    def loss(
        self, model: CourseTransformer, tokens: Int[Tensor, "batch pos"]
    ) -> Float[Tensor, " job"]:
        """Mean of -log p over what each job says, nats: which of them comes is chance."""
        log_probs = model(tokens)[:, self._given - 1 : -1].log_softmax(-1)
        return -log_probs.gather(-1, self.candidates(tokens)[:, :-1]).mean((0, 1))

    @property
    def worst(self) -> float:
        """Loss without looking anywhere, nats."""
        return float(torch.tensor(self.n_symbols).log())

    @cached_property
    def best(self) -> float:
        """Loss of whoever knows every candidate, nats: the entropy of the true mixture."""
        tokens = self.batch(512, torch.Generator().manual_seed(99))
        said = self.candidates(tokens)[:, :-1]
        votes = torch.nn.functional.one_hot(said, self.d_vocab).double().mean(-2)
        return float(-votes.gather(-1, said).log().mean())

    def measure(self, model: CourseTransformer) -> dict[str, Any]:
        return _measure(self, model)


@torch.no_grad()
def _measure(task: LookUps | AllAtOnce, model: CourseTransformer) -> dict[str, Any]:
    tokens = task.batch(64, torch.Generator().manual_seed(1234))
    return {"loss_by_job": [round(loss, 4) for loss in task.loss(model, tokens).tolist()]}
