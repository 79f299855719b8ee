"""Reads YAML strictly into plain JSON values, with the place of every key and value.

PyYAML's parser gives events; nothing of its constructors is used. There is no recursion, so depth costs nothing
before it is refused, and what YAML has beyond JSON (anchors, tags, merge keys, several documents) is refused.
Knows nothing of plans.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import yaml

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.ids import JsonValue
from orchestrator.plan.limits import PLAN_BYTES_MAX
from orchestrator.plan.yaml_scalars import ScalarRefused, plain_scalar

__all__ = ["ISSUES_MAX", "Located", "Path", "Place", "path_text", "read_yaml"]

DEPTH_MAX: Final = 40  #: collections inside collections
NODES_MAX: Final = 600_000  #: keys, values and collections; 10,000 full steps have 400,000
SCALAR_CHARS_MAX: Final = 256 * 1024  #: one key or value
ISSUES_MAX: Final = 20  #: reported at once

Path = tuple[str | int, ...]
# Where a node stands: `line << _LINE_SHIFT | column`, both from 0. Two small integers would take twice the memory.
_LINE_SHIFT: Final = 24
_Marks = list["int | _Marks"]  #: of a collection: its own mark, then of each key (in a mapping) and each value

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_PYTHON_LOADER: Final = yaml.SafeLoader
_LOADER: Final = getattr(yaml, "CSafeLoader", _PYTHON_LOADER)  # the C parser is some ten times faster
_TOO_MANY: Final = f"at most {NODES_MAX:,} keys, values and collections"


class _Event(Protocol):
    """What this file reads of PyYAML's events; each kind has some of it."""

    start_mark: yaml.Mark
    anchor: str | None
    tag: str | None
    value: str
    style: str | None  #: empty or None when unquoted
    version: tuple[int, int] | None
    tags: dict[str, str] | None


def _is(event: object, kind: type[yaml.Event]) -> bool:
    return type(event) is kind


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file. Line and column count from 1."""

    file: str
    line: int
    column: int


class Located:
    """A JSON value read from a text, and where each part of it stands."""

    __slots__ = ("_lines", "_marks", "file", "value")

    def __init__(self, value: JsonValue, file: str, marks: "int | _Marks", text: str) -> None:
        self.value, self.file = value, file
        self._marks: int | _Marks = marks
        self._lines: str | list[str] = text

    def line(self, number: int) -> str:
        """The text of a line, from 1; empty when there is none."""
        if isinstance(self._lines, str):
            self._lines = _unix(self._lines).split("\n")
        return self._lines[number - 1] if 1 <= number <= len(self._lines) else ""

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where the value at `path` begins, or its key with `key=True`.

        Of a path that leads nowhere: where its last existing part begins.
        """
        value, found = self.value, self._marks
        for number, step in enumerate(path, 1):
            if isinstance(found, int):
                break
            if isinstance(value, dict) and step in value:
                at = 2 * list(value).index(str(step)) + 1
                value = value[str(step)]
                found = found[at if key and number == len(path) else at + 1]
            elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
                value, found = value[step], found[step + 1]
            else:
                break
        mark = found if isinstance(found, int) else found[0]
        assert isinstance(mark, int)
        return Place(self.file, (mark >> _LINE_SHIFT) + 1, (mark & (1 << _LINE_SHIFT) - 1) + 1)

    def issue(self, message: str, path: Path, *, expected: str = "", key: bool = False) -> PlanIssue:
        """What is wrong at `path`, with its place and its line."""
        place = self.place(path, key=key)
        return PlanIssue(
            message=message,
            file=self.file,
            line=place.line,
            column=place.column,
            path=path_text(path),
            expected=expected,
            source_line=self.line(place.line),
        )


def path_text(path: Iterable[str | int]) -> str:
    """`steps.draft.checks[0].rule`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def read_yaml(text: str | bytes, file: str) -> Located:
    """The one document of `text`, as plain JSON. Costs linear time and memory, and stops at the first cap.

    Raises:
        PlanError: the text is not strict YAML or is over a cap; with up to `ISSUES_MAX` issues and their places.
    """
    decoded = _decoded(text, file)
    return _Reader(decoded, file).read()


def _refused(file: str, message: str, expected: str, text: str = "", at: int = 0) -> PlanError:
    """An error at the character `at` of `text`."""
    before = _unix(text[:at])
    start = before.rfind("\n") + 1
    issue = PlanIssue(
        message=message,
        file=file,
        line=before.count("\n") + 1,
        column=len(before) - start + 1,
        expected=expected,
        source_line=before[start:] + _unix(text[at:]).partition("\n")[0],
    )
    return PlanError((issue,))


def _unix(text: str) -> str:
    """The text with every line end of YAML as one line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _decoded(text: str | bytes, file: str) -> str:
    """The characters of a file; refuses sizes, encodings and characters that no plan needs."""
    size = f"at most {PLAN_BYTES_MAX:,} bytes"
    if len(text) > PLAN_BYTES_MAX:
        raise _refused(file, f"the file has {len(text):,} bytes or more", size)
    if isinstance(text, bytes):
        if text.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
            raise _refused(file, "the file is UTF-16 or UTF-32", "UTF-8")
        try:
            return _checked(text.decode(), file)
        except UnicodeDecodeError as error:
            before = text[: error.start].decode()
            message = f"byte 0x{text[error.start]:02x} is not UTF-8"
            raise _refused(file, message, "UTF-8", before, len(before)) from None
    elif not text.isascii() and len(text.encode(errors="surrogatepass")) > PLAN_BYTES_MAX:
        raise _refused(file, "the text is too large", size)
    return _checked(text, file)


