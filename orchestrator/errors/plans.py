"""What is wrong with a plan, an input or a promise that cannot be kept: the author or the caller is at fault."""

from dataclasses import dataclass

from orchestrator.errors.root import OrchestratorError

_SHOWN_CHARS = 120  #: of a source line
_SHOWN_BEFORE = 80  #: of them at most before the column


def _printable(text: str) -> str:
    """The text without what could steer a terminal; equal in length, so that a caret stays where it points."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " if c == "\t" else "�" for c in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanIssue:
    """One thing that is wrong with a plan, with the place and the remedy."""

    message: str
    file: str = "<plan>"
    line: int = 0  #: from 1; 0 when the plan did not come from a file
    column: int = 0  #: from 1; 0 when unknown
    path: str = ""  #: such as `steps.draft.checks[0].rule`
    expected: str = ""  #: what would have been right
    source_line: str = ""

    def render(self) -> str:
        """`file:line:column: message`, the line itself with a caret, and what was expected."""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        at = f" (at {self.path})" if self.path else ""
        lines = [f"{where}: {self.message}{at}"]
        if self.source_line:
            # Of a long line, what stands around the column.
            start = max(self.column - 1 - _SHOWN_BEFORE, 0)
            lines.append(f"    {self.source_line[start : start + _SHOWN_CHARS]}")
            lines.append(f"    {' ' * (max(self.column - 1, 0) - start)}^")
        if self.expected:
            lines.append(f"    expected: {self.expected}")
        return "\n".join(map(_printable, lines))


class PlanError(OrchestratorError):
    """The plan is not valid. The author's fault; never retried."""

    def __init__(self, issues: tuple[PlanIssue, ...]) -> None:
        super().__init__(issues)
        self.issues = issues

    def __str__(self) -> str:
        return "\n".join(issue.render() for issue in self.issues)


class ExpressionError(OrchestratorError):
    """An expression cannot be read, or has no value for the data it met."""

    def __init__(self, text: str, reason: str, column: int = 0) -> None:
        super().__init__(text, reason, column)
        self.text, self.reason, self.column = text, reason, column

    def __str__(self) -> str:
        return f"{self.reason} in `{self.text[:200]}`"


class InputError(OrchestratorError):
    """The inputs given to a run do not fit the plan's `inputs`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"input {self.name!r}: {self.reason}" if self.name else self.reason


class PromiseError(OrchestratorError):
    """A plan asks for something this engine cannot keep; raised before anything starts."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what, self.remedy = what, remedy

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


class WebhookRefused(PromiseError):
    """A receiver's address is none that a webhook may go to."""


class ScheduleRefused(PromiseError):
    """A schedule says nothing that could ever start a run, or there are too many."""


class PlanningFailed(OrchestratorError):
    """A supervisor's model wrote no plan that is in order. `tries` says of each draft what was wrong with it."""

    def __init__(self, tries: tuple[tuple[str, ...], ...]) -> None:
        super().__init__(tries)
        self.tries = tries

    def __str__(self) -> str:
        told = "".join(f"\n  draft {at}: {'; '.join(errors)}" for at, errors in enumerate(self.tries, start=1))
        return f"no plan in order after {len(self.tries)} drafts{told}"
