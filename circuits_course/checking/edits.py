"""One-place changes of an answer that put something else where something stands: another number,
another variable. Each is told in words that name the place and not what belongs there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
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

SHOWN = 56  # characters of the learner's code in a sentence
NUMBERS = (0, 1, 2, 3, -1, -2, -3)
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)
COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
OTHER_WORD = {ast.And: ast.Or, ast.Or: ast.And, ast.In: ast.NotIn, ast.NotIn: ast.In,
              ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.MatMult: ast.Mult, ast.FloorDiv: ast.Mod,
              ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}  # fmt: skip
SIBLINGS = (
    ("W_Q", "W_K", "W_V", "W_O"),
    ("b_Q", "b_K", "b_V", "b_O"),
    ("W_E", "W_U", "W_pos"),
    ("n_layers", "n_heads", "n_ctx", "d_model", "d_head", "d_vocab", "d_mlp"),
    ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"),
    ("q", "k", "v", "z", "result", "pattern", "attn_scores"),
    ("hook_q", "hook_k", "hook_v", "hook_z", "hook_result", "hook_pattern", "hook_attn_scores"),
    ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out"),
    ("clean", "corrupted"),
    ("log2", "log10", "log", "log1p", "exp"),
    ("sum", "mean", "max", "min", "median", "prod", "amax", "amin", "std", "var"),
)


@dataclass(frozen=True)
class Edit:
    """One change: what hangs in `parent`, and what would hang there instead.

    phrase completes "One change makes every case pass: ...".
    """

    parent: ast.AST
    field: str
    index: int | None
    before: Any
    after: Any
    line: int
    phrase: str

    def make(self) -> None:
        put(self.parent, self.field, self.index, self.after)

    def undo(self) -> None:
        put(self.parent, self.field, self.index, self.before)


def shown(node: ast.AST, most: int = SHOWN) -> str:
    """A node between backticks, shortened in the middle."""
    text = on_one_line(node)
    if len(text) > most:
        text = f"{text[: most * 2 // 3]} … {text[-most // 3 :]}"
    return f"`{text}`"


def edits_in_place(function: ast.AST, names: list[str]) -> Iterator[Edit]:
    """Another number, operator, order, bound or name where one stands.

    names: the arguments' names, which may belong where a number stands.
    """
    for parent, field, index, node in places(function):
        for after, phrase in _other(parent, node, names):
            yield Edit(parent, field, index, node, after, line_of(node, parent), phrase)


def edits_of_patterns(function: ast.AST) -> Iterator[Edit]:
    """Two axes exchanged in the pattern of an einsum or a rearrange."""
    for parent, field, index, node in places(function):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "->" in node.value:
            for other in _other_results(node.value):
                phrase = f"two axes exchanged in {shown(node)}"
                yield Edit(parent, field, index, node, ast.Constant(other), node.lineno, phrase)


def edits_of_names(function: ast.AST) -> Iterator[Edit]:
    """Another variable of the function in place of one, in the order of the text."""
    own = variables(function)
    for parent, field, index, node in places(function):
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        if _is_called(parent, node):
            continue
        for other in own:
            if other != node.id:
                after = ast.Name(other, ast.Load())
                phrase = f"another variable in place of `{node.id}`{_within(parent)}"
                yield Edit(parent, field, index, node, after, line_of(node, parent), phrase)


def edits_of_attributes(function: ast.AST, known: dict[str, list[str]]) -> Iterator[Edit]:
    """Another attribute of an argument in place of one. known: {argument: its attributes}."""
    for parent, field, index, node in places(function):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            for other in known.get(node.value.id, []):
                after = ast.Attribute(node.value, other, ast.Load())
                phrase = f"another attribute in place of {shown(node)}{_within(parent)}"
                yield Edit(parent, field, index, node, after, node.lineno, phrase)


def line_of(node: ast.AST, parent: ast.AST) -> int:
    return int(getattr(node, "lineno", getattr(parent, "lineno", 1)))


def _within(parent: ast.AST) -> str:
    whole = _whole(parent)
    return f" in {shown(whole)}" if isinstance(whole, ast.expr) else ""


def _whole(node: ast.AST) -> ast.AST:
    """The expression that a part belongs to which does not read alone."""
    while isinstance(node, ast.Tuple | ast.Slice | ast.keyword | ast.Starred):
        above = getattr(node, "above", None)
        if above is None:
            break
        node = above
    return node


def know_parents(tree: ast.AST) -> None:
    """Every node knows the one it hangs on, as `above`."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.above = node  # type: ignore[attr-defined]


def _is_called(parent: ast.AST, node: ast.AST) -> bool:
    return isinstance(parent, ast.Call) and parent.func is node


