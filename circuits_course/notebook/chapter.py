"""The object a notebook talks to: checks, hints, solutions, questions and progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from circuits_course.checking.outcome import CheckFailed, Outcome, Result
from circuits_course.checks import load_checks
from circuits_course.checks.chapters import CHAPTERS, chapter_name
from circuits_course.checks.lock import unlock
from circuits_course.checks.references import load_reference, reference_source
from circuits_course.errors import CourseError, UnknownName
from circuits_course.notebook.colab import DRIVE
from circuits_course.notebook.looking_back import Returning, calibration, guesses, returning
from circuits_course.notebook.progress import Event, Progress
from circuits_course.notebook.questions import ask_choice, ask_prediction, ask_sentence
from circuits_course.page.messages import code, show
from circuits_course.page.tables import show_table
from circuits_course.page.verdicts import is_measured_model
from circuits_course.storage import at_home

Answer = TypeVar("Answer", bound=Callable[..., Any])
_TONES = {
    Outcome.PASSED: "good",
    Outcome.WRONG: "bad",
    Outcome.CRASHED: "bad",
    Outcome.NOT_ATTEMPTED: "open",
}


class Chapter:
    """One chapter as a learner uses it.

    name: "04_induction_heads", "04" or 4. Raises UnknownName with the nearest chapters.
    """

    def __init__(self, name: str | int) -> None:
        self.name = chapter_name(name)
        self.checks = load_checks(self.name)
        self.log = Progress(warn=lambda line: show(line, tone="bad"))

    def __repr__(self) -> str:
        return f"Chapter({self.name!r})"

    @property
    def title(self) -> str:
        """The chapter's title: "04 Induction heads"."""
        return f"{self.name[:2]} {CHAPTERS[self.name]}"

    # --- exercises -----------------------------------------------------------------------

    def check(self, answer: Answer, name: str | None = None) -> Answer:
        """Checks an answer, says what is wrong, and returns yours if it passed, else the reference.

        name: the exercise, where the function is called otherwise. With CIRCUITS_COURSE_STRICT=1
        anything but "passed" raises CheckFailed.
        """
        result = self.result(answer, name or self._name_of(answer))
        if os.environ.get("CIRCUITS_COURSE_STRICT", "0") not in ("", "0") and not result.passed:
            raise CheckFailed(f"{result.exercise}: {result.text}")
        show(result.text, tone=_TONES[result.outcome])
        return answer if result.passed else self.reference(result.exercise)

    def result(self, answer: Any, name: str) -> Result:
        """Checks an answer to an exercise and records the outcome, without showing anything."""
        result = self.checks.find_exercise(name).check(answer)
        self.log.record(
            self.name,
            name,
            "check",
            outcome=result.outcome.name,
            diagnosis=result.diagnosis,
            cases=len(self.checks.find_exercise(name).built_cases()) if result.passed else 0,
        )
        return result

    def reference(self, name: str) -> Any:
        """The reference answer to an exercise, to go on with."""
        exercise = self.checks.find_exercise(name)
        return getattr(load_reference(self.name), exercise.name)

    def hint(self, name: str) -> None:
        """Shows one hint more than at the last call."""
        exercise = self.checks.find_exercise(name)
        given = len(self._events("hint", name))
        if given < len(exercise.hints):
            self.log.record(self.name, name, "hint", number=given + 1)
        shown = exercise.hints[: given + 1]
        lines = [f"Hint {i} of {len(exercise.hints)}: {h}" for i, h in enumerate(shown, 1)]
        if given >= len(exercise.hints):
            lines.append(f'That was the last hint. `chapter.solution("{name}")` shows an answer.')
        show("\n".join(lines))

    def solution(self, name: str) -> None:
        """Shows the reference answer, and marks the exercise as seen.

        Raises CourseError while the teacher keeps solutions locked.
        """
        exercise = self.checks.find_exercise(name)
        source = reference_source(self.name, exercise.name)
        self.log.record(self.name, exercise.name, "solution")
        lead = f"One answer to {name}; the exercise now counts as seen."
        show(f"{lead}\n\n{source}", body=f"{lead}{code(source)}")

    def unlock(self, word: str) -> None:
        """Opens solutions with the teacher's word, where they are locked."""
        unlock(word)
        show("✔ Solutions are open.", tone="good")

    def _name_of(self, answer: Any) -> str:
        name = getattr(answer, "__name__", None)
        if name in (None, "<lambda>"):
            raise CourseError(
                f"check cannot tell which exercise this {type(answer).__name__} answers. Check the "
                "function itself, without calling it, or name it: chapter.check(f, name=...)."
            )
        return str(name)

    # --- questions -----------------------------------------------------------------------

    def predict(
        self,
        key: str,
        choices: Sequence[str] | None = None,
        answer: str | None = None,
        sure: str | None = None,
    ) -> None:
        """Asks for a prediction, and how sure one is of it; `reveal` comes back to it.

        answer, sure ("guess", "fairly" or "certain"): answers it in code.
        """
        question = self._question("prediction", key, self.checks.questions.predictions)
        if choices is not None:
            question.require_same(choices)
        earlier = self._earlier("predict", key)
        call = f'chapter.predict("{key}"'
        record = self._recorder("predict", key)
        ask_prediction(question, call, record, answer, sure, earlier)

    def reveal(self, key: str, model: Any = None) -> None:
        """Says what was measured, against what was predicted, with the reason for every choice.

        model: where the answer was measured on SmolLM2, the model of this run; for any other
        model the answer is left to the learner's own figures.
        """
        question = self._question("prediction", key, self.checks.questions.predictions)
        if model is not None and not is_measured_model(model):
            show(f"○ {question.question}\nFor the model loaded here, the cell above says it.")
            return
        events = self._events("predict", key)
        said = events[-1].detail if events else {}
        text = question.revealed(said.get("answer"), said.get("sure"))
        show(text, tone={"✔": "good", "✘": "bad", "○": "open"}[text[0]])

    def quiz(self, key: str, answer: str | None = None) -> None:
        """Asks a retrieval question, with feedback for every choice. answer: answers in code."""
        question = self._question("question", key, self.checks.questions.quizzes)
        earlier = self._earlier("quiz", key)
        call = f'chapter.quiz("{key}"'
        ask_choice(question, call, self._recorder("quiz", key), answer, earlier)

    def review(self, key: str | None = None, answer: str | None = None) -> None:
        """Asks again what was missed two chapters and five chapters ago, three questions at most.

        key, answer: answers one of them in code, with its feedback.
        """
        back = returning(self.name, self.log.events(), lambda name: load_checks(name).questions)
        if not back:
            show("Nothing comes back to you here. A question that you miss returns two chapters "
                 "later, and once more after five.")  # fmt: skip
        keys = [item.question.key for item in back]
        if key is not None and key not in keys:
            raise UnknownName("question that came back", key, keys)
        for item in back:
            if key in (None, item.question.key):
                call = f'chapter.review("{item.question.key}"'
                ask_choice(item.question, call, self._again(item), answer, item.answered)

    def explain(self, key: str, text: str | None = None) -> None:
        """Asks for one sentence in the learner's own words; kept with progress, not graded."""
        question = self._question("explanation", key, self.checks.questions.explanations)
        earlier = self._earlier("explain", key)
        call = f'chapter.explain("{key}"'
        ask_sentence(question, call, self._recorder("explain", key), text, earlier)

    def _again(self, item: Returning) -> Callable[[str], None]:
        place = item.chapter, item.question.key, item.kind
        return lambda answer: self.log.record(*place, answer=answer, back_in=self.name)

    def _question(self, kind: str, key: str, known: dict[str, Any]) -> Any:
        if key not in known:
            raise UnknownName(f"{kind} in chapter {self.name}", key, known)
        return known[key]

    def _recorder(self, kind: str, key: str) -> Callable[..., None]:
        return lambda answer, **more: self.log.record(self.name, key, kind, answer=answer, **more)

    def _earlier(self, kind: str, key: str) -> str | None:
        events = self._events(kind, key)
        return events[-1].detail["answer"] if events else None

    # --- progress ------------------------------------------------------------------------

    def progress(self) -> None:
        """Shows where the learner stands in this chapter, and how predictions came out."""
        rows = self.progress_rows()
        show_table(rows, ["exercise", "state", "cases", "tries", "hints"], caption=self.title)
        solved = sum(row[1].startswith("✔") for row in rows)
        cases = sum(int(row[2]) for row in rows)
        show(f"{solved} of {len(rows)} exercises solved, {cases} cases passed.")
        found = guesses(self.log.events(), lambda name: load_checks(name).questions)
        if found:
            head = ["how sure", f"right in chapter {self.name[:2]}", "right in all chapters"]
            show_table(calibration(found, self.name), head, caption="Your predictions")

    # --- evidence ------------------------------------------------------------------------

    def how_sure(self) -> None:
        """Shows the claims of this chapter as they were tested: figure, interval, n, controls."""
        from circuits_course.circuits.claims import shipped_claims

        rows = [
            {
                "claim": claim.sentence,
                "verdict": claim.verdict,
                "figure": claim.measured,
                "95 % interval": claim.interval,
                "n": claim.n,
                "controls": claim.controls,
                "tested on": claim.data,
            }
            for claim in shipped_claims(self.name[:2])
        ]
        if rows:
            show_table(rows, caption=f"{self.title}: how sure is this?")
        else:
            show("No claim of this chapter has been tested yet.")

    # --- keeping -------------------------------------------------------------------------

    def save_progress(self, path: str | Path) -> None:
        """Saves the progress of all chapters to one file, for example on a mounted drive."""
        count = self.log.save(_reachable(at_home(path)))
        show(f"✔ {count} entries of all chapters are saved to {path}.", tone="good")

    def restore_progress(self, path: str | Path) -> None:
        """Adds what was saved to what is there; doing it twice changes nothing."""
        count = self.log.restore(_reachable(at_home(path)))
        show(f"✔ {count} entries were added from {path}.", tone="good")

    def progress_rows(self) -> list[list[str]]:
        """Exercise, state in words, cases passed, tries, hints taken; one row an exercise."""
        return [self._row(name) for name in self.checks.exercises]

    def _row(self, name: str) -> list[str]:
        checks = [event.detail for event in self._events("check", name)]
        outcomes = [detail["outcome"] for detail in checks]
        cases = max((detail.get("cases", 0) for detail in checks), default=0)
        tries = [outcome for outcome in outcomes if outcome != Outcome.NOT_ATTEMPTED.name]
        hints = len(self._events("hint", name))
        seen = bool(self._events("solution", name))
        return [name, _state(outcomes, seen), str(cases), str(len(tries)), str(hints)]

    def _events(self, kind: str, item: str) -> list[Event]:
        return [event for event in self.log.events(self.name, kind) if event.item == item]


def _reachable(path: Path) -> Path:
    """The path; raises CourseError where it lies on a Google Drive that is not mounted."""
    if path.is_relative_to(DRIVE) and not DRIVE.is_dir():
        raise CourseError(
            "Google Drive is not mounted yet; run: from google.colab import drive; "
            f"drive.mount('{DRIVE}')"
        )
    return path


def _state(outcomes: list[str], seen: bool) -> str:
    tried = [outcome for outcome in outcomes if outcome != Outcome.NOT_ATTEMPTED.name]
    if Outcome.PASSED.name in outcomes:
        state = "✔ passed"
    elif tried:
        state = "✘ not yet"
    else:
        state = "○ not attempted"
    return f"{state}, solution seen" if seen else state
