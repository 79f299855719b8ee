"""Pool `reports`, second half: write the audit down, both files or neither new, once per idempotency key."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from orchestrator.errors import TerminalError
from workers.kinds import report_html, report_markdown
from workers.kinds.context import Context
from workers.kinds.files import put, read_if_there
from workers.kinds.report_words import Report, headline
from workers.kinds.summary import Summary, Written, reports

STEM: Final = "dependency-audit"


@reports.worker(honours_key=True)
def write_report(ctx: Context, summary: Summary, out: str) -> Written:
    """Write `dependency-audit.md` and `.html` into the folder `out`, which is made when it is missing.

    Each file is replaced in one step, so a reader never sees half of one. Where both already carry this step's
    idempotency
    key they are left alone: a repeated attempt returns what the first wrote.

    Raises:
        TerminalError: the folder or a file in it cannot be written.
    """
    key = ctx.idempotency_key or ""
    folder = Path(out)
    markdown, page = folder / f"{STEM}.md", folder / f"{STEM}.html"
    before = [read_if_there(path) for path in (markdown, page)]
    if not (key and all(data is not None and key.encode() in data[:2000] for data in before)):
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        report = Report(summary=summary, run_id=ctx.run_id, key=key, written_at=now)
        before = [report_markdown.render(report).encode(), report_html.render(report).encode()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path, data in zip((markdown, page), before, strict=True):
                put(path, data or b"")
        except OSError as error:
            raise TerminalError(f"the report cannot be written to {folder}: {error.strerror or error}") from error
        ctx.log(f"wrote {markdown} and {page}")
    digests = [hashlib.sha256(data or b"").hexdigest() for data in before]
    return Written(
        markdown=str(markdown),
        html=str(page),
        markdown_sha256=digests[0],
        html_sha256=digests[1],
        key=key,
        headline=headline(summary),
    )
