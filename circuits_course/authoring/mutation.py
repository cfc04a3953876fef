"""Small systematic changes of a function: mutants, each as source with a name of its own.

A check that lets a mutant of the reference pass would let a learner's slip pass too.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, takewhile
from typing import Any

from circuits_course.checking.source_tree import (
    OPPOSITES,
    is_module,
    neighbours_exchanged,
    number_in,
    on_one_line,
    places,
    put,
)

_OTHER: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
    ast.MatMult: (ast.Mult,), ast.Pow: (ast.Mult,), ast.FloorDiv: (ast.Mod,), ast.Mod: (ast.Add,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change. name: "`before` → `after`", its own within the function; line: in the source."""

    name: str
    line: int
    source: str


def mutants_of(source: str) -> list[Mutant]:
    """Every small change of the function that `source` defines, none of them twice."""
    tree = ast.parse(source)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    original, found = ast.unparse(tree), {}
    for make, undo, name, line in _changes(function):
        make()
        changed = ast.unparse(tree)
        if changed != original and changed not in found and _is_python(changed):
            found[changed] = (name(), line)
        undo()
    seen: Counter[str] = Counter()
    mutants = []
    for changed, (label, line) in found.items():
        seen[label] += 1
        number = f" ({seen[label]})" if seen[label] > 1 else ""
        mutants.append(Mutant(label + number, line, changed))
    return mutants


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


_Change = tuple[Callable[[], None], Callable[[], None], Callable[[], str], int]


def _changes(function: ast.FunctionDef) -> Iterator[_Change]:
    yield from _fixed_arguments(function)
    for parent, field, index, node in places(function):
        line = getattr(node, "lineno", function.lineno)
        for other in _replacements(parent, node):
            yield _replacement(parent, field, index, node, other, line)


def _replacement(
    parent: ast.AST, field: str, index: int | None, node: ast.AST, other: ast.AST, line: int
) -> _Change:
    shown = node if isinstance(node, ast.stmt) else parent
    before = on_one_line(shown)

    def put_in(new: ast.AST = other) -> None:
        put(parent, field, index, new)

    def name() -> str:
        return _told(before, on_one_line(other if isinstance(node, ast.stmt) else parent))

    return put_in, lambda: put_in(node), name, line


def _replacements(parent: ast.AST, node: ast.AST) -> Iterator[ast.AST]:
    for kind in _OTHER.get(type(node), ()):
        yield kind()
    if isinstance(node, ast.stmt):
        yield from _statement(node)
    elif isinstance(node, ast.Constant) or number_in(node) is not None:
        if not isinstance(parent, ast.UnaryOp) or not isinstance(parent.op, ast.USub):
            yield from _constant(node)
    elif isinstance(node, ast.Slice):
        yield from _slice(node)
    elif isinstance(node, ast.Subscript):
        yield from _subscript(node)
    elif isinstance(node, ast.Call):
        yield from _call(node)
    elif isinstance(node, ast.BinOp):
        yield from _operation(node)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.comprehension):
        for condition in node.ifs:
            left = [other for other in node.ifs if other is not condition]
            yield ast.comprehension(node.target, node.iter, left, node.is_async)


def _statement(node: ast.stmt) -> Iterator[ast.stmt]:
    if isinstance(node, ast.AugAssign | ast.Expr | ast.Assign | ast.Break | ast.Continue):
        yield ast.copy_location(ast.Pass(), node)
    if isinstance(node, ast.If):
        for value in (True, False):
            yield ast.If(ast.Constant(value), node.body, node.orelse)
    if isinstance(node, ast.For):
        yield ast.For(node.target, node.iter, [*node.body, ast.Break()], [], lineno=node.lineno)


def _constant(node: ast.AST) -> Iterator[ast.AST]:
    number = number_in(node)
    if type(number) is int:
        values: list[Any] = [number + 1, number - 1]
    elif number is not None:
        values = [2 * number, number / 2] if number else [1.0]
    else:
        assert isinstance(node, ast.Constant)
        value = node.value
        values = [not value] if isinstance(value, bool) else []
        values = [f"{value}?"] if isinstance(value, str) else values
    yield from (ast.Constant(value) for value in values)


