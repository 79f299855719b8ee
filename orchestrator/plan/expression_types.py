"""Finds mistakes of kind in an expression before it runs, as far as the types of its references are known.

Follows the rules of `expression_values`: a number is never compared with a text, and `len` needs what has a length.
"""

import ast
from collections.abc import Callable
from functools import lru_cache

from orchestrator.errors import ExpressionError
from orchestrator.plan.expression_compiler import CONSTANTS
from orchestrator.plan.expression_source import member_name, read
from orchestrator.plan.expressions import Expression
from orchestrator.plan.schema_types import (
    ANYTHING,
    Absent,
    Type,
    in_words,
    items_of,
    kinds_of_value,
    list_of,
    member,
    of_kinds,
)
from orchestrator.plan.vocabulary import ALL_KINDS

__all__ = ["Clash", "expression_type"]

Clash = Callable[[str, str], None]  #: told what is wrong, and what was expected
Look = Callable[[str, tuple[str | int, ...]], Type]  #: the type of a root's member; anything when it is unknown

_NUMBER, _TEXT = frozenset({"number"}), frozenset({"string"})
_BOOL = of_kinds("boolean")


@lru_cache(maxsize=4096)
def _tree(text: str) -> ast.expr:
    return read(text)[0]


def _key(link: ast.Attribute | ast.Subscript) -> str | int | None:
    """The member a link names; None when it is known at evaluation only."""
    if isinstance(link, ast.Attribute):
        return member_name(link.attr)
    index, sign = link.slice, 1
    if isinstance(index, ast.UnaryOp) and isinstance(index.op, ast.USub):
        index, sign = index.operand, -1
    if isinstance(index, ast.Constant) and isinstance(index.value, str | int):
        return sign * index.value if isinstance(index.value, int) else index.value
    return None


def expression_type(expression: Expression, look: Look, clash: Clash) -> Type:
    """The type of an expression's value; `clash` hears of operators that can never work on what they are given."""
    try:
        tree = _tree(expression.text)
    except ExpressionError:  # a plain path is looked up without the parser, and may hold words it would refuse
        return ANYTHING
    return _Typer(look, clash).type_of(tree)