def variables(function: ast.AST) -> list[str]:
    """Names that the function's arguments and assignments give, in the order of the text."""
    found: dict[str, None] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            found[node.arg] = None
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] = None
    return [name for name in found if name not in ("self", "_")]


# --- in place -----------------------------------------------------------------------------------


def _other(parent: ast.AST, node: ast.AST, names: list[str]) -> Iterator[tuple[ast.AST, str]]:
    within = _within(parent)
    if isinstance(node, ast.operator | ast.cmpop | ast.boolop):
        for kind in _other_kinds(node):
            yield kind(), f"another operator in {shown(parent)}"
    elif isinstance(node, ast.Constant) or number_in(node) is not None:
        if not isinstance(parent, ast.UnaryOp):
            for after in _other_constants(node, names):
                what = "an argument" if isinstance(after, ast.Name) else "another value"
                yield after, f"{what} in place of {shown(node)}{within}"
    elif isinstance(node, ast.Slice):
        for after in _other_slices(node, names):
            yield after, f"another range in {shown(_whole(parent))}"
    elif isinstance(node, ast.Subscript):
        yield from _other_indices(node)
    elif isinstance(node, ast.Call):
        yield from _other_call(node)
    elif isinstance(node, ast.BinOp):
        yield from _other_sides(node)
    elif isinstance(node, ast.IfExp):
        turned = ast.IfExp(node.test, node.orelse, node.body)
        yield turned, f"the two branches of {shown(node)} exchanged"
    elif isinstance(node, ast.Attribute) and not _is_called(parent, node):
        for name in _siblings(node.attr):
            after = ast.Attribute(node.value, name, ast.Load())
            yield after, f"another attribute in place of `{node.attr}`{within}"
    elif isinstance(node, ast.stmt):
        yield from _other_statement(node)


def _other_statement(node: ast.stmt) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(node, ast.AugAssign):
        plain = ast.Assign([node.target], node.value)
        yield ast.copy_location(plain, node), f"`=` in place of the operator in {shown(node)}"
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name | ast.Subscript):
        added = ast.AugAssign(node.targets[0], ast.Add(), node.value)
        yield ast.copy_location(added, node), f"`+=` in place of `=` in {shown(node)}"
    elif isinstance(node, ast.If):
        turned = ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        yield ast.copy_location(turned, node), f"the condition {shown(node.test)} turned round"


def _other_kinds(node: ast.AST) -> list[type[Any]]:
    if isinstance(node, OPERATORS):
        return [kind for kind in (*OPERATORS, ast.MatMult) if not isinstance(node, kind)]
    if isinstance(node, COMPARISONS):
        return [kind for kind in COMPARISONS if not isinstance(node, kind)]
    return [OTHER_WORD[type(node)]] if type(node) in OTHER_WORD else []


def _other_constants(node: ast.AST, names: list[str]) -> Iterator[ast.expr]:
    value = number_in(node)
    if value is not None:
        values: list[Any] = [-value, value + 1, value - 1, *NUMBERS]
        if isinstance(value, float):
            values += [1 - value, 1 / value if value else 1.0, 2 * value, value / 2, value**2]
        yield from (ast.Constant(other) for other in dict.fromkeys(values) if other != value)
        yield ast.Constant(None)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from (ast.Constant(other) for other in _other_strings(node.value))
    if not isinstance(node, ast.Constant) or not isinstance(node.value, bytes):
        yield from (ast.Name(name, ast.Load()) for name in names)


def _other_strings(text: str) -> Iterator[str]:
    """Another hook, another weight; the letters of a pattern come last, see `edits_of_patterns`."""
    yield from _siblings(text)
    for word in sorted({w for family in SIBLINGS for w in family}, key=len, reverse=True):
        if text != word and text.endswith(f".{word}"):
            yield from (text.removesuffix(word) + other for other in _siblings(word))
            break


def _other_results(pattern: str) -> Iterator[str]:
    """The pattern with two letters of its result, or of its inputs, exchanged."""
    left, right = pattern.split("->", 1)
    for side, rebuild in ((right, lambda s: f"{left}->{s}"), (left, lambda s: f"{s}->{right}")):
        words = side.split() if " " in side.strip() else list(side)
        glue = " " if " " in side.strip() else ""
        for i in range(len(words)):
            for j in range(i):
                order = [*words]
                order[i], order[j] = order[j], order[i]
                yield rebuild(f" {glue.join(order)} " if glue else glue.join(order))


def _siblings(name: str) -> list[str]:
    return [other for family in SIBLINGS if name in family for other in family if other != name]