def _slice(node: ast.Slice) -> Iterator[ast.AST]:
    if node.lower is not None:
        yield ast.Slice(None, node.upper, node.step)
    if node.upper is not None:
        yield ast.Slice(node.lower, None, node.step)
    if node.step is not None:
        yield ast.Slice(node.lower, node.upper, None)
    if node.lower is None and node.upper is None:
        yield ast.Slice(ast.Constant(1), None, node.step)
        yield ast.Slice(None, ast.Constant(-1), node.step)


def _subscript(node: ast.Subscript) -> Iterator[ast.AST]:
    yield node.value
    if not isinstance(node.slice, ast.Tuple):
        return
    entries = node.slice.elts
    for i in range(len(entries)):
        left = [*entries[:i], *entries[i + 1 :]]
        inside = left[0] if len(left) == 1 else ast.Tuple(left, ast.Load())
        yield ast.Subscript(node.value, inside, node.ctx)
    for order in neighbours_exchanged(entries):
        yield ast.Subscript(node.value, ast.Tuple(order, ast.Load()), node.ctx)


def _call(node: ast.Call) -> Iterator[ast.AST]:
    yield from _called_otherwise(node)
    if isinstance(node.func, ast.Attribute) and not is_module(node.func.value):
        yield node.func.value
    elif node.args and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]
    for order in neighbours_exchanged(node.args):
        yield ast.Call(node.func, order, node.keywords)
    for keyword in node.keywords:
        left = [other for other in node.keywords if other is not keyword]
        yield ast.Call(node.func, node.args, left)


def _called_otherwise(node: ast.Call) -> Iterator[ast.AST]:
    func = node.func
    if isinstance(func, ast.Attribute) and func.attr in OPPOSITES:
        other: ast.expr = ast.Attribute(func.value, OPPOSITES[func.attr], ast.Load())
        yield ast.Call(other, node.args, node.keywords)
    if isinstance(func, ast.Name) and func.id in OPPOSITES:
        yield ast.Call(ast.Name(OPPOSITES[func.id], ast.Load()), node.args, node.keywords)


def _operation(node: ast.BinOp) -> Iterator[ast.AST]:
    yield from (node.left, node.right)
    if isinstance(node.op, ast.Sub | ast.Div | ast.MatMult):
        yield ast.BinOp(node.right, node.op, node.left)


def _fixed_arguments(function: ast.FunctionDef) -> Iterator[_Change]:
    """Arguments that are not heeded, or taken for one another."""
    spec, start = function.args, len(function.args.args) - len(function.args.defaults)
    pairs = [*zip(spec.args[start:], spec.defaults, strict=True)]
    pairs += [(a, d) for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d]
    for argument, default in pairs:
        fixed = ast.Assign([ast.Name(argument.arg, ast.Store())], default, lineno=function.lineno)
        yield _at_the_top(function, fixed, f"`{argument.arg}` → always `{on_one_line(default)}`")
    for one, other in combinations(spec.args, 2):
        if one.annotation and ast.dump(one.annotation) == ast.dump(other.annotation or spec):
            swap = ast.parse(f"{one.arg}, {other.arg} = {other.arg}, {one.arg}").body[0]
            yield _at_the_top(function, swap, f"`{one.arg}` and `{other.arg}` exchanged")


def _at_the_top(function: ast.FunctionDef, statement: ast.stmt, name: str) -> _Change:
    at = 1 if ast.get_docstring(function) is not None else 0
    return (
        lambda: function.body.insert(at, statement),
        lambda: function.body.remove(statement),
        lambda: name,
        function.lineno,
    )


def _told(before: str, after: str, around: int = 25) -> str:
    """What changed, with a little of what stands around it."""
    start = _alike(before, after)
    end = _alike(before[start:][::-1], after[start:][::-1])
    cut = max(start - around, 0)
    parts = []
    for text in (before, after):
        until = len(text) - end + around
        parts.append(f"{'…' * (cut > 0)}{text[cut:until]}{'…' * (until < len(text))}")
    return f"`{parts[0]}` → `{parts[1]}`"


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
