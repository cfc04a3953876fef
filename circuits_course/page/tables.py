"""Tables: a real one in a notebook and on GitHub, the same rows as text everywhere else."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from circuits_course.errors import CourseError
from circuits_course.page.messages import in_notebook
from circuits_course.page.numbers import column_text, plain_number
from circuits_course.page.signs import print_anywhere


def show_table(
    rows: Iterable[Any] | Mapping[Any, Any],
    columns: Sequence[str] | None = None,
    caption: str = "",
    digits: int | None = None,
) -> None:
    """Shows rows as a table: aligned numbers, digits that follow the size of each column.

    rows: a list of dictionaries (their keys are the columns); a dictionary from a row's name to a
    dictionary, a sequence or a single value; or a list of sequences, with `columns`. columns: the
    headings, in order; for dictionaries also a choice among their keys. digits: after the point,
    for every number that is not whole (default: what shows about three figures of the largest).

    Raises CourseError where a row does not fit the headings.
    """
    head, body = _square(rows, columns)
    text, page = table_forms(head, body, caption, digits)
    if not in_notebook():
        print_anywhere()
        print(text)
        return
    from IPython.display import display

    display({"text/plain": text, "text/html": page}, raw=True)


def table_forms(
    head: Sequence[str],
    body: Sequence[Sequence[Any]],
    caption: str = "",
    digits: int | None = None,
) -> tuple[str, str]:
    """A table as text and as HTML."""
    columns = [list(column) for column in zip(*body, strict=True)] or [[] for _ in head]
    texts = [column_text(column, digits) for column in columns]
    sides = ["right" if _numeric(column) else "left" for column in columns]
    cells = list(map(list, zip(*texts, strict=True)))
    plain: dict[str, Any] = {"headers": list(head), "colalign": sides if cells else None}
    text = tabulate(cells, **plain, tablefmt="simple", disable_numparse=True)
    page = tabulate(cells, **plain, tablefmt="html", disable_numparse=True)
    if caption:
        text = f"{caption}\n{text}"
        label = f"<caption>{html.escape(caption)}</caption>"
        page = page.replace("<table>", f"<table>\n{label}", 1)
    return text, page.replace("<th ", '<th scope="col" ').replace("<th>", '<th scope="col">')


def _numeric(column: Sequence[Any]) -> bool:
    filled = [cell for cell in column if cell is not None]
    return bool(filled) and all(plain_number(cell) is not None for cell in filled)


def _square(rows: Any, columns: Sequence[str] | None) -> tuple[list[str], list[list[Any]]]:
    """Headings and rows of equal length."""
    named = isinstance(rows, Mapping)
    if named:
        rows = [_named(name, value) for name, value in rows.items()]
    rows = list(rows)
    if rows and all(isinstance(row, Mapping) for row in rows):
        keys = list(columns) if columns else list(dict.fromkeys(key for row in rows for key in row))
        if columns and "" in rows[0] and "" not in keys:
            keys = ["", *keys]
        return [str(key) for key in keys], [[row.get(key) for key in keys] for row in rows]
    if columns is None:
        raise CourseError("A table of sequences needs headings: show_table(rows, columns=[...]).")
    body = [list(row) if not isinstance(row, Mapping) else list(row.values()) for row in rows]
    head = [str(column) for column in columns]
    for row in body:
        if named and len(row) == len(head) + 1 and head[:1] != [""]:
            head = ["", *head]
        if len(row) != len(head):
            raise CourseError(f"A row has {len(row)} cells, the table {len(head)} columns: {row}.")
    return head, body


def _named(name: Any, value: Any) -> Any:
    """A row led by its name, for any of the forms that a dictionary's value may have."""
    if isinstance(value, Mapping):
        return {"": name, **value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [name, *value]
    return [name, value]
