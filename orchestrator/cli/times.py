"""Moments as people write them on the command line."""

from datetime import UTC, datetime, timedelta

import typer


def span(text: str, hint: str) -> tuple[float, float]:
    """When a date or moment begins and ends, in seconds since the epoch: a date lasts its day, a moment no time at all.

    `2026-11-27` is a day in UTC; `2026-11-27T14:30` is UTC too, unless it says another offset.

    Raises:
        BadParameter: it is neither.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no date such as 2026-11-27 or 2026-11-27T14:30", param_hint=hint
        ) from None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    whole = len(text) <= len("2026-11-27")
    return at.timestamp(), (at + timedelta(days=1) if whole else at).timestamp()


def between(start: str | None, end: str | None) -> tuple[float | None, float | None]:
    """What --from and --to mean: from the beginning of the one to the end of the other, which is not included.

    Raises:
        BadParameter: one is no moment, or the end lies before the beginning.
    """
    since = span(start, "--from")[0] if start is not None else None
    until = span(end, "--to")[1] if end is not None else None
    if since is not None and until is not None and until <= since:
        raise typer.BadParameter("the end lies before the beginning", param_hint="--to")
    return since, until
