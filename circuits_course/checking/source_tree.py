"""A function's source as a tree: the places that may be changed, and how they are told in words."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any

_PAIRS = ("mean sum", "max min", "argmax argmin", "amax amin", "any all", "zeros_like ones_like",
          "zeros ones", "tril triu", "clamp_min clamp_max", "softmax log_softmax")  # fmt: skip
OPPOSITES = {a: b for pair in _PAIRS for a, b in (pair.split(), pair.split()[::-1])}
MODULES = ("torch", "F", "nn", "einops", "math", "utils", "np", "numpy")


def places(root: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every node below a function that may be changed, with where it hangs: its parent, the field
    of the parent, and the index where that field is a list."""
    for field, value in ast.iter_fields(root):
        if field in ("annotation", "returns", "decorator_list", "type_comment", "ctx"):
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if not isinstance(child, ast.AST) or _says_something(child):
                continue
            yield root, field, index, child
            if not isinstance(child, ast.arguments):
                yield from places(child)


def put(parent: ast.AST, field: str, index: int | None, node: Any) -> None:
    """Hangs a node where another one hung."""
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def neighbours_exchanged(entries: Sequence[Any]) -> Iterator[list[Any]]:
    """Every order in which two neighbours have changed places."""
    for i in range(len(entries) - 1):
        yield [*entries[:i], entries[i + 1], entries[i], *entries[i + 2 :]]


def _says_something(node: ast.AST) -> bool:
    """Docstrings and what an exception says: no part of what a function computes."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Raise | ast.JoinedStr)


def number_in(node: ast.AST) -> int | float | None:
    """The number that a constant, or minus a constant, stands for."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = number_in(node.operand)
        return None if value is None else -value
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return None
    return node.value if isinstance(node.value, int | float) else None


def is_module(node: ast.expr) -> bool:
    """Whether an expression names a library, whose functions are no methods."""
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and root.id in MODULES


def on_one_line(node: ast.AST) -> str:
    """A node as source, on one line."""
    if isinstance(node, ast.comprehension):
        node = ast.GeneratorExp(ast.Name("_", ast.Load()), [node])
    if isinstance(node, ast.Slice):
        node = ast.Subscript(ast.Name("_", ast.Load()), node, ast.Load())
    return " ".join(ast.unparse(node).split())
