"""Predictions, retrieval questions and sentences to write, as forms that a page alone can answer.

Without scripts the answers can be unfolded below each question; with them (`_static/book.js`) a
choice is committed first, is kept in the browser's own storage, and then gets its feedback: a
prediction where the chapter has measured it.
"""

from __future__ import annotations

import ast
import html

from circuits_course.authoring.book.exercises import fold
from circuits_course.checks.questions import MultipleChoice, Questions, Sentence
from circuits_course.page.messages import marked, prose

KINDS = {"predict": "Prediction", "quiz": "Question", "explain": "In your own words"}
TONES = {"✔": "good", "✘": "bad", "○": "open"}


def questions_asked(source: str) -> list[tuple[str, str]] | None:
    """The calls ("predict", key), ... of a cell that does nothing but ask, or reveal what was
    found; None for other cells."""
    asked = [_question(node) for node in _statements(source)]
    return [found for found in asked if found] if asked and all(asked) else None


def question_form(chapter: str, call: str, key: str, questions: Questions) -> str:
    """The form of one question, or what a prediction is told once it was measured.

    call: "predict", "reveal", "quiz" or "explain". Raises KeyError where the checks have no such
    question.
    """
    name = f"{chapter}/{key}"
    if call == "explain":
        return _sentence_form(name, questions.explanations[key])
    if call == "quiz":
        return _quiz_form(name, questions.quizzes[key])
    question = questions.predictions[key]
    return _prediction_form(name, question) if call == "predict" else _reveal(name, question)


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
        ) if call in (*KINDS, "reveal"):
            return call, key
    return None


def _quiz_form(name: str, question: MultipleChoice) -> str:
    told = "".join(_said(question.feedback(choice)) for choice in question.choices)
    return _form(
        name,
        _choices(name, question, "quiz"),
        "Commit",
        fold("answers", "What each answer is told", told),
    )


def _prediction_form(name: str, question: MultipleChoice) -> str:
    """Nothing is told of right or wrong: that is for the measurement."""
    told = "".join(_said(question.recorded(choice)) for choice in question.choices)
    return _form(
        name, _choices(name, question, "predict"), "Commit", f"<template>{told}</template>"
    )


def _reveal(name: str, question: MultipleChoice) -> str:
    """What was found: to unfold, and for a script what to tell to each prediction."""
    told = "".join(_said(question.revealed(choice)) for choice in question.choices)
    return (
        f'<div class="reveal" data-name="{html.escape(name)}"><div class="feedback"></div>'
        f"{fold('answers', 'What came of your prediction', _said(question.revealed()))}"
        f"<template>{told}</template></div>"
    )


def _sentence_form(name: str, question: Sentence) -> str:
    field = html.escape(f"field-{name.replace('/', '-')}")
    fields = (
        f'<label for="{field}"><span class="kind">{KINDS["explain"]}</span> '
        f'{marked(question.question)}</label><textarea id="{field}" rows="3"></textarea>'
    )
    example = f'<div class="said" data-tone="open">{prose(question.example)}</div>'
    return _form(name, fields, "Keep", fold("answers", "One way to say it", example))


def _choices(name: str, question: MultipleChoice, call: str) -> str:
    radios = "".join(
        f'<label><input type="radio" name="{html.escape(name)}" value="{number}"> '
        f"<span>{marked(choice)}</span></label>"
        for number, choice in enumerate(question.choices)
    )
    asked = f'<span class="kind">{KINDS[call]}</span> {marked(question.question)}'
    return f"<fieldset><legend>{asked}</legend>{radios}</fieldset>"


def _said(text: str) -> str:
    return f'<div class="said" data-tone="{TONES[text[0]]}">{prose(text)}</div>'


def _form(name: str, fields: str, verb: str, told: str) -> str:
    return (
        f'<form class="question" data-name="{html.escape(name)}">{fields}'
        f'<button type="submit" hidden>{verb}</button>'
        f'<div class="feedback" role="status"></div>{told}</form>'
    )
