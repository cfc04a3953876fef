"""One-place changes that add something to an answer: a step that is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from circuits_course.checking.edits import Edit, shown
from circuits_course.checking.source_tree import is_module, neighbours_exchanged, places

STEPS = {
    "_.squeeze(0)": "{} without its first axis, of length 1,",
    "_.squeeze(1)": "{} without axis 1, of length 1,",
    "_.squeeze(-1)": "{} without its last axis, of length 1,",
    "-_": "{} with its sign turned",
    "_.abs()": "the absolute value of {}",
    "1 - _": "1 minus {}",
    "_.softmax(-1)": "the softmax of {} over its last axis",
    "_.log()": "the logarithm of {}",
    "_.exp()": "the exponential of {}",
    "_.sqrt()": "the square root of {}",
    "_.mT": "{} transposed",
    "_.T": "{} transposed",
    "_.transpose(1, 2)": "{} with two axes exchanged",
    "_.mean(0)": "the mean of {} over its first axis",
    "_.mean(1)": "the mean of {} over axis 1",
    "_.mean(-1)": "the mean of {} over its last axis",
    "_.mean(-2)": "the mean of {} over its last axis but one",
    "_.mean()": "the mean of {}",
    "_.sum(0)": "the sum of {} over its first axis",
    "_.sum(1)": "the sum of {} over axis 1",
    "_.sum(-1)": "the sum of {} over its last axis",
    "_.sum(-2)": "the sum of {} over its last axis but one",
    "_.sum()": "the sum of {}",
    "_ - _.mean(-1, keepdim=True)": "{} less its mean over its last axis",
    "_ / _.norm(dim=-1, keepdim=True)": "{} divided by its length",
    "_ / _.sum(-1, keepdim=True)": "{} divided by its sum over its last axis",
    "_ / _.shape[-1]": "{} divided by the length of its last axis",
    "_ / len(_)": "{} divided by its length",
    "_ / _.shape[-1] ** 0.5": "{} divided by the root of the length of its last axis",
    "_[1:]": "{} without its first entry",
    "_[:-1]": "{} without its last entry",
    "_[:, 1:]": "{} without the first entry of axis 1",
    "_[:, :-1]": "{} without the last entry of axis 1",
    "_[..., 1:]": "{} without the first entry of its last axis",
    "_[..., :-1]": "{} without the last entry of its last axis",
    "_[..., 1:, :]": "{} without the first entry of its last axis but one",
    "_[0]": "entry 0 of {}",
    "_[-1]": "the last entry of {}",
    "_[:, 0]": "entry 0 of axis 1 of {}",
    "_[:, -1]": "the last entry of axis 1 of {}",
    "_[..., -1]": "the last entry of {} along its last axis",
    "_[::-1]": "{} backwards",
    "_.flip(-1)": "{} backwards along its last axis",
    "_.item()": "{} as a plain number",
    "_.tolist()": "{} as a list",
    "_.clone()": "a copy of {}",
    "_.detach()": "{} detached from its gradient",
    "_.float()": "{} as floating-point numbers",
    "_.relu()": "{} with 0 in place of what is negative",
    "_.tril()": "the lower triangle of {}",
    "_.triu()": "the upper triangle of {}",
    "_.unsqueeze(-1)": "{} with one more axis at its end",
    "_.unsqueeze(0)": "{} with one more axis at its front",
    "_.cumsum(-1)": "the running sum of {} along its last axis",
    "_ ** 2": "the square of {}",
    "2 * _": "twice {}",
    "_ / 2": "half of {}",
    "_ + 1": "1 more than {}",
    "_ - 1": "1 less than {}",
    "float(_)": "{} as a plain number",
    "int(_)": "{} as a whole number",
    "list(_)": "{} as a list",
    "tuple(_)": "{} as a tuple",
    "sorted(_)": "{} in order",
    "set(_)": "{} without repetitions",
    "dict(_)": "a copy of {}",
    "sum(_)": "the sum of {}",
    "max(_)": "the largest of {}",
    "len(_)": "the length of {}",
    "range(_)": "a range up to {}",
    "_.any()": "whether any of {} holds",
    "_.all()": "whether all of {} hold",
    "_.values": "the values of {}",
    "_.indices": "the indices of {}",
    "_.argmax(-1)": "where {} is largest along its last axis",
    "_.max(-1).values": "the largest of {} along its last axis",
    "_.unsqueeze(1)": "{} with one more axis after its first",
    "torch.stack(_)": "the tensors of {} stacked",
    "torch.stack(_, -1)": "the tensors of {} stacked along a last axis",
    "torch.stack(_, 1)": "the tensors of {} stacked along axis 1",
    "torch.cat(_)": "the tensors of {} joined",
    "torch.tensor(_)": "{} as a tensor",
    "abs(_)": "the absolute value of {}",
}
WITH_NUMBER = {
    "_ / #": "{} divided by `#`",
    "_ * #": "{} times `#`",
    "_ / # ** 0.5": "{} divided by the root of `#`",
    "_ + #": "{} plus `#`",
    "_ - #": "{} minus `#`",
    "_[#]": "entry `#` of {}",
    "_[:, #]": "entry `#` of axis 1 of {}",
    "_[#:]": "{} from entry `#` on",
    "_[:#]": "{} up to entry `#`",
    "_[..., #:]": "{} from entry `#` of its last axis on",
    "_[..., #:, :]": "{} from entry `#` of its last axis but one on",
    "_[:, #:]": "{} from entry `#` of axis 1 on",
}


def steps_added(function: ast.AST, numbers: list[str]) -> Iterator[Edit]:
    """One step more on a value; on what is returned first, then on what is assigned.

    numbers: the arguments that are numbers, by which a value may be divided or cut.
    """
    for parent, field, index, node in sorted(_values(function), key=_rank):
        for template, phrase in _templates(numbers):
            after = _filled(template, node)
            told = f"take {phrase.format(shown(node))}"
            yield Edit(parent, field, index, node, after, node.lineno, told)


def statements_moved(function: ast.AST) -> Iterator[Edit]:
    """A statement out of the loop that it ends, two neighbours exchanged, a hook's `return`."""
    for node in ast.walk(function):
        for field in ("body", "orelse"):
            body = getattr(node, field, None)
            if isinstance(body, list):
                yield from _moved(node, field, body)
        if isinstance(node, ast.FunctionDef) and node is not function:
            yield from _returned(node)


