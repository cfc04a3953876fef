"""The builder: a chapter's source, reference answers and checks become its two notebooks.

`exercises/NN_topic.py` is jupytext's percent format. A cell `# %% exercise="name"` is a slot: in
the learner's notebook it becomes a heading, the stub and the check line; in the teacher's the
reference stands in place of the stub. A cell `# %% only="solutions"` (or "notebooks") is left out
of the other notebook. The same sources give the same bytes.
"""

from __future__ import annotations

import ast
import builtins
import copy
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from circuits_course.checks.chapters import CHAPTERS, chapter_name
from circuits_course.checks.references import load_reference, reference_source, stub_source
from circuits_course.errors import CourseError, UnknownName
from circuits_course.storage import source_dir, write_whole

if TYPE_CHECKING:
    from nbformat import NotebookNode

from circuits_course.authoring.metadata import METADATA
from circuits_course.authoring.outputs import first_difference

Kind = Literal["notebooks", "solutions"]

MAX_BYTES = 1_000_000

COMPARED = "nbval-check-output"

TEXT_TYPES = {"text/plain", "text/html", "text/markdown"}


def load_checks(chapter: str) -> Any:
    """The checks of a chapter; imported late, because they need torch."""
    from circuits_course import checks

    return checks.load_checks(chapter)


def build(chapters: Iterable[str | int] | None = None, execute: bool = True) -> list[Path]:
    """Writes the notebooks of the chapters (all that have a source, if none is named).

    execute: also solve, run and write the teacher's notebook; without it only the learner's is
    written. Nothing of a chapter is written unless all of it could be built. Returns the files.
    Raises CourseError that names the cell, the exercise and what to do.
    """
    written = []
    for chapter in _named(chapters):
        texts = {notebook_path(chapter, "notebooks"): _text(compose(chapter, "notebooks"))}
        solved = compose(chapter, "solutions")
        _check_names(chapter, solved)
        if execute:
            texts[notebook_path(chapter, "solutions")] = _solved_text(chapter, solved)
        for path, text in texts.items():
            write_whole(path, text.encode())
            written.append(path)
    return written


def drift(chapters: Iterable[str | int] | None = None, execute: bool = False) -> list[str]:
    """Where committed notebooks differ from what `build` would write, one line each.

    execute: also run each solved notebook again and compare everything that it says; without it
    cells are compared, and stored outputs are taken as they are.
    """
    return [line for chapter in _named(chapters) for line in _chapter_drift(chapter, execute)]


def chapters_with_source() -> list[str]:
    """Names of the chapters whose source is there, in order."""
    return [name for name in CHAPTERS if source_path(name).is_file()]


def source_path(chapter: str) -> Path:
    return source_dir("exercises") / f"{chapter}.py"


def notebook_path(chapter: str, kind: Kind) -> Path:
    return source_dir(kind) / f"{chapter}.ipynb"


def _named(chapters: Iterable[str | int] | None) -> list[str]:
    names = [chapter_name(chapter) for chapter in chapters or ()] or chapters_with_source()
    for name in names:
        if not source_path(name).is_file():
            raise CourseError(f"Chapter {name} has no source yet: write exercises/{name}.py.")
    return names


# --- from source to cells --------------------------------------------------------------------


@dataclass(frozen=True)
class Slot:
    """An exercise slot of a chapter's source: what it is called and the notes below its heading."""

    name: str
    notes: str
    tags: Sequence[str]


def compose(chapter: str, kind: Kind) -> NotebookNode:
    """The notebook of a chapter, not executed: stubs for "notebooks", references for "solutions".

    Raises CourseError for a slot without reference or checks, checks without a slot, unbalanced
    blanks, or a first code cell that does not set the chapter up.
    """
    import jupytext
    from nbformat.v4 import new_notebook

    source = jupytext.reads(source_path(chapter).read_text(encoding="utf-8"), fmt="py:percent")
    exercises = load_checks(chapter).exercises
    _check_slots(chapter, source.cells, exercises)
    _check_setup(chapter, source.cells)
    cells = list(_cells(chapter, kind, source.cells, exercises))
    return new_notebook(cells=cells, metadata=METADATA)


