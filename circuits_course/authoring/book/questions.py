"""Predictions, retrieval questions and sentences to write, as forms that a page alone can answer.

Without scripts the answers can be unfolded below each question; with them (`_static/book.js`) a
choice is committed first, is kept in the browser's own storage, and then gets its feedback.
"""

from __future__ import annotations

import ast
import html
from collections.abc import Iterator

from circuits_course.checks.questions import MultipleChoice, Questions, Sentence
from circuits_course.page.messages import marked, prose

KINDS = {"predict": "Prediction", "quiz": "Question", "explain": "In your own words"}
TONES = {"✔": "good", "✘": "bad", "○": "open"}


def questions_asked(source: str) -> list[tuple[str, str]] | None:
    """The calls ("predict", key), ... of a cell that does nothing but ask; None for other cells."""
    asked = [_question(node) for node in _statements(source)]
    return [found for found in asked if found] if asked and all(asked) else None


def question_form(chapter: str, call: str, key: str, questions: Questions) -> str:
    """The form of one question.

    call: "predict", "quiz" or "explain". Raises KeyError where the checks have no such question.
    """
    if call == "explain":
        return _sentence_form(chapter, questions.explanations[key])
    known = questions.predictions if call == "predict" else questions.quizzes
    return _choice_form(chapter, known[key], KINDS[call])


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:  # a magic
        return []


def _question(node: ast.stmt) -> tuple[str, str] | None:
    match node:
        case ast.Expr(
            ast.Call(
                func=ast.Attribute(value=ast.Name(id="chapter"), attr=call),
                args=[ast.Constant(value=str(key)), *_],
            )
        ) if call in KINDS:
            return call, key
    return None


def _choice_form(chapter: str, question: MultipleChoice, kind: str) -> str:
    name = f"{chapter}/{question.key}"
    return _form(
        name,
        f'<fieldset><legend><span class="kind">{kind}</span> {marked(question.question)}</legend>'
        f"{''.join(_radios(name, question))}</fieldset>",
        "Commit",
        "What each answer is told",
        "".join(_feedback(question)),
    )


def _radios(name: str, question: MultipleChoice) -> Iterator[str]:
    for number, choice in enumerate(question.choices):
        yield (
            f'<label><input type="radio" name="{html.escape(name)}" value="{number}"> '
            f"<span>{marked(choice)}</span></label>"
        )


def _feedback(question: MultipleChoice) -> Iterator[str]:
    for choice in question.choices:
        said = question.feedback(choice)
        yield f'<div class="said" data-tone="{TONES[said[0]]}">{prose(said)}</div>'


def _sentence_form(chapter: str, question: Sentence) -> str:
    name = f"{chapter}/{question.key}"
    field = html.escape(f"field-{name.replace('/', '-')}")
    return _form(
        name,
        f'<label for="{field}"><span class="kind">{KINDS["explain"]}</span> '
        f'{marked(question.question)}</label><textarea id="{field}" rows="3"></textarea>',
        "Keep",
        "One way to say it",
        f'<div class="said" data-tone="open">{prose(question.example)}</div>',
    )


def _form(name: str, fields: str, verb: str, summary: str, answers: str) -> str:
    return (
        f'<form class="question" data-name="{html.escape(name)}">{fields}'
        f'<button type="submit" hidden>{verb}</button>'
        '<div class="feedback" role="status"></div>'
        f'<details class="fold answers"><summary>{summary}</summary>{answers}</details></form>'
    )
