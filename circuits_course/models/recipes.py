"""Everything that decides a training run, as plain data: the recipes of the course's models."""

from __future__ import annotations

from dataclasses import dataclass

from circuits_course.data.head_jobs import AllAtOnce, LookUps
from circuits_course.data.markov import MarkovAndRepeats
from circuits_course.data.skip_trigrams import PlantedSkipTrigrams
from circuits_course.errors import UnknownName
from circuits_course.models.config import CourseConfig

Data = MarkovAndRepeats | PlantedSkipTrigrams | LookUps | AllAtOnce


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run: model, data, optimiser, seed, threads.

    `write_decay` is AdamW's weight decay on what heads write (W_V, W_O, W_U), `weight_decay` on all
    else. Where writing costs more, a head does better to look at the one right place than to write
    loudly from a blurred one.
    """

    name: str
    summary: str
    config: CourseConfig
    data: Data
    steps: int
    batch: int = 64
    learning_rate: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    write_decay: float = 0.01
    clip: float = 1.0
    warmup: int = 50
    decay_share: float = 0.3
    seed: int = 0
    threads: int = 2
    checkpoints: tuple[int, ...] = ()

    def rate(self, step: int) -> float:
        """Learning rate of an update: linear warm-up, flat, linear decay to zero at the end."""
        left = (self.steps - step) / (self.steps * self.decay_share)
        return self.learning_rate * min((step + 1) / self.warmup, 1.0, left)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name; UnknownName with the nearest ones if there is none."""
    if name not in RECIPES:
        raise UnknownName("training recipe", name, RECIPES)
    return RECIPES[name]


# -- recipes ---------------------------------------------------------------------------------

_MARKOV = MarkovAndRepeats()

_IDIOMS = PlantedSkipTrigrams()

_INDUCTION_CHECKPOINTS = (
    *range(0, 300, 50),
    *range(300, 560, 10),
    *range(600, 1000, 100),
    1250,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="induction-2l",
            summary="two layers, attention only, on Markov chains and repeated random segments",
            config=CourseConfig(n_layers=2),
            data=_MARKOV,
            weight_decay=0.0,
            write_decay=0.4,
            steps=1500,
            checkpoints=_INDUCTION_CHECKPOINTS,
        ),
        Recipe(
            name="plain-1l",
            summary="one layer on the data of induction-2l: no induction",
            config=CourseConfig(n_layers=1),
            data=_MARKOV,
            weight_decay=0.0,
            write_decay=0.4,
            steps=600,
        ),
        Recipe(
            name="smeared-1l",
            summary="one layer with smeared keys on the data of induction-2l: induction again",
            config=CourseConfig(n_layers=1, smeared_keys=True),
            data=_MARKOV,
            weight_decay=0.0,
            write_decay=0.4,
            steps=600,
        ),
        Recipe(
            name="skip-trigram-1l",
            summary="one layer, attention only, on words with planted skip-trigrams",
            config=CourseConfig(
                n_layers=1,
                n_heads=2,
                d_model=48,
                d_head=8,
                d_vocab=_IDIOMS.d_vocab,
                n_ctx=_IDIOMS.n_ctx,
                vocabulary=_IDIOMS.vocabulary,
            ),
            data=_IDIOMS,
            steps=1000,
            threads=1,
            checkpoints=(0, 50, 100, 200, 300, 500),
        ),
    )
}
