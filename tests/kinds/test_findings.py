"""Findings: each rule on the smallest code that breaks it, quiet on code that does not, calm on hostile files."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import TerminalError
from tests.kinds.distmaker import Ctx, make
from workers.kinds import findings, patterns
from workers.kinds.findings import scan_files
from workers.kinds.packages import read_metadata
from workers.kinds.patterns import RULES, Hit, quoted, scan_pth, scan_python
from workers.kinds.records import Finding, Findings, Metadata
from workers.kinds.verifiers import confirm_findings


def metadata(site: Path, **given: object) -> Metadata:
    return read_metadata(Ctx(), make(site, **given))  # type: ignore[arg-type]  # fields of a record made by hand


BAD = [
    ("exec-decoded", "import base64\nexec(base64.b64decode('cHJpbnQoMSk='))\n", 2),
    ("exec-decoded", "from zlib import decompress as d\nblob = d(b'x')\ndef f():\n    eval(blob)\n", 4),
    ("import-network", "import urllib.request\nurllib.request.urlopen('https://example.org')\n", 2),
    ("import-network", "from requests import get as fetch\nclass A:\n    page = fetch('https://example.org')\n", 3),
    ("import-process", "import subprocess as sp\nsp.run(['id'])\n", 2),
    ("shell-command", "import os\ndef f(name):\n    os.system('rm ' + name)\n", 3),
    ("shell-command", "import subprocess\ndef f(name):\n    subprocess.run(f'ls {name}', shell=True)\n", 3),
    ("tls-off", "import ssl\ndef f():\n    return ssl._create_unverified_context()\n", 3),
    ("tls-off", "import requests\ndef f(u):\n    return requests.get(u, verify=False)\n", 3),
    ("bidi-text", "# \u202e reversed\nx = 1\n", 1),
]


@pytest.mark.parametrize(("rule", "code", "line"), BAD)
def test_each_rule_is_met_where_it_is_broken(rule: str, code: str, line: int) -> None:
    assert scan_python(code, "tiny/a.py") == [Hit(rule, line)]


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\ndef f():\n    subprocess.run(['ls'], check=True)\n",
        "import os\ndef f():\n    os.system('clear')\n",
        "import subprocess\nif __name__ == '__main__':\n    subprocess.run(['id'])\n",
        "import sys, subprocess\nif sys.platform != 'x' and __name__ == '__main__':\n    subprocess.run(['id'])\n",
        "from typing import TYPE_CHECKING\nimport httpx\nif TYPE_CHECKING:\n    httpx.get('u')\n",
        "def exec(x):\n    return x\nexec('1')\n",
        "import requests\nrun = lambda u: requests.get(u)\n",
        "model.eval()\nself.exec(b64)\n",
        "from . import get\nget('x')\n",
        "this is not python subprocess.run(\n",
    ],
)
def test_ordinary_code_is_left_alone(code: str) -> None:
    assert scan_python(code, "tiny/a.py") == []


def test_a_setup_script_that_runs_code_is_told(site: Path) -> None:
    code = "from setuptools import setup\nimport os\nos.system('make')\nsetup(name='x', cmdclass={})\nexec('1')\n"

    assert scan_python(code, "setup.py") == [Hit("setup-exec", 3), Hit("setup-exec", 4), Hit("setup-exec", 5)]


def test_pth_lines_that_run_are_told_by_what_they_reach_for() -> None:
    text = "some/folder\nimport site_hook\nimport os; exec('x')\n#import nothing\n import not_run\nimport\tsocket\n"

    assert scan_pth(text) == [Hit("pth-code", 2), Hit("pth-exec", 3), Hit("pth-exec", 6)]


def test_a_distribution_is_read_through_and_every_finding_stands_at_its_line(site: Path, ctx: Ctx) -> None:
    package = metadata(
        site,
        files={
            "tiny.pth": "import tiny_hook\n",
            "tiny/__init__.py": "import os\n\ndef f(x):\n\tos.system(x)  # \u00a0odd\n",
            "tiny/tests/test_a.py": "import os\ndef f(x):\n    os.system(x)\n",
            "tiny/data.txt": "exec(base64.b64decode('x'))",
        },
    )
    (site / "tiny" / "__init__.py").write_text("import os\n\ndef f(x):\n\tos.system(x)  # \u00a0changed\n")

    found = scan_files(ctx, package)

    def finding(rule: str, severity: str, path: str, line: int, quote: str) -> Finding:
        return Finding(key="tiny", rule=rule, severity=severity, path=path, line=line, quote=quote, why=RULES[rule].why)  # type: ignore[arg-type]  # literals, given by the table above

    assert found == Findings(
        key="tiny",
        findings=[
            finding("record-mismatch", "high", "tiny/__init__.py", 0, found.findings[0].quote),
            finding("pth-code", "medium", "tiny.pth", 1, "import tiny_hook"),
            finding("shell-command", "medium", "tiny/__init__.py", 4, "os.system(x)  # \\xa0changed"),
            finding("shell-command", "low", "tiny/tests/test_a.py", 3, "os.system(x)"),
        ],
        files_read=3,
        bytes_read=sum(
            (site / path).stat().st_size for path in ("tiny.pth", "tiny/__init__.py", "tiny/tests/test_a.py")
        ),
        hashed=3,
    )
    assert confirm_findings(ctx, found, package).verdict == "pass"


def test_invented_findings_are_refused(site: Path, ctx: Ctx) -> None:
    package = metadata(site, files={"tiny/a.py": "import os\ndef f(x):\n    os.system(x)\n"})
    right = scan_files(ctx, package)
    [told] = right.findings

    invented = [
        told.model_copy(update={"line": 2}),
        told.model_copy(update={"quote": "os.system(y)"}),
        told.model_copy(update={"path": "tiny/b.py"}),
        told.model_copy(update={"rule": "made-up"}),
        told.model_copy(update={"rule": "record-mismatch", "quote": "recorded sha256=a, on disk sha256=b", "line": 0}),
    ]

    assert confirm_findings(ctx, right.model_copy(update={"findings": invented}), package).reasons == [
        "tiny/a.py:2 does not say 'os.system(x)'",
        "tiny/a.py:3 does not say 'os.system(y)'",
        "tiny/b.py:3 does not say 'os.system(x)'",
        "there is no rule 'made-up'",
        "tiny/a.py:0 does not say 'recorded sha256=a, on disk sha256=b'",
    ]


def test_hostile_files_are_skipped_by_name_and_quickly(
    site: Path, ctx: Ctx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "FILE_BYTES_MAX", 50_000)
    (tmp_path / "elsewhere.py").write_text("exec(base64.b64decode('x'))")
    package = metadata(
        site,
        files={
            "tiny/deep.py": "subprocess = " + "(" * 10_000,
            "tiny/minus.py": "subprocess = " + "-" * 40_000 + "1",
            "tiny/dots.py": "subprocess" + ".a" * 20_000,
            "tiny/huge.py": "x" * 60_000,
            "tiny/bytes.py": b"# coding: latin-1\n\xe9\x00\xff exec(\n",
        },
        record=False,
    )
    (site / "tiny" / "out.py").symlink_to(tmp_path / "elsewhere.py")
    import os

    os.mkfifo(site / "tiny" / "pipe.py")
    names = ["deep", "minus", "dots", "huge", "bytes", "out", "pipe", "gone"]
    (site / package.ref.info / "RECORD").write_text("".join(f"tiny/{name}.py,,\n" for name in names))

    started = time.monotonic()
    found = scan_files(ctx, package)

    assert time.monotonic() - started < 2
    assert (found.findings, found.files_read) == ([], 5)
    assert found.skipped == [
        "tiny/huge.py: larger than 50000 bytes",
        "tiny/out.py: leads out of the environment",
        "tiny/pipe.py: no regular file",
    ]


def test_findings_over_the_cap_are_counted_and_the_gravest_kept(site: Path, ctx: Ctx) -> None:
    code = "import os\ndef f(x):\n" + "    os.system(x)\n" * 60
    found = scan_files(ctx, metadata(site, files={"a.py": code, "z.pth": "import os; exec('x')\n"}))

    assert (len(found.findings), found.dropped, found.findings[0].rule) == (findings.FINDINGS_MAX, 21, "pth-exec")


def test_the_cap_on_files_stops_the_scan_and_says_so(site: Path, ctx: Ctx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "FILES_MAX", 2)
    found = scan_files(ctx, metadata(site, files={f"m{number}.py": "" for number in range(5)}))

    assert found.skipped == [f"m2.py and what follows: over 2 files or {findings.TOTAL_BYTES_MAX} bytes"]


def test_without_a_record_nothing_is_scanned(site: Path, ctx: Ctx) -> None:
    with pytest.raises(TerminalError, match="has no RECORD"):
        scan_files(ctx, metadata(site, record=False))


def test_quotes_show_what_does_not_print() -> None:
    assert quoted("  a\u202eb\x1b[31m\t" + "x" * 500) == "a\\u202eb\\x1b[31m\\t" + "x" * (patterns.QUOTE_CHARS_MAX - 9)


@given(st.text(max_size=300))
def test_any_text_is_scanned_without_an_error(text: str) -> None:
    lines = (text + "\nimport subprocess\n").split("\n")
    for hit in [*scan_python(text + "\nimport subprocess\n", "a.py"), *scan_pth(text)]:
        assert 1 <= hit.line <= len(lines)