def _moved(node: ast.AST, field: str, body: list[ast.stmt]) -> Iterator[Edit]:
    for i, statement in enumerate(body):
        inside = getattr(statement, "body", None)
        if isinstance(statement, ast.For | ast.If | ast.With) and inside and len(inside) > 1:
            last = inside[-1]
            held = type(statement)(**{**dict(ast.iter_fields(statement)), "body": inside[:-1]})
            out = [*body[:i], ast.copy_location(held, statement), last, *body[i + 1 :]]
            phrase = f"{shown(last)} after the block that it stands in"
            yield Edit(node, field, None, body, out, last.lineno, phrase)
    for first, order in zip(body, neighbours_exchanged(body), strict=False):
        phrase = f"{shown(first)} after the statement below it"
        yield Edit(node, field, None, body, order, first.lineno, phrase)


def _returned(inner: ast.FunctionDef) -> Iterator[Edit]:
    if inner.args.args and not isinstance(inner.body[-1], ast.Return):
        name = inner.args.args[0].arg
        back = ast.copy_location(ast.Return(ast.Name(name, ast.Load())), inner.body[-1])
        phrase = f"`{inner.name}` returns `{name}`"
        yield Edit(inner, "body", None, inner.body, [*inner.body, back], inner.lineno, phrase)


Place = tuple[ast.AST, str, int | None, ast.expr]


def _values(function: ast.AST) -> Iterator[Place]:
    """Expressions that stand for a value, and neither for a function nor for an index."""
    for parent, field, index, node in places(function):
        if not isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.BinOp | ast.Subscript
                          | ast.ListComp | ast.DictComp | ast.List | ast.Dict):  # fmt: skip
            continue
        if isinstance(getattr(node, "ctx", None), ast.Store) or is_module(node):
            continue
        called = isinstance(parent, ast.Call) and parent.func is node
        held = isinstance(parent, ast.Attribute) and not isinstance(node, ast.Call | ast.BinOp)
        if not called and not held and not isinstance(parent, ast.arguments | ast.keyword):
            yield parent, field, index, node


def _rank(place: Place) -> int:
    parent = place[0]
    kinds = (ast.Return, ast.Assign | ast.AugAssign, ast.Call, ast.BinOp)
    return next((i for i, kind in enumerate(kinds) if isinstance(parent, kind)), len(kinds))


def _templates(numbers: list[str]) -> Iterator[tuple[str, str]]:
    yield from STEPS.items()
    for name in numbers:
        for template, phrase in WITH_NUMBER.items():
            yield template.replace("#", name), phrase.replace("#", name)


class _Fill(ast.NodeTransformer):
    def __init__(self, node: ast.expr) -> None:
        self.node = node

    def visit_Name(self, name: ast.Name) -> ast.AST:
        return self.node if name.id == "_" else name


def _filled(template: str, node: ast.expr) -> ast.expr:
    return _Fill(node).visit(ast.parse(template, mode="eval").body)
