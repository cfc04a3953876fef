"""The questions of a chapter: what to predict, to recall, to say in one's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from circuits_course.errors import CourseError, UnknownName

# How sure a learner can say to be of a prediction: name in code -> words.
SURE = {"guess": "a guess", "fairly": "fairly sure", "certain": "certain"}


@dataclass(frozen=True)
class MultipleChoice:
    """A question with feedback for every choice.

    choices: text of the choice -> what to say to whoever took it. answer: the right choice.
    """

    key: str
    question: str
    choices: Mapping[str, str]
    answer: str

    def __post_init__(self) -> None:
        self.require_choice(self.answer)

    def feedback(self, choice: str) -> str:
        """What to say about a choice. Raises UnknownName where it is none of them."""
        self.require_choice(choice)
        said = self.choices[choice]
        if choice == self.answer:
            return f"✔ Right: {choice}. {said}".rstrip()
        return f"✘ Not “{choice}”. {said}".rstrip()

    def recorded(self, choice: str, sure: str | None = None) -> str:
        """What to say when a prediction was made: nothing that gives the experiment away."""
        self.require_choice(choice)
        if sure is not None and sure not in SURE:
            raise UnknownName("way to be sure", sure, SURE)
        words = f" ({SURE[sure]})" if sure else ""
        return f"○ Recorded: {choice}{words}. The chapter comes back to it when it was measured."

    def revealed(self, said: str | None = None, sure: str | None = None) -> str:
        """What was found, against what was predicted, with the reason for every choice."""
        found = f"“{self.answer}”. {self.choices[self.answer]}".rstrip()
        words = f" ({SURE[sure]})" if sure in SURE else ""
        if said == self.answer:
            lead = f"✔ You said{words}, and it is: {found}"
        elif said in self.choices:
            lead = f"✘ You said “{said}”{words}. It is: {found}"
        else:
            lead = f"○ It is: {found}"
        others = [f"“{c}”: {why}" for c, why in self.choices.items() if c != self.answer]
        return "\n".join([lead, *others])

    def require_choice(self, choice: str) -> None:
        """Raises UnknownName where it is none of the choices."""
        if choice not in self.choices:
            raise UnknownName(f"choice of {self.key}", choice, self.choices)

    def require_same(self, choices: Sequence[str]) -> None:
        """Raises CourseError where a notebook lists other choices than those on file."""
        if sorted(choices) != sorted(self.choices):
            raise CourseError(
                f"The choices of {self.key!r} differ from those on file: {list(self.choices)}."
            )


@dataclass(frozen=True)
class Sentence:
    """Something to explain in one sentence, kept and not graded; `example` is shown afterwards,
    to compare with."""

    key: str
    question: str
    example: str


@dataclass
class Questions:
    """All questions of a chapter, each by its key; a chapter's `questions.py` declares them."""

    predictions: dict[str, MultipleChoice] = field(default_factory=dict)
    quizzes: dict[str, MultipleChoice] = field(default_factory=dict)
    explanations: dict[str, Sentence] = field(default_factory=dict)

    def prediction(self, key: str, question: str, choices: Mapping[str, str], answer: str) -> None:
        """Declares something to predict: choice -> why it is so, or is not, said when the chapter
        has measured it (`chapter.reveal`)."""
        self.predictions[key] = MultipleChoice(key, question, choices, answer)

    def quiz(self, key: str, question: str, choices: Mapping[str, str], answer: str) -> None:
        """Declares a retrieval question: choice -> feedback."""
        self.quizzes[key] = MultipleChoice(key, question, choices, answer)

    def explanation(self, key: str, question: str, example: str) -> None:
        """Declares something to explain in one sentence; `example` is shown afterwards."""
        self.explanations[key] = Sentence(key, question, example)