def _cells(
    chapter: str, kind: Kind, source: Sequence[NotebookNode], exercises: dict[str, Any]
) -> Iterator[NotebookNode]:
    seen: Counter[str] = Counter()
    for cell in source:
        if cell.metadata.get("only", kind) != kind:
            continue
        if "exercise" in cell.metadata:
            slot = _slot(chapter, cell)
            yield _new_cell("markdown", f"about-{slot.name}", _heading(exercises[slot.name], slot))
            yield _new_cell("code", slot.name, _answer(chapter, kind, slot.name), slot.tags)
        else:
            digest = hashlib.sha256(f"{chapter}\0{cell.cell_type}\0{cell.source}".encode())
            seen[key := digest.hexdigest()[:12]] += 1
            cell_id = key if seen[key] == 1 else f"{key}-{seen[key]}"
            yield _new_cell(cell.cell_type, cell_id, cell.source, cell.metadata.get("tags", ()))


def _new_cell(kind: str, cell_id: str, source: str, tags: Sequence[str] = ()) -> NotebookNode:
    from nbformat import v4

    make = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell, "raw": v4.new_raw_cell}
    metadata = {"tags": list(tags)} if tags else {}
    return make[kind](source, id=cell_id[:64], metadata=metadata)


def _heading(exercise: Any, slot: Slot) -> str:
    line = (
        f"**Write** `{slot.name}` (difficulty {_scale(exercise.difficulty)}, "
        f"importance {_scale(exercise.importance)}, about {exercise.minutes} minutes)."
    )
    return f"{line}\n\n{slot.notes}" if slot.notes else line


def _scale(value: int) -> str:
    """Digits beside the dots, for whoever hears the page instead of seeing it."""
    return f"{'●' * value}{'○' * (5 - value)} {value} of 5"


def _answer(chapter: str, kind: Kind, name: str) -> str:
    body = reference_source(chapter, name) if kind == "solutions" else stub_source(chapter, name)
    return f"{body}\n\n{name} = chapter.check({name})"


def _slot(chapter: str, cell: NotebookNode) -> Slot:
    name, lines = cell.metadata["exercise"], cell.source.splitlines()
    if any(line.strip() and not line.startswith("#") for line in lines):
        raise CourseError(
            f"{chapter}: the slot of {name!r} may hold only comments, which become the text below "
            "its heading; move code to a cell of its own."
        )
    notes = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines).strip()
    return Slot(name, notes, cell.metadata.get("tags", ()))


# --- what an author may have got wrong -------------------------------------------------------


def _check_slots(chapter: str, cells: Sequence[NotebookNode], exercises: dict[str, Any]) -> None:
    for cell in cells:
        if unread := cell.metadata.get("incorrectly_encoded_metadata"):
            raise CourseError(
                f"{chapter}: a cell's mark `{unread}` cannot be read; quote what it is set to, "
                'as in `# %% exercise="name"`.'
            )
    slots = [cell.metadata["exercise"] for cell in cells if "exercise" in cell.metadata]
    for name, count in Counter(slots).items():
        if name not in exercises:
            raise UnknownName(f"exercise with checks in chapter {chapter} named", name, exercises)
        if count > 1:
            raise CourseError(f"{chapter}: exercise {name!r} has two slots; keep one.")
        reference_source(chapter, name)  # UnknownName where there is none
    for name in exercises:
        if name not in slots:
            raise CourseError(
                f"{chapter}: exercise {name!r} has checks but no slot; add a cell "
                f'`# %% exercise="{name}"`.'
            )


def _check_setup(chapter: str, cells: Sequence[NotebookNode]) -> None:
    first = next((cell.source for cell in cells if cell.cell_type == "code"), "")
    wanted = f'chapter = Chapter("{chapter}")'
    statements = [ast.unparse(node) for node in _parse(first).body]
    if ast.unparse(ast.parse(wanted)) not in statements:
        raise CourseError(
            f"{chapter}: the first code cell is the set-up cell and needs `{wanted}`."
        )


