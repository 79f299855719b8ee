"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("orchestrator", "workers")
MOST_LINES = 400
LOCKS = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-bench.lock",
    "requirements-fleet.lock",
    "tools/requirements-bench-tasks.lock",
    "tools/requirements-uv.lock",
    "tools/requirements-bench-tasks.lock",
)
TOP_LEVEL = {
    *(".ci", ".gitignore", "Makefile", "pyproject.toml", "tools"),
    *("requirements.lock", "requirements-bench.lock", "requirements-dev.lock", "requirements-fleet.lock"),
    *("CHANGELOG.md", "LICENSE", "README.md", "docs"),
    *("orchestrator", "workers", "plans", "benchmarks", "tests", "deploy"),
}
PINNED = re.compile(
    r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+( ; [^\n]+?)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+"
)
REASON = re.compile(
    r"(?:# noqa: [A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)*|# type: ignore\[[a-z-]+(?:, ?[a-z-]+)*\])(?P<reason>.*)"
)


def committed() -> list[Path]:
    """Files git knows or would take; in a copy without git, every file."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def modules(*packages: str) -> list[Path]:
    """Python files below the given top-level folders."""
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """Path below the root, with slashes."""
    return path.relative_to(ROOT).as_posix()


def calls(tree: ast.AST) -> list[str]:
    """Dotted names of everything called."""
    return [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def imports(tree: ast.AST) -> set[str]:
    """Top-level names of everything imported."""
    found = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    return found | {
        node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }


def test_the_top_level_is_the_one_in_the_design() -> None:
    assert {name_of(path).split("/")[0] for path in committed()} <= TOP_LEVEL


def test_no_product_file_is_longer_than_four_hundred_lines() -> None:
    counted = {name_of(path): len(path.read_text().splitlines()) for path in modules(*PRODUCT, "benchmarks")}
    assert counted
    assert {name: lines for name, lines in counted.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_and_hashes_every_package_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = re.split(r"^(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    entries = [entry for entry in entries if entry.strip()]
    assert entries
    wrong = [entry.splitlines()[0] for entry in entries if not PINNED.fullmatch(entry)]
    assert wrong == []


def test_the_locks_agree_on_every_version() -> None:
    def versions(lock: str) -> set[str]:
        return set(re.findall(r"^[A-Za-z0-9._-]+==\S+", (ROOT / lock).read_text(), flags=re.MULTILINE))

    runtime, dev, bench = (versions(lock) for lock in LOCKS[:3])
    assert runtime - dev == set()
    assert runtime - bench == set()


def test_python_3_11_has_a_networkx_of_its_own() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("networkx==")]
    assert [line.partition(" ; ")[2].rstrip(" \\") for line in lines] == [
        "python_full_version < '3.12'",
        "python_full_version >= '3.12'",
    ]


def test_no_committed_file_knows_a_machine_or_an_index() -> None:
    # Written in pieces, so that this file does not find itself.
    hosts = ["pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs"]
    absolute = re.compile(r"(?<![A-Za-z0-9._~$}])/(?:work|farm|root|home|Users)/[A-Za-z]")
    found = []
    for path in committed():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [
            f"{name_of(path)}:{number}"
            for number, line in enumerate(text.splitlines(), 1)
            if absolute.search(line) or any(host in line for host in hosts)
        ]
    assert found == []


def test_product_code_never_unpickles_evaluates_or_loads_yaml_loosely() -> None:
    forbidden_imports = {"pickle", "cPickle", "shelve", "marshal", "dill", "cloudpickle"}
    forbidden_calls = {"eval", "exec", "compile", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system"}
    found = {}
    for path in modules(*PRODUCT):
        tree = ast.parse(path.read_text())
        wrong = sorted(forbidden_imports & imports(tree)) + sorted(forbidden_calls & set(calls(tree)))
        if wrong:
            found[name_of(path)] = wrong
    assert found == {}


def test_core_and_plan_never_say_any() -> None:
    def says_any(tree: ast.AST) -> bool:
        return any(
            (isinstance(node, ast.ImportFrom) and any(alias.name == "Any" for alias in node.names))
            or (isinstance(node, ast.Attribute) and node.attr == "Any")
            for node in ast.walk(tree)
        )

    read = modules("orchestrator/core", "orchestrator/plan")
    assert [name_of(path) for path in read if says_any(ast.parse(path.read_text()))] == []


def test_every_module_says_its_job_in_one_sentence() -> None:
    silent = []
    for path in modules(*PRODUCT, "benchmarks"):
        said = ast.get_docstring(ast.parse(path.read_text()))
        if not said or not said.splitlines()[0].rstrip().endswith((".", "!", "?", ":")):
            silent.append(name_of(path))
    assert silent == []


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|Not" + r"ImplementedError)\b")
    found = [
        f"{name_of(path)}:{number}"
        for path in modules(*PRODUCT, "benchmarks", "tests")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert found == []


def test_every_silenced_rule_says_why_on_its_line() -> None:
    found = []
    for path in modules(*PRODUCT, "benchmarks"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            silenced = REASON.search(line)
            if silenced and len(silenced["reason"].strip(" #-:")) < len("same"):
                found.append(f"{name_of(path)}:{number}")
    assert found == []