def _checked(text: str, file: str) -> str:
    # One byte order mark at the start says nothing; some editors write it.
    text = text.removeprefix("\ufeff")
    bad = _FORBIDDEN.search(text)
    if bad:
        message = f"the character U+{ord(bad[0]):04X} cannot stand in a plan"
        raise _refused(file, message, "printable text, tabs within lines, and line ends", text, bad.start())
    # Every node but a few costs one of these characters, so a text full of them need not be read to the cap.
    if text.count(",") + text.count("\n") > NODES_MAX:
        raise _refused(file, "the file has too many parts", _TOO_MANY)
    return text


class _Reader:
    """One pass over the events of one text."""

    def __init__(self, text: str, file: str) -> None:
        self._text, self._file = text, file
        self._issues: list[PlanIssue] = []
        self._lines = Located(None, file, 0, text)  #: for the lines that issues show

    def _report(self, mark: yaml.Mark, message: str, expected: str) -> None:
        self._issues.append(
            PlanIssue(
                message=message,
                file=self._file,
                line=mark.line + 1,
                column=mark.column + 1,
                expected=expected,
                source_line=self._lines.line(mark.line + 1),
            )
        )
        if len(self._issues) >= ISSUES_MAX:
            raise PlanError(tuple(self._issues))

    def _stop(self, mark: yaml.Mark, message: str, expected: str) -> PlanError:
        """The error whose last issue is this one: nothing behind it can be read."""
        self._report(mark, message, expected)
        return PlanError(tuple(self._issues))

    def read(self) -> Located:
        try:
            found = self._document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            if mark is None:
                raise _refused(self._file, f"cannot be read: {error.problem}", "YAML 1.2") from None
            raise self._stop(mark, *self._explained(error, mark)) from None
        except (yaml.YAMLError, UnicodeError) as error:
            raise _refused(self._file, f"cannot be read: {type(error).__name__}", "YAML 1.2") from None
        if self._issues:
            raise PlanError(tuple(self._issues))
        return found

    def _document(self) -> Located:
        loader = _LOADER(self._text)
        next_event: Callable[[], _Event] = loader.get_event
        try:
            next_event()  # the start of the stream
            event = next_event()
            if _is(event, yaml.StreamEndEvent):
                raise self._stop(event.start_mark, "the file is empty", "a mapping")
            if event.version not in (None, (1, 2)) or event.tags:
                self._report(event.start_mark, "directives are not read", "no %TAG, and no %YAML but 1.2")
            value, marks = self._node(next_event)
            next_event()  # the end of the document
            event = next_event()
            if not _is(event, yaml.StreamEndEvent):
                raise self._stop(event.start_mark, "a second document begins here", "one plan in one file")
        finally:
            loader.dispose()
        return Located(value, self._file, marks, self._text)

    def _node(self, next_event: Callable[[], _Event]) -> "tuple[JsonValue, int | _Marks]":
        """One node and everything in it, by a stack of open collections."""
        root: list[JsonValue] = []
        root_marks: _Marks = [0]
        # The collection being filled, its marks, and in a mapping the key that waits for its value.
        into: list[JsonValue] | dict[str, JsonValue] = root
        marks, key = root_marks, None
        stack: list[tuple[list[JsonValue] | dict[str, JsonValue], _Marks]] = []
        left = NODES_MAX
        while True:
            event = next_event()
            kind: object = type(event)
            while kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                into, marks = stack.pop()
                if not stack:
                    return root[0], root_marks[1]
                event = next_event()
                kind = type(event)
            if left == 0:
                raise self._stop(event.start_mark, "the file has too many parts", _TOO_MANY)
            left -= 1
            here: int | _Marks = event.start_mark.line << _LINE_SHIFT | event.start_mark.column
            value: JsonValue
            if kind is yaml.ScalarEvent or kind is yaml.AliasEvent:
                if key is None and type(into) is dict:
                    key = self._key(event, into, marks)
                    marks.append(here)
                    continue
                value = self._scalar(event)
            else:
                self._check_collection(event, len(stack), as_key=key is None and type(into) is dict)
                here = [here]
                value = {} if kind is yaml.MappingStartEvent else []
            marks.append(here)
            if key is None:
                into.append(value)  # type: ignore[union-attr]  # no key waits, so it is a list
            else:
                into[key] = value  # type: ignore[call-overload]  # a key waits, so it is a mapping
                key = None
            if type(here) is list:
                stack.append((into, marks))
                into, marks = value, here  # type: ignore[assignment]  # it has marks of its own: a collection
            elif not stack:
                return root[0], root_marks[1]

    def _scalar(self, event: _Event) -> JsonValue:
        """The value of a scalar; null for an alias, which is reported."""
        if _is(event, yaml.AliasEvent):
            self._report(event.start_mark, f"the alias *{_cut(event.anchor or '')} is not read", "the value itself")
            return None
        text = event.value
        if event.anchor or event.tag or len(text) > SCALAR_CHARS_MAX or "\0" in text:
            self._check_scalar(event)
        if event.style:
            return text
        try:
            return plain_scalar(text)
        except ScalarRefused as refused:
            self._report(event.start_mark, refused.reason, refused.expected)
            return None

    def _key(self, event: _Event, mapping: dict[str, JsonValue], marks: _Marks) -> str:
        """The text of a key. One that is refused gets a spare name, so that the rest can be read and reported."""
        known = len(self._issues)
        text = self._scalar(event)
        if isinstance(text, str) and text in mapping:
            first = marks[2 * list(mapping).index(text) + 1]
            assert isinstance(first, int)
            once = f"once; it is on line {(first >> _LINE_SHIFT) + 1}"
            self._report(event.start_mark, f"the key {_cut(text)} stands here a second time", once)
        elif text == "<<" and not event.style:
            self._report(event.start_mark, "merge keys are not read", "the keys themselves")
        elif not isinstance(text, str) and len(self._issues) == known:
            written = _cut(event.value)
            self._report(
                event.start_mark, f"the key {written} is no text" if written else "a key is empty", f'"{written}"'
            )
        if len(self._issues) == known:
            assert isinstance(text, str)
            return text
        return f"\0{len(mapping)}"  # which no text gives

    def _check_collection(self, event: _Event, depth: int, *, as_key: bool) -> None:
        self._check_properties(event)
        if depth >= DEPTH_MAX:
            raise self._stop(event.start_mark, f"nested deeper than {DEPTH_MAX}", "a flatter plan")
        if as_key:
            raise self._stop(event.start_mark, *_COMPLEX_KEY)

    def _check_scalar(self, event: _Event) -> None:
        if len(event.value) > SCALAR_CHARS_MAX:
            expected = f"at most {SCALAR_CHARS_MAX:,}; larger texts are inputs or artifacts"
            raise self._stop(event.start_mark, f"a text of {len(event.value):,} characters", expected)
        if "\0" in event.value:
            self._report(event.start_mark, "the text holds the character U+0000", "a text without it")
        self._check_properties(event)

    def _check_properties(self, event: _Event) -> None:
        if event.anchor:
            self._report(event.start_mark, f"the anchor &{_cut(event.anchor)} is not read", "the value alone")
        if event.tag:
            self._report(event.start_mark, f"the tag {_cut(event.tag)} is not read", "the value alone")

    def _explained(self, error: yaml.MarkedYAMLError, mark: yaml.Mark) -> tuple[str, str]:
        """What the parser stumbled over, and what its author probably meant."""
        problem = str(error.problem)
        line = self._lines.line(mark.line + 1)
        before, after = line[: mark.column], line[mark.column :]
        if "flow" in str(error.context) and after.startswith("{") and before.endswith("$"):
            return (
                "an expression is not quoted",
                'in flow style, between { } or [ ], an expression in quotes: "${{ … }}"',
            )
        if problem.startswith("mapping values are not allowed"):
            if "${{" in before:
                return "a colon and a blank stand in an unquoted expression", "the whole text in quotes"
            return "a second `: ` on one line", "a line of its own for each key, or the text in quotes"
        if after.startswith("\t"):
            return "a tab where the line is indented", "blanks"
        if problem.startswith("found character that cannot start"):
            return f"an unquoted text cannot begin with {_cut(after[:1])}", "the text in quotes"
        context = f"{error.context}: " if error.context else ""
        return f"{context}{problem}", "YAML 1.2"


_COMPLEX_KEY: Final = (
    "a key is a collection",
    'a text as key; an expression begins with $, and between { } or [ ] it stands in quotes: "${{ … }}"',
)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