def _other_slices(node: ast.Slice, names: list[str]) -> Iterator[ast.Slice]:
    lower: list[ast.expr | None] = [None, *_bounds(node.lower, names)]
    upper: list[ast.expr | None] = [None, *_bounds(node.upper, names)]
    yield from (ast.Slice(bound, node.upper, node.step) for bound in lower)
    yield from (ast.Slice(node.lower, bound, node.step) for bound in upper)
    if node.lower and node.upper is None:
        yield ast.Slice(None, node.lower, node.step)
    if node.upper and node.lower is None:
        yield ast.Slice(node.upper, None, node.step)


def _bounds(bound: ast.expr | None, names: list[str]) -> Iterator[ast.expr]:
    if bound is None:
        yield from (ast.Constant(1), ast.Constant(-1), ast.Constant(2))
    elif number_in(bound) is None:
        yield from one_off(bound)
    yield from (ast.Name(name, ast.Load()) for name in names)


def one_off(node: ast.expr) -> Iterator[ast.expr]:
    """One more, and one less."""
    yield ast.BinOp(node, ast.Add(), ast.Constant(1))
    yield ast.BinOp(node, ast.Sub(), ast.Constant(1))


def _other_indices(node: ast.Subscript) -> Iterator[tuple[ast.AST, str]]:
    index = node.slice
    if isinstance(index, ast.Name | ast.BinOp | ast.Attribute):
        for after in one_off(index):
            yield ast.Subscript(node.value, after, node.ctx), f"an index one off in {shown(node)}"
    if not isinstance(index, ast.Tuple):
        entry: list[ast.expr] = [ast.Slice(), index]
        after = ast.Subscript(node.value, ast.Tuple(entry, ast.Load()), node.ctx)
        yield after, f"another axis for the index of {shown(node)}"
        return
    entries = index.elts
    for order in neighbours_exchanged(entries):
        after = ast.Subscript(node.value, ast.Tuple(order, ast.Load()), node.ctx)
        yield after, f"two indices exchanged in {shown(node)}"
    for i, entry_ in enumerate(entries):
        if isinstance(entry_, ast.Name | ast.BinOp | ast.Attribute):
            for other in one_off(entry_):
                moved = ast.Tuple([*entries[:i], other, *entries[i + 1 :]], ast.Load())
                after = ast.Subscript(node.value, moved, node.ctx)
                yield after, f"an index one off in {shown(node)}"


def _other_call(node: ast.Call) -> Iterator[tuple[ast.AST, str]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    name = node.func.id if isinstance(node.func, ast.Name) else name
    for other in dict.fromkeys([*([OPPOSITES[name]] if name in OPPOSITES else []),
                                *_siblings(name)]):  # fmt: skip
        func: ast.expr = ast.Name(other, ast.Load())
        if isinstance(node.func, ast.Attribute):
            func = ast.Attribute(node.func.value, other, ast.Load())
        after = ast.Call(func, node.args, node.keywords)
        yield after, f"another function in place of `{name}` in {shown(node)}"
    for order in neighbours_exchanged(node.args):
        after = ast.Call(node.func, order, node.keywords)
        yield after, f"two arguments exchanged in {shown(node)}"
    if isinstance(node.func, ast.Attribute) and not is_module(node.func.value) and node.args:
        after = ast.Call(
            ast.Attribute(node.args[0], node.func.attr, ast.Load()),
            [node.func.value, *node.args[1:]],
            node.keywords,
        )
        yield after, f"the two sides of {shown(node)} exchanged"
    yield from _other_axes(node)


def _other_axes(node: ast.Call) -> Iterator[tuple[ast.AST, str]]:
    """An axis where none is named, and `range` one off."""
    if isinstance(node.func, ast.Name) and node.func.id == "range":
        for i, argument in enumerate(node.args):
            for other in one_off(argument):
                args = [*node.args[:i], other, *node.args[i + 1 :]]
                yield ast.Call(node.func, args, node.keywords), f"another range in {shown(node)}"
        if len(node.args) == 1:
            after = ast.Call(node.func, [ast.Constant(1), *node.args], node.keywords)
            yield after, f"another range in {shown(node)}"
        return
    has_axis = any(keyword.arg in ("dim", "axis") for keyword in node.keywords)
    method = isinstance(node.func, ast.Attribute) and not is_module(node.func.value)
    if not has_axis and len(node.args) == (0 if method else 1):
        for axis in (-1, 0, 1, -2):
            keywords = [*node.keywords, ast.keyword("dim", ast.Constant(axis))]
            after = ast.Call(node.func, node.args, keywords)
            yield after, f"{shown(node)} taken along one axis"


def _other_sides(node: ast.BinOp) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(node.op, ast.Sub | ast.Div | ast.MatMult | ast.FloorDiv | ast.Pow):
        after = ast.BinOp(node.right, node.op, node.left)
        yield after, f"the two sides of {shown(node)} exchanged"
