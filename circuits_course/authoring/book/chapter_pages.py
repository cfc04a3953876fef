"""One chapter's page: its solved notebook with exercises folded, questions to answer, pictures.

The words, the code and the outputs are those of the committed notebooks; hints, questions and
their feedback are those of the checks.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from circuits_course.authoring.book.exercises import exercise_section
from circuits_course.authoring.book.pictures import PAGE, TEXT, Pictures, is_words, joined
from circuits_course.authoring.book.places import Published, ways_in
from circuits_course.authoring.book.questions import question_form, questions_asked
from circuits_course.authoring.build import load_checks, notebook_path
from circuits_course.authoring.metadata import METADATA
from circuits_course.errors import CourseError

HIDDEN = "hide-input"  # myst-nb folds the code of a cell with this tag
LEFT_OUT = ("chapter.progress()", "chapter.review()")  # a page has no progress file
TITLE, HEADING = re.compile(r"^# ", re.MULTILINE), re.compile(r"^(?=#+ )", re.MULTILINE)
SKIP = re.compile(r"  # fmt: skip$", re.MULTILINE)  # a word to the formatter
CALL = re.compile(r"chapter\.how_sure\(\)")
DOCUMENT = re.compile(r"(\]\(\.\./)docs/(?=\w+\.md)")  # pages of documents stand beside chapters/


@dataclass(frozen=True)
class Source:
    """What one chapter's page is made from."""

    name: str
    solved: list[dict[str, Any]]
    stubs: dict[str, str]
    checks: Any

    @classmethod
    def read(cls, chapter: str) -> Source:
        """Raises CourseError where a notebook of the chapter is missing."""
        solved, shipped = (_cells(chapter, kind) for kind in ("solutions", "notebooks"))
        checks = load_checks(chapter)
        stubs = {c["id"]: joined(c["source"]) for c in shipped if c["id"] in checks.exercises}
        return cls(chapter, solved, stubs, checks)


def chapter_page(chapter: str, pictures: Pictures, published: Published | None) -> str:
    """The notebook, as text, that Sphinx makes a chapter's page from."""
    source = Source.read(chapter)
    head, *rest = source.solved
    cells = [_plain(head), _html(ways_in(chapter, published))]
    cells += [made for cell in one_title(rest) for made in _page_cells(cell, source, pictures)]
    _fold_first_code(cells)
    numbered = [{**cell, "id": f"cell-{n}"} for n, cell in enumerate(cells)]
    page = {"cells": numbered, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(page, indent=1, ensure_ascii=False)


def one_title(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells below a page's title, all headings one level down where one of them is a title."""
    prose = [cell["cell_type"] == "markdown" for cell in cells]
    if not any(p and TITLE.search(joined(c["source"])) for c, p in zip(cells, prose, strict=True)):
        return cells
    return [
        {**cell, "source": HEADING.sub("#", joined(cell["source"]))} if words else cell
        for cell, words in zip(cells, prose, strict=True)
    ]


def _cells(chapter: str, kind: Any) -> list[dict[str, Any]]:
    path = notebook_path(chapter, kind)
    if not path.is_file():
        raise CourseError(
            f"{kind}/{path.name} is missing; run `circuits-course build {chapter[:2]}`."
        )
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def _page_cells(
    cell: dict[str, Any], source: Source, pictures: Pictures
) -> Iterator[dict[str, Any]]:
    text = joined(cell["source"])
    if cell["cell_type"] != "code":
        yield _plain(cell)
    elif cell["id"] in source.stubs:
        yield _html(_exercise(cell["id"], text, source))
    elif asked := questions_asked(text):
        for call, key in asked:
            yield _html(question_form(source.name, call, key, source.checks.questions))
    elif text.strip() not in LEFT_OUT:
        yield _code(SKIP.sub("", text), cell.get("outputs", []), pictures)


def _exercise(name: str, text: str, source: Source) -> str:
    """Stub, hints and answer; the check's line belongs to the notebook alone."""
    line = f"{name} = chapter.check({name})"
    answer, stub = (part.replace(line, "").strip() for part in (text, source.stubs[name]))
    return exercise_section(name, stub, source.checks.exercises[name].hints, answer)


def _plain(cell: dict[str, Any]) -> dict[str, Any]:
    source = DOCUMENT.sub(r"\1", joined(cell["source"]))
    return {"cell_type": cell["cell_type"], "metadata": {}, "source": source}


def raw_html(page: str) -> str:
    """HTML as MyST takes it over unchanged."""
    return f"``````{{raw}} html\n{page}\n``````"


def _html(page: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": raw_html(page)}


def _code(text: str, outputs: Iterable[dict[str, Any]], pictures: Pictures) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": [HIDDEN]} if is_plumbing(text) else {},
        "source": text,
        "outputs": [_output(out, pictures) for out in outputs if not is_words(out)],
    }


def _output(out: dict[str, Any], pictures: Pictures) -> dict[str, Any]:
    if "data" not in out:
        return out
    page = pictures.output_html(out["data"], out.get("metadata", {}))
    data = {TEXT: out["data"].get(TEXT, "")} if page is None else {PAGE: page}
    return {"output_type": "display_data", "metadata": {}, "data": data}


def is_plumbing(source: str) -> bool:
    """Whether a cell holds nothing that a reader of the page came for: imports, or a call of the
    chapter that shows what stands below it."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic
        return True
    imports = all(isinstance(node, ast.Import | ast.ImportFrom) for node in body)
    return imports or CALL.fullmatch(source.strip()) is not None


def _fold_first_code(cells: Iterable[dict[str, Any]]) -> None:
    first = next((cell for cell in cells if cell["cell_type"] == "code"), None)
    if first is not None:
        first["metadata"] = {"tags": [HIDDEN]}
