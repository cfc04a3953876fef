"""One-place changes that leave out something of an answer: a call, a side of an operation, an
index, a condition or a statement too many."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from circuits_course.checking.edits import Edit, line_of, shown
from circuits_course.checking.source_tree import is_module, number_in, on_one_line, places


def edits_that_drop(function: ast.AST) -> Iterator[Edit]:
    """Without a call, a side of an operation, an index, a condition or a statement."""
    for parent, field, index, node in places(function):
        if isinstance(node, ast.expr) and not isinstance(getattr(node, "ctx", None), ast.Store):
            for after, phrase in _less(node):
                yield Edit(parent, field, index, node, after, line_of(node, parent), phrase)
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.Break | ast.Continue):
            phrase = f"leave out {shown(node)}"
            nothing = ast.copy_location(ast.Pass(), node)
            yield Edit(parent, field, index, node, nothing, node.lineno, phrase)
        if isinstance(node, ast.comprehension) and node.ifs:
            free = ast.comprehension(node.target, node.iter, [], node.is_async)
            phrase = f"leave out the condition {shown(node.ifs[0])}"
            yield Edit(parent, field, index, node, free, node.target.lineno, phrase)


def _less(node: ast.expr) -> Iterator[tuple[ast.expr, str]]:
    if isinstance(node, ast.Call):
        yield from _less_called(node)
    elif isinstance(node, ast.BinOp):
        yield (
            node.left,
            f"leave out `{_operator(node)} {on_one_line(node.right)}` after " + shown(node.left),
        )
        yield (
            node.right,
            f"leave out `{on_one_line(node.left)} {_operator(node)}` before " + shown(node.right),
        )
    elif isinstance(node, ast.UnaryOp) and number_in(node) is None:
        yield node.operand, f"leave out what stands before {shown(node.operand)}"
    elif isinstance(node, ast.IfExp):
        for branch in (node.body, node.orelse):
            yield branch, f"always {shown(branch)} in {shown(node)}"
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield value, f"{shown(value)} alone in {shown(node)}"
    elif isinstance(node, ast.Subscript):
        index = on_one_line(node).removeprefix(on_one_line(node.value))
        yield node.value, f"leave out `{index}` after {shown(node.value)}"
        if isinstance(node.slice, ast.Tuple):
            entries = node.slice.elts
            for i, entry in enumerate(entries):
                kept = [*entries[:i], ast.Slice(), *entries[i + 1 :]]
                after = ast.Subscript(node.value, ast.Tuple(kept, ast.Load()), node.ctx)
                yield after, f"all of axis {i} in place of {shown(entry)} in {shown(node)}"


def _operator(node: ast.BinOp) -> str:
    bare = ast.BinOp(ast.Name("a", ast.Load()), node.op, ast.Name("b", ast.Load()))
    return on_one_line(bare)[2:-2]


def _less_called(node: ast.Call) -> Iterator[tuple[ast.expr, str]]:
    if isinstance(node.func, ast.Attribute) and not is_module(node.func.value):
        value, call = node.func.value, on_one_line(node)[len(on_one_line(node.func.value)) :]
        step = call[call.index(f".{node.func.attr}") :]
        yield value, f"leave out `{step}` after {shown(value)}"
    elif node.args and not isinstance(node.args[0], ast.Starred):
        yield node.args[0], f"leave out {shown(node.func)} around {shown(node.args[0])}"
    for keyword in node.keywords:
        left = [other for other in node.keywords if other is not keyword]
        after = ast.Call(node.func, node.args, left)
        yield after, f"leave out `{keyword.arg}=...` in {shown(node)}"
    if len(node.args) > 1:
        after = ast.Call(node.func, node.args[:-1], node.keywords)
        yield after, f"leave out the argument {shown(node.args[-1])} of {shown(node.func)}"
