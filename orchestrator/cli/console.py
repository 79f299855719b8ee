"""What a person sees: colour or not, plain columns, times and money in few characters. Needs no library."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from orchestrator.ids import JsonValue  # it brings pydantic along, which `--help` has no time for

ColorChoice = Literal["auto", "always", "never"]
_STYLES: Final = {
    "good": "32", "bad": "31", "warn": "33", "busy": "36", "dim": "2", "bold": "1", "plain": "",
}  # fmt: skip
#: status -> (icon, style); the word always stands beside the icon, for whoever sees no colour
MARKS: Final[dict[str, tuple[str, str]]] = {
    "pending": ("·", "dim"),
    "running": ("▶", "busy"),
    "checking": ("?", "busy"),
    "rejected": ("↻", "warn"),
    "backoff": ("↻", "warn"),
    "waiting": ("⏸", "warn"),
    "cancelling": ("×", "warn"),
    "passed": ("✓", "good"),
    "succeeded": ("✓", "good"),
    "degraded": ("○", "warn"),
    "gap": ("○", "warn"),
    "stopped": ("■", "warn"),
    "failed": ("✗", "bad"),
    "skipped": ("–", "dim"),
    "cancelled": ("×", "dim"),
    "open": ("·", "plain"),
}


@dataclass(slots=True)
class Look:
    """How this call of the command talks to its terminal."""

    color: ColorChoice = "auto"
    no_input: bool = False  #: never ask
    debug: bool = False  #: show tracebacks and the engine's log


LOOK: Final = Look()  #: set once, by the root command


def colored(stream: IO[str]) -> bool:
    """Whether to colour a stream: the flag first, then NO_COLOR, FORCE_COLOR, TERM, and whether it is a terminal.

    Source: no-color.org and force-color.org.
    """
    if LOOK.color != "auto":
        return LOOK.color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "") not in {"", "0", "false"}:
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def interactive() -> bool:
    """Whether a person can be asked: both ends are a terminal, and nobody said --no-input."""
    return not LOOK.no_input and sys.stdin.isatty() and sys.stderr.isatty()


def live() -> bool:
    """Whether the picture may be redrawn."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: IO[str] | None = None) -> str:
    """The text in a style, when the stream (stdout by default) is coloured."""
    code = _STYLES[style]
    return f"\x1b[{code}m{text}\x1b[0m" if code and colored(stream or sys.stdout) else text


def clean(text: str) -> str:
    """The text without what could steer a terminal; line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def one_line(text: str, most: int = 120) -> str:
    """The text on one line of at most `most` characters."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def mark(status: str, stream: IO[str] | None = None) -> str:
    """Icon and word of a status."""
    icon, style = MARKS.get(status, ("·", "plain"))
    return paint(f"{icon} {status}", style, stream)


def say(text: str = "") -> None:
    """One line for people, on stderr: stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def show_json(value: "JsonValue") -> None:
    """A document on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def show_result(output: "JsonValue") -> None:
    """A run's result on stdout: text as it is, everything else as JSON."""
    if isinstance(output, str):
        print(clean(output) if sys.stdout.isatty() else output)
    else:
        show_json(output)


def columns(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Lines of aligned columns, two spaces apart; those in `right` are aligned right. No header is added."""
    if not rows:
        return []
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines: list[str] = []
    for row in rows:
        cells = [cell.rjust(widths[at]) if at in right else cell.ljust(widths[at]) for at, cell in enumerate(row)]
        lines.append("  ".join(cells).rstrip())
    return lines


def span(seconds: float | None) -> str:
    """A duration in at most six characters: 0.4s, 12s, 3m05s, 2h10m, 4d."""
    if seconds is None:
        return ""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 48 * 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"


def money(usd: float) -> str:
    """USD with as many digits as matter; empty for nothing."""
    if not usd:
        return ""
    return f"${usd:.2f}" if usd >= 0.1 else f"${usd:.4f}"


def clock_time(at_s: float) -> str:
    """Local time of day."""
    import time

    return time.strftime("%H:%M:%S", time.localtime(at_s))


def date_time(at_s: float | None) -> str:
    """Local date and time with its offset; empty for None."""
    import time

    return "" if at_s is None else time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at_s))
