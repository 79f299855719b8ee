"""The expression language of plans: `parse`, `bare`, and templates that hold `${{ … }}` in their texts.

Expressions read JSON data only, are capped in size and cost, and fail with nothing but `ExpressionError`.
The grammar is in docs/plan-format.md; what operators do is in `expression_values`, the caps stand beside their use.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from keyword import iskeyword
from sys import intern
from typing import Final, cast

from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue
from orchestrator.plan.expression_compiler import (
    CONSTANTS,
    NESTING_MAX,
    NODES_MAX,
    Ref,
    Run,
    Scope,
    compile_expression,
    path_value,
)
from orchestrator.plan.expression_source import SOURCE_CHARS_MAX
from orchestrator.plan.expression_values import (
    COST_MAX,
    INTEGER_BITS_MAX,
    ITEMS_MAX,
    TEXT_RESULT_CHARS_MAX,
    kind,
)

__all__ = [
    "COST_MAX",
    "INTEGER_BITS_MAX",
    "ITEMS_MAX",
    "NESTING_MAX",
    "NODES_MAX",
    "SOURCE_CHARS_MAX",
    "TEXT_RESULT_CHARS_MAX",
    "VALUE_DEPTH_MAX",
    "Expression",
    "ExpressionError",
    "Ref",
    "Scope",
    "ValueTemplate",
    "bare",
    "compile_value",
    "parse",
    "text_parts",
]

VALUE_DEPTH_MAX: Final = 64  #: nesting of a value that holds templates
#: Texts and parsed expressions kept. Building, checking and compiling a plan read each of its texts again, and the
#: largest plan has this many steps; fewer would be read anew each time.
_CACHED: Final = 131_072
_SHORT: Final = 128  #: characters of a text that is worth keeping

# A path and nothing else: looked up directly, without the parser.
_PATH = re.compile(r"([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*|\[\d{1,5}\])*)", re.ASCII)
_LINK = re.compile(r"\.(\w+)|\[(\d+)\]", re.ASCII)
# Up to the closing braces, over texts that may hold braces themselves. Bounded, so that its cost is linear.
_BRACED = re.compile(
    r"\$\{\{((?:[^\"'}]|\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'|\}(?!\})){0,"
    rf"{SOURCE_CHARS_MAX + 1}"
    r"}+)\}\}",
    re.DOTALL,
)
_JSON_TYPES: Final = frozenset({type(None), bool, int, float, str, list, dict})


class Expression:
    """One expression, checked and ready to evaluate. Immutable; equal by its text; pickles by its text."""

    __slots__ = ("_run", "plain", "refs", "text")

    def __init__(self, text: str) -> None:
        self.text = text  #: without braces
        self.refs: tuple[Ref, ...]  #: its references, in the order of the text, each once
        self.plain: Ref | None = None  #: the one reference, when the expression is a plain path and nothing else
        self._run: Run | None  #: None: a plain path is walked without more ado
        found = _PATH.fullmatch(text.strip())
        if found and not iskeyword(found[1]) and found[1] not in CONSTANTS and "__" not in text and len(text) <= 200:
            links = _LINK.findall(found[2])
            column = len(text) - len(text.lstrip()) + 1
            # Thousands of references differ in the name of a step and share the words around it.
            path = tuple([intern(name) if name else int(index) for name, index in links])
            self.plain = Ref(intern(found[1]), path, column)
            self.refs = (self.plain,)
            self._run = None
        else:
            self._run, self.refs = compile_expression(text)

    def evaluate(self, scope: Scope) -> JsonValue:
        """The value for the data in `scope`; never changes the data, and may share it.

        Raises:
            ExpressionError: a name, key or index is missing, kinds do not fit, or a cap is met.
        """
        plain = self.plain
        if self._run is not None:
            value = self._run(scope, [COST_MAX])
        else:
            assert plain is not None, "what is no plain path was compiled"
            value = path_value(self.text, plain.root, plain.path, plain.column, scope)
        if type(value) not in _JSON_TYPES:
            kinds = "a view of several values" if isinstance(value, Mapping) else type(value).__name__
            raise ExpressionError(self.text, f"gives {kinds}, which is no JSON value; name one of its members", 1)
        return cast(JsonValue, value)

    resolve = evaluate  #: as a part of a template

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text

    def __hash__(self) -> int:
        return hash((Expression, self.text))

    def __repr__(self) -> str:
        return f"parse({self.text!r})"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return parse, (self.text,)


@lru_cache(maxsize=_CACHED)
def parse(text: str) -> Expression:
    """Read an expression without braces.

    Raises:
        ExpressionError: the text is not an expression of the language, or over a cap.
    """
    return Expression(text)


def bare(text: str) -> Expression:
    """Read the expression of `if`, `rule` or `when`, where the braces are optional.

    Raises:
        ExpressionError: as `parse`; or braces stand around a part of it only.
    """
    whole = text.strip()
    if not whole.startswith("${{"):
        return parse(text)
    found = _BRACED.match(whole)
    if found is None:
        raise ExpressionError(text, "`${{` is not closed by `}}`", 1)
    if found.end() != len(whole):
        raise ExpressionError(text, "braces stand around the whole expression or nowhere", found.end() + 1)
    return parse(found[1])


def text_parts(text: str) -> tuple[str | Expression, ...]:
    """A text with `${{ … }}` in it as plain pieces and expressions, in order; empty pieces left out.

    Raises:
        ExpressionError: braces are open or empty, or an expression is not readable.
    """
    return _short_parts(text) if len(text) <= _SHORT else tuple(_parts(text))


@lru_cache(maxsize=_CACHED)
def _short_parts(text: str) -> tuple[str | Expression, ...]:
    return tuple(_parts(text))


def _parts(text: str) -> Iterator[str | Expression]:
    done = 0
    while (start := text.find("${{", done)) >= 0:
        found = _BRACED.match(text, start)
        if found is None:
            long = "" if len(text) - start <= SOURCE_CHARS_MAX else f" within {SOURCE_CHARS_MAX:,} characters"
            raise ExpressionError(text, f"`${{{{` is not closed by `}}}}`{long}", start + 1)
        if start > done:
            yield text[done:start]
        yield _read(found[1], len(text))
        done = found.end()
    if done < len(text):
        yield text[done:]


def _read(source: str, chars: int) -> Expression:
    """The expression of a piece of a text; one that is kept by its whole text is not kept a second time."""
    return Expression(source) if chars <= _SHORT else parse(source)


class ValueTemplate:
    """A JSON value in whose texts expressions may stand; `compile_value` makes it. Immutable."""

    __slots__ = ("_build", "constant", "refs", "source")

    def __init__(self, source: JsonValue) -> None:
        self.source = source  #: as given
        refs: list[Ref] = []
        self._build = _compile(source, refs, 0)
        self.constant = self._build is None  #: whether it holds no expression
        self.refs = tuple(dict.fromkeys(refs))  #: of all its expressions, each once

    def resolve(self, scope: Scope) -> JsonValue:
        """The value with every expression replaced by what it gives; a constant is returned as it is, not copied.

        Raises:
            ExpressionError: as `Expression.evaluate`; or a text grows over `TEXT_RESULT_CHARS_MAX`.
        """
        return self.source if self._build is None else self._build.resolve(scope)

    def __repr__(self) -> str:
        return f"compile_value({self.source!r})"

    def __reduce__(self) -> tuple[object, tuple[JsonValue]]:
        return compile_value, (self.source,)


def compile_value(value: JsonValue) -> ValueTemplate:
    """Read a JSON value as a template: a whole text `${{ x }}` keeps the type of x, within other text x is spliced in.

    Raises:
        ExpressionError: an expression is not readable, stands in a key, or lies deeper than `VALUE_DEPTH_MAX`.
    """
    return ValueTemplate(value)


class _Spliced:
    __slots__ = ("_parts", "_text")

    def __init__(self, text: str, parts: tuple[str | Expression, ...]) -> None:
        self._text, self._parts = text, parts

    def resolve(self, scope: Scope) -> JsonValue:
        pieces: list[str] = []
        room = TEXT_RESULT_CHARS_MAX
        for part in self._parts:
            piece = part if isinstance(part, str) else _as_text(part, part.evaluate(scope), room)
            room -= len(piece)
            if room < 0:
                raise ExpressionError(self._text, f"gives a text longer than {TEXT_RESULT_CHARS_MAX:,} characters", 1)
            pieces.append(piece)
        return "".join(pieces)


class _Items:
    __slots__ = ("_parts", "_source")

    def __init__(self, source: list[JsonValue], parts: list[tuple[int, "_Build"]]) -> None:
        self._source, self._parts = source, parts

    def resolve(self, scope: Scope) -> JsonValue:
        items = self._source.copy()
        for at, part in self._parts:
            items[at] = part.resolve(scope)
        return items


class _AllItems:
    """A list of nothing but expressions, as a step has that gathers from many."""

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple["_Build", ...]) -> None:
        self._parts = parts

    def resolve(self, scope: Scope) -> JsonValue:
        return [part.resolve(scope) for part in self._parts]


class _Members:
    __slots__ = ("_parts", "_source")

    def __init__(self, source: dict[str, JsonValue], parts: list[tuple[str, "_Build"]]) -> None:
        self._source, self._parts = source, parts

    def resolve(self, scope: Scope) -> JsonValue:
        members = self._source.copy()
        for key, part in self._parts:
            members[key] = part.resolve(scope)
        return members


_Build = Expression | _AllItems | _Spliced | _Items | _Members


def _compile(value: JsonValue, refs: list[Ref], depth: int) -> _Build | None:
    """What resolves `value`; None when there is no expression in it. Adds the references to `refs`."""
    if depth > VALUE_DEPTH_MAX:
        raise ExpressionError("", f"the value is nested deeper than {VALUE_DEPTH_MAX}")
    if isinstance(value, str):
        if "${{" not in value:
            return None
        parts = text_parts(value)
        refs.extend(ref for part in parts if isinstance(part, Expression) for ref in part.refs)
        # The line end of a YAML block is no text of its own.
        if isinstance(parts[0], Expression) and parts[1:] in ((), ("\n",)):
            return parts[0]
        return _Spliced(value, parts)
    if isinstance(value, list):
        items = [(at, part) for at, item in enumerate(value) if (part := _compile(item, refs, depth + 1)) is not None]
        if items and len(items) == len(value):
            return _AllItems(tuple([part for _, part in items]))
        return _Items(value, items) if items else None
    if isinstance(value, dict):
        members: list[tuple[str, _Build]] = []
        for key, item in value.items():
            if "${{" in key:
                raise ExpressionError(key, "a key cannot hold an expression", 1)
            part = _compile(item, refs, depth + 1)
            if part is not None:
                members.append((key, part))
        return _Members(value, members) if members else None
    return None


def _as_text(expression: Expression, value: JsonValue, room: int) -> str:
    """A text as it is, anything else as compact JSON."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list | dict):
        return json.dumps(value)
    # Measured before it is written: the text of a large value is refused without being built.
    todo: list[object] = [value]
    while todo and room >= 0:
        each = todo.pop()
        room -= 1
        if isinstance(each, str):
            room -= len(each)
        elif isinstance(each, list):
            todo.extend(each[: room + 1])
        elif isinstance(each, dict):
            room -= sum(map(len, each))
            todo.extend(each.values())
        else:
            kind(each)
    if room < 0:
        raise ExpressionError(expression.text, f"is longer than {TEXT_RESULT_CHARS_MAX:,} characters as text", 1)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise ExpressionError(expression.text, f"cannot be written as text: {type(error).__name__}", 1) from None