class _Typer:
    def __init__(self, look: Look, clash: Clash) -> None:
        self._look, self._clash = look, clash

    def type_of(self, node: ast.expr) -> Type:
        match node:
            case ast.Constant(value=None | bool() | int() | float() | str() as value):
                return Type(frozenset({kinds_of_value(value)}), {"const": value})
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._path(node)
            case ast.Compare():
                return self._compare(node)
            case ast.BoolOp():
                found = [self.type_of(part) for part in node.values]
                return Type(frozenset().union(*(one.kinds for one in found)))
            case ast.UnaryOp():
                operand = self.type_of(node.operand)
                return _BOOL if isinstance(node.op, ast.Not) else self._needs(node, operand, _NUMBER, "minus")
            case ast.BinOp():
                return self._binary(node)
            case ast.IfExp():
                self.type_of(node.test)
                return Type(self.type_of(node.body).kinds | self.type_of(node.orelse).kinds)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name)
            case ast.List() | ast.Dict():
                for part in node.elts if isinstance(node, ast.List) else node.values:
                    self.type_of(part)
                return of_kinds("array" if isinstance(node, ast.List) else "object")
            case _:
                return ANYTHING

    def _path(self, node: ast.expr) -> Type:
        links: list[ast.Attribute | ast.Subscript] = []
        base = node
        while isinstance(base, ast.Attribute | ast.Subscript):
            links.append(base)
            base = base.value
        links.reverse()
        keys = [_key(link) for link in links]
        if isinstance(base, ast.Name) and base.id not in CONSTANTS:
            static = next((at for at, key in enumerate(keys) if key is None), len(keys))
            found = self._look(base.id, tuple(key for key in keys[:static] if key is not None))
        elif isinstance(base, ast.Name):
            static, value = 0, CONSTANTS[base.id]
            found = Type(frozenset({kinds_of_value(value)}), {"const": value})
        else:
            static, found = 0, self.type_of(base)
        for link, key in zip(links[static:], keys[static:], strict=True):
            if key is None:
                assert isinstance(link, ast.Subscript)
                self.type_of(link.slice)
                found = items_of(found) if found.kinds <= {"array", "null"} else ANYTHING
            else:
                inner = member(found, key)
                if isinstance(inner, Absent):
                    self._tell(node, inner.reason, ", ".join(inner.names))
                    return ANYTHING
                found = inner
        return found

    def _tell(self, node: ast.expr, what: str, expected: str) -> None:
        text = ast.unparse(node)
        self._clash(f"{what} in `{text if text.isascii() and len(text) < 120 else '…'}`", expected)

    def _needs(self, node: ast.expr, found: Type, wanted: frozenset[str], who: str) -> Type:
        if not found.kinds & wanted:
            self._tell(node, f"{who} needs {in_words(wanted)}, and this is {in_words(found.kinds)}", in_words(wanted))
        return Type(found.kinds & wanted or wanted)

    def _compare(self, node: ast.Compare) -> Type:
        left = self.type_of(node.left)
        for sign, part in zip(node.ops, node.comparators, strict=True):
            right = self.type_of(part)
            if isinstance(sign, ast.In | ast.NotIn):
                self._needs(node, right, frozenset({"array", "string", "object"}), "`in`")
                if right.kinds <= {"string", "object", "null"} and "string" not in left.kinds:
                    self._tell(node, f"{in_words(left.kinds)} cannot be in {in_words(right.kinds)}", "a text")
            elif isinstance(sign, ast.Eq | ast.NotEq):
                self._equal(node, left, right)
            elif not any(one <= left.kinds and one <= right.kinds for one in (_NUMBER, _TEXT)):
                self._tell(
                    node,
                    f"{in_words(left.kinds)} is ordered against {in_words(right.kinds)}",
                    "two numbers or two texts",
                )
            left = right
        return _BOOL

    def _equal(self, node: ast.Compare, left: Type, right: Type) -> None:
        if not left.kinds & right.kinds and "null" not in left.kinds | right.kinds:
            self._tell(node, f"{in_words(left.kinds)} is compared with {in_words(right.kinds)}", "two of one kind")
            return
        one, other = left.literals(), right.literals()
        if one is not None and other is not None and len(one) + len(other) > 2 and not any(a in other for a in one):
            single, several = (one, other) if len(one) == 1 else (other, one)
            known = ", ".join(map(str, several[:20]))
            self._tell(node, f"{single[0]!r} is never one of the values it is compared with", f"one of {known}")

    def _binary(self, node: ast.BinOp) -> Type:
        left, right = self.type_of(node.left), self.type_of(node.right)
        alike = [_NUMBER] if not isinstance(node.op, ast.Add) else [_NUMBER, _TEXT, frozenset({"array"})]
        can = [kind for kind in alike if kind <= left.kinds and kind <= right.kinds]
        if not can:
            self._tell(
                node,
                f"the operator cannot join {in_words(left.kinds)} and {in_words(right.kinds)}",
                "two numbers" if len(alike) == 1 else "two numbers, two texts or two lists",
            )
            return ANYTHING
        return Type(frozenset().union(*can))

    def _call(self, node: ast.Call, name: str) -> Type:
        args = [self.type_of(part) for part in node.args]
        if not args:
            return ANYTHING
        first = args[0]
        if name == "len":
            self._needs(node, first, frozenset({"string", "array", "object"}), "len")
            return of_kinds("number")
        if len(args) == 1:
            self._needs(node, first, frozenset({"array"}), name)
        if name in {"any", "all"}:
            return _BOOL
        if name == "sum":
            item = items_of(first)
            self._needs(node, item, _NUMBER, "sum")
            return of_kinds("number")
        if name == "sorted":
            return list_of(items_of(first))
        return items_of(first) if len(args) == 1 else Type(ALL_KINDS & {"number", "string"})