def _parse(source: str) -> ast.Module:
    """A cell as Python, with its magics (`%pip`, `!ls`) turned into calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    return ast.parse(TransformerManager().transform_cell(source))


def _check_names(chapter: str, notebook: NotebookNode) -> None:
    """Every name that a cell uses is made by some cell: the package is no help to the learner."""
    code = {cell.id: _names(cell.source) for cell in notebook.cells if cell.cell_type == "code"}
    known = set(dir(builtins)) | {"display", "get_ipython", "__name__"}
    known.update(name for defined, _ in code.values() for name in defined)
    answers = {cell.id for cell in notebook.cells if cell.id in vars(load_reference(chapter))}
    for cell_id, (_, used) in code.items():
        if missing := sorted(used - known):
            where = f"exercise {cell_id!r}" if cell_id in answers else f"cell {cell_id!r}"
            raise CourseError(
                f"{chapter}: {where} uses {', '.join(missing)}, which no cell of the notebook "
                "makes; import it in the set-up cell."
            )


def _names(source: str) -> tuple[set[str], set[str]]:
    """Names that a cell makes at its top level, and names that it takes from there."""
    import symtable

    table = symtable.symtable(ast.unparse(_parse(source)), "cell", "exec")
    defined = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    return defined, set(_globals_used(table))


def _globals_used(table: Any) -> Iterator[str]:
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (top or symbol.is_global()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _globals_used(child)


# --- from cells to files ---------------------------------------------------------------------


def _solved_text(chapter: str, notebook: NotebookNode) -> str:
    from circuits_course.authoring.execute import execute_notebook

    execute_notebook(notebook, name=f"solutions/{chapter}.ipynb")
    for number, cell in enumerate(notebook.cells, start=1):
        if COMPARED in cell.metadata.get("tags", ()) and not _is_text(cell.outputs):
            raise CourseError(
                f"solutions/{chapter}.ipynb: cell {number} ({cell.id}) is tagged {COMPARED}, so it "
                "must print text and nothing else; pictures and widgets cannot be compared."
            )
    text = _text(notebook)
    if len(text.encode()) > MAX_BYTES:
        raise CourseError(
            f"solutions/{chapter}.ipynb would be {len(text.encode()) / 1e6:.1f} MB; the limit is "
            f"1 MB. Largest outputs: {_largest(notebook)}."
        )
    return text


def _is_text(outputs: Sequence[NotebookNode]) -> bool:
    return bool(outputs) and all(set(out.get("data", ())) <= TEXT_TYPES for out in outputs)


def _largest(notebook: NotebookNode) -> str:
    sizes = {c.id: len(json.dumps(c.get("outputs", []))) for c in notebook.cells}
    top = sorted(sizes, key=lambda cell_id: -sizes[cell_id])[:3]
    return ", ".join(f"{cell_id} {sizes[cell_id] / 1e3:.0f} kB" for cell_id in top)


def _text(notebook: NotebookNode) -> str:
    import nbformat

    return nbformat.writes(notebook, version=4) + "\n"


# --- drift -----------------------------------------------------------------------------------


def _chapter_drift(chapter: str, execute: bool) -> Iterator[str]:
    kinds: tuple[Kind, ...] = ("notebooks", "solutions")
    for kind in kinds:
        what = _first_difference(chapter, kind)
        if what is None and execute and kind == "solutions":
            what = _rerun_difference(chapter)
        if what:
            command = f"circuits-course build {chapter[:2]}"
            yield f"{kind}/{chapter}.ipynb: {what}; run `{command}`."


def _first_difference(chapter: str, kind: Kind) -> str | None:
    import nbformat

    path = notebook_path(chapter, kind)
    if not path.is_file():
        return "missing"
    text = path.read_text(encoding="utf-8")
    committed, fresh = nbformat.reads(text, as_version=4), compose(chapter, kind)
    pairs = zip(committed.cells, fresh.cells, strict=False)
    for number, (old, new) in enumerate(pairs, start=1):
        if any(old.get(key) != new.get(key) for key in ("id", "cell_type", "source", "metadata")):
            return f"cell {number} ({new.id}) differs from its source"
    if len(committed.cells) != len(fresh.cells):
        return f"has {len(committed.cells)} cells where the source has {len(fresh.cells)}"
    if kind == "solutions":
        fresh = _with_outputs(fresh, committed)
        if not any(cell.get("outputs") for cell in committed.cells):
            return "not executed"
    return None if text == _text(fresh) else "differs in its outputs or metadata"


def _rerun_difference(chapter: str) -> str | None:
    """Runs the committed solved notebook again: what it says now that it did not say."""
    import nbformat

    from circuits_course.authoring.execute import execute_notebook

    committed = nbformat.read(notebook_path(chapter, "solutions"), as_version=4)
    fresh = copy.deepcopy(committed)
    execute_notebook(fresh, name=f"solutions/{chapter}.ipynb")
    return first_difference(committed.cells, fresh.cells)


def _with_outputs(fresh: NotebookNode, committed: NotebookNode) -> NotebookNode:
    for new, old in zip(fresh.cells, committed.cells, strict=True):
        if new.cell_type == "code":
            new.outputs = old.outputs
    return fresh
