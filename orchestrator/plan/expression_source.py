"""Reads the text of an expression into a Python syntax tree, refusing early what the language does not have.

Python's own parser does the work. It is given short, plain text only: what it would read in surprising ways
(comments, string prefixes, other digits) is refused first, with the remedy, and a path may use its reserved words.
"""

import ast
import keyword
import re
import sys
from typing import Final

from orchestrator.errors import ExpressionError

__all__ = ["BRACKETS_MAX", "SOURCE_CHARS_MAX", "member_name", "read"]

SOURCE_CHARS_MAX: Final = 2_000  #: length of one expression
BRACKETS_MAX: Final = 20  #: brackets inside brackets

_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"' r"|'(?:[^'\\\n]|\\.)*'")
_CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]")
_ESCAPE = re.compile(r"""\\(?:[\\'"nrtbf]|u(?!0000|[dD][89a-fA-F])[0-9a-fA-F]{4})|(\\)""")
_NUMBER = re.compile(
    r"(?<![\w.])(?!\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))\d[\w.]*"
    r"|\.(?!\d+(?:[eE][+-]?\d+)?(?![\w.]))\d[\w.]*"  # `.5or`, of which Python's parser would complain on stderr
)
_RESERVED_MEMBER = re.compile(r"\.[ \t]*(" + "|".join(keyword.kwlist) + r")\b")
_OPEN, _CLOSE = "\x01", "\x02"  #: stand for a string's first and other characters; never in an expression itself
_ADJACENT = re.compile(_CLOSE + r"[ \t]*" + _OPEN)
_PREFIX = re.compile(r"(?<![A-Za-z0-9_])[rRuUbBfFtT]{1,2}" + _OPEN)

#: what is not in the language, and what to write instead
_REFUSED: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"['\"]"), "a text is not closed"),
    (re.compile(r"\\"), "a backslash stands in texts only"),
    (re.compile(r"&&?"), "write `and`"),
    (re.compile(r"\|\|?"), "write `or`"),
    (re.compile(r"!(?!=)"), "write `not`"),
    (re.compile(r"(?<![=!<>])=(?!=)"), "write `==` to compare; nothing can be assigned"),
    (re.compile(r"\*\*"), "there are no powers"),
    (re.compile(r"<<|>>"), "there are no shifts"),
    (re.compile(r"\?"), "write `x if condition else y`"),
    (re.compile(r"\$"), "braces stand around a whole expression only"),
    (re.compile(r"[#`;@^~]|->"), "this sign is not part of the language"),
    (re.compile(r"[^\x00-\x7f]"), 'letters outside ASCII stand in texts only: write x["größe"]'),
)

#: `.from` cannot be parsed, `.<mark>rom` can: the first letter is swapped for one that no expression may hold
_MARKED: Final = {word: chr(0x4E00 + number) + word[1:] for number, word in enumerate(keyword.kwlist)}
_UNMARKED: Final = {marked: word for word, marked in _MARKED.items()}


def member_name(attribute: str) -> str:
    """The key that stands in the source for an attribute of the tree that `read` gave."""
    return _UNMARKED.get(attribute, attribute)


def read(text: str) -> tuple[ast.expr, str]:
    """The syntax tree of an expression without braces, and the text its columns refer to.

    The tree may still hold nodes that the language refuses.

    Raises:
        ExpressionError: too long, too nested, unbalanced, or not readable.
    """
    if len(text) > SOURCE_CHARS_MAX:
        raise ExpressionError(text, f"longer than {SOURCE_CHARS_MAX:,} characters", 1)
    if not text.strip():
        raise ExpressionError(text, "there is no expression", 1)
    source = _plain_source(text)
    # Leading blanks would be an indentation to Python; they go, and come back in the columns.
    body = source.lstrip(" \t")
    try:
        tree = ast.parse(body, mode="eval").body
    except SyntaxError as error:
        column = (error.offset or 1) + len(source) - len(body)
        raise ExpressionError(text, "cannot be read here", min(column, len(text) + 1)) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise ExpressionError(text, f"cannot be read: {type(error).__name__}", 1) from None
    return tree, source


def column_of(node: ast.expr, source: str) -> int:
    """Where a node starts in the text, in characters from 1; `source` is what `read` gave."""
    body = source.lstrip(" \t")
    before = body.encode()[: node.col_offset].decode(errors="ignore")
    return len(source) - len(body) + len(before) + 1


def _plain_source(text: str) -> str:
    """The text with line breaks as blanks and reserved words in paths made readable; equal in length."""
    bad = _CONTROL.search(text)
    if bad:
        raise ExpressionError(text, f"holds the character U+{ord(bad[0]):04X}", bad.start() + 1)
    outside = _STRING.sub(lambda string: _OPEN + _CLOSE * (len(string[0]) - 1), text)
    for pattern, remedy in _REFUSED:
        found = pattern.search(outside)
        if found:
            raise ExpressionError(text, f"`{found[0]}` cannot stand here: {remedy}", found.start() + 1)
    for found in _ESCAPE.finditer(text):
        if found[1]:
            raise ExpressionError(text, r"an escape is one of \\ \' \" \n \r \t \b \f \uXXXX", found.start() + 1)
    found = _ADJACENT.search(outside) or _PREFIX.search(outside)
    if found:
        raise ExpressionError(text, "two texts, or a letter and a text, need an operator between", found.start() + 1)
    found = _NUMBER.search(outside)
    if found:
        raise ExpressionError(text, f"`{found[0][:40]}` is no number such as 12, 0.5 or 1e6", found.start() + 1)
    _check_brackets(text, outside)
    source = re.sub(r"[\n\r\t]", " ", text)
    for found in _RESERVED_MEMBER.finditer(outside):
        at, end = found.span(1)
        source = source[:at] + _MARKED[found[1]] + source[end:]
    return source


def _check_brackets(text: str, outside: str) -> None:
    depth = 0
    for found in re.finditer(r"[()\[\]{}]", outside):
        depth += 1 if found[0] in "([{" else -1
        if depth > BRACKETS_MAX:
            raise ExpressionError(text, f"more than {BRACKETS_MAX} brackets inside brackets", found.start() + 1)
        if depth < 0:
            raise ExpressionError(text, f"`{found[0]}` closes nothing", found.start() + 1)
    if depth:
        raise ExpressionError(text, "a bracket is not closed", len(text) + 1)


# A literal with more digits than this interpreter converts would raise inside the parser; the length cap prevents it.
assert sys.int_info.default_max_str_digits >= SOURCE_CHARS_MAX
