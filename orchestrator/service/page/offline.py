"""A run as one HTML file that needs no server and no network: the page's own views over a document in the file.

Its policy allows the two texts that were put into it, by their hashes, and nothing else.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from orchestrator.core import facts as f
from orchestrator.core.summary import RunTally
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.ports.journal import Recorded
from orchestrator.service.page.run import RunPage
from orchestrator.service.page.step import StepPages, all_inputs

RUNS_MAX: Final = 40  #: sub-plans that come with a run
UNITS_MAX: Final = 400  #: steps and branches told in full, of one run
RECORDS_READ_MAX: Final = 1_000_000  #: records looked through for all of them: a longer run gets fewer in full
UNITS_CHARS_MAX: Final = 12_000_000  #: of what is told in full
MEMBERS_MAX: Final = 20_000  #: rows of folded nodes

_IMPORT: Final = re.compile(r'^import (\{[^}]*\}|\w+) from "\./([\w/.-]+)";$', re.MULTILINE)
_VENDORED: Final = re.compile(r'import\{(?P<names>[^}]*)\}from"\./(?P<file>[\w.-]+)";')
_EXPORT: Final = re.compile(r"^export \{([^}]*)\};$", re.MULTILINE)
_EXPORT_MINIFIED: Final = re.compile(r"export\{([^}]*)\};?\s*$")
_DEFAULT: Final = re.compile(r"export default ", re.MULTILINE)
Document = dict[str, JsonValue]


def static(name: str) -> str:
    """A file of the page."""
    return (files("orchestrator.service.page") / "static" / name).read_text("utf-8")


def offline_file(records: Sequence[Recorded], below: Mapping[str, Sequence[Recorded]], *, made_at_s: float) -> str:
    """The HTML file of a run; `below` are the records of its sub-plans, by run. `made_at_s`: seconds since the epoch.

    Raises:
        PromiseError: the run has no plan that can be drawn, because its payloads were deleted.
    """
    runs = {str(records[0].run_id): _told(records)}
    for run_id, those in list(below.items())[:RUNS_MAX]:
        runs[run_id] = _told(those)
    data: Document = {"run": str(records[0].run_id), "made_at": made_at_s, "runs": {**runs}}
    script, style = bundle("offline.js"), static("page.css")
    policy = "; ".join((
        "default-src 'none'", f"script-src '{_hash(script)}'", f"style-src '{_hash(style)}'",
        "base-uri 'none'", "form-action 'none'",
    ))  # fmt: skip
    title = html.escape(f"{_plan_name(records)} {records[0].run_id}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        '<div id="page"><noscript>This file needs JavaScript to show the run it holds.</noscript></div>\n'
        f'<script type="application/json" id="data">{_data(data)}</script>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


def _plan_name(records: Sequence[Recorded]) -> str:
    first = records[0].fact
    return first.plan if isinstance(first, f.RunAccepted) else ""


def _data(data: Document) -> str:
    """JSON that ends no element, whatever it holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _told(records: Sequence[Recorded]) -> Document:
    """{page, plan, steps, members} of one run."""
    page = RunPage()
    page.take(records)
    if page.shape is None:
        raise PromiseError(
            f"run {records[0].run_id} has no plan that can be drawn: its payloads were deleted",
            "orchestrator show tells what is left",
        )
    pages = StepPages(records, shape=page.shape, counted=page.tally, inputs=all_inputs(records))
    steps: Document = {}
    chars = 0
    for step, branch in _wanted(page.tally, len(records)):
        one = pages.page(step, branch, branches_max=None)
        chars += len(json.dumps(one))
        if chars > UNITS_CHARS_MAX:
            break
        steps[step if branch < 0 else f"{step}[{branch}]"] = one
    return {
        "page": page.since(0),
        "plan": page.shape.plan.data,
        "steps": steps,
        "members": {node.id: page.members(node.id)[:MEMBERS_MAX] for node in page.shape.nodes if node.kind == "group"},
    }


def _wanted(counted: RunTally, records: int) -> list[tuple[str, int]]:
    """Steps, then branches, those that tell most first, as many as the size of the run allows."""
    most = min(UNITS_MAX, max(RECORDS_READ_MAX // max(records, 1), 1))
    quiet = {"passed", "skipped", "pending"}
    wholes = sorted(counted.steps.values(), key=lambda step: step.whole.status.value in quiet)
    branches = [(step, index, unit) for step, index, unit in counted.units if index >= 0]
    branches.sort(key=lambda one: one[2].status.value in quiet)
    units = [(step.id, f.WHOLE) for step in wholes] + [(step.id, index) for step, index, _ in branches]
    return units[:most]


# ---- one script from many


@cache
def bundle(entry: str) -> str:
    """The module `entry` and all it imports as one script: each module a function that returns its exports."""
    done: dict[str, str] = {}
    _add(entry, done)
    return "\n".join(done.values()).replace("</script", "<\\/script") + "\n"


def _add(name: str, done: dict[str, str]) -> None:
    if name in done:
        return
    text = static(name)
    folder = name.rpartition("/")[0]
    needs = [found[1] for found in _IMPORT.findall(text)] + [found[1] for found in _VENDORED.findall(text)]
    for need in needs:
        _add(_path(folder, need), done)
    text = _IMPORT.sub(lambda found: f"const {_take(found[1], _path(folder, found[2]))};", text)
    text = _VENDORED.sub(lambda found: f"const {_take('{' + found[1] + '}', _path(folder, found[2]))};", text)
    text, exports = _without_exports(text)
    done[name] = f"const {_variable(name)} = (() => {{\n{text}\nreturn {{{exports}}};\n}})();"


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _variable(name: str) -> str:
    return "m_" + re.sub(r"\W", "_", name)


def _take(names: str, module: str) -> str:
    if names.startswith("{"):
        return f"{names.replace(' as ', ': ')} = {_variable(module)}"
    return f"{names} = {_variable(module)}.default"


def _without_exports(text: str) -> tuple[str, str]:
    names: list[str] = []
    for pattern in (_EXPORT, _EXPORT_MINIFIED):
        for listed in pattern.findall(text):
            for one in filter(None, (part.strip() for part in listed.split(","))):
                inner, _, outer = one.partition(" as ")
                names.append(f"{outer or inner}: {inner}" if outer else inner)
        text = pattern.sub("", text)
    if _DEFAULT.search(text):
        text = _DEFAULT.sub("const standard = ", text)
        names.append("default: standard")
    return text, ", ".join(names)


__all__ = ["bundle", "offline_file", "static"]
