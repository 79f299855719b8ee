"""How much tests notice: changes one small thing of a package at a time and runs the tests that reach it.

    python tools/mutate.py                     300 seeded mutants of orchestrator/core, against tests/core
    python tools/mutate.py --sample 0          every mutant there is
    python tools/mutate.py --show              the mutants that nobody noticed so far

First the tests run once, unchanged, to learn which of them reach which line and how long each takes. Then every mutant
of a seeded sample gets a process of its own, in which the changed module is loaded in place of the file, and the tests
that reach the changed line run, the quickest first, until one fails. Nothing is written to the source. Results lie in
`.prove/mutants-….jsonl`, named by everything that was read, so that an interrupted run goes on where it stopped.

A mutant is *killed* by a failing test, *hung* when its tests take far longer than they did unchanged (which counts as
killed, for no test run ends with it), *alive* otherwise: also where no test reaches its line.
"""

import argparse
import ast
import copy
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import coverage
import pytest

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".prove"
SLOWER = 5.0  #: times what its tests took unchanged, and then
PATIENCE_S = 10.0  #: seconds of processor time on top, before a mutant counts as hung
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
NOT_TESTED = {"assert_never", "dataclass"}  #: calls that are for type checkers and for speed
Spot = tuple[int, str]  #: number of the node in `ast.walk`, and the kind of change


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change of one file."""

    file: str
    first: int  #: line of the statement it lies in
    last: int
    spot: Spot
    what: str  #: for people

    @property
    def name(self) -> str:
        """The same in every run over the same source."""
        return f"{self.file}:{self.first}:{self.spot[0]}:{self.spot[1]}"


# ---- changes


def kinds(node: ast.AST, within: ast.stmt) -> Iterator[str]:
    """What can be changed at a node."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield "comparison"
    elif isinstance(node, ast.BoolOp):
        yield "and-or"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not"
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield "condition"
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield "arithmetic"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        yield "constant"
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "return"
    elif isinstance(node, ast.Break | ast.Continue):
        yield "jump"
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    removable = isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Delete | ast.Raise)
    if node is within and removable and not docstring:
        yield "removed"


def changed(node: ast.AST, kind: str) -> ast.AST:
    """The node in its changed form; the tree it belongs to is the caller's own."""
    match node, kind:
        case ast.Compare(), "comparison":
            node.ops[0] = COMPARISONS[type(node.ops[0])]()
        case ast.BoolOp(), "and-or":
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.UnaryOp(), "not":
            return node.operand
        case ((ast.If() | ast.While() | ast.IfExp()), "condition"):
            node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
        case ((ast.BinOp() | ast.AugAssign()), "arithmetic"):
            node.op = ARITHMETIC[type(node.op)]()
        case ast.Constant(), "constant":
            node.value = not node.value if isinstance(node.value, bool) else node.value + 1  # type: ignore[operator]  # a number
        case ast.Return(), "return":
            node.value = ast.Constant(value=None)
        case ast.Break(), "jump":
            return ast.Continue()
        case ast.Continue(), "jump":
            return ast.Break()
        case _, "removed":
            return ast.Pass()
        case _:
            raise ValueError(f"{ast.unparse(node)} cannot be changed by {kind}")
    return node


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every change of one file, in the order of its text."""
    tree = ast.parse(path.read_bytes())
    owners: dict[int, ast.stmt] = {}
    left_out: set[int] = set()
    for node in ast.walk(tree):  # from the outside in, so that the innermost statement stays
        if isinstance(node, ast.stmt):
            owners.update((id(child), node) for child in ast.walk(node))
        left_out.update(_no_rules(node))
    for number, node in enumerate(ast.walk(tree)):
        within = owners.get(id(node))
        if within is None or id(node) in left_out:
            continue
        for kind in kinds(node, within):
            last = within.end_lineno or within.lineno
            if isinstance(within, ast.If | ast.While | ast.For | ast.With | ast.Match | ast.FunctionDef):
                last = max(within.lineno, within.body[0].lineno - 1) if hasattr(within, "body") else within.lineno
            before = ast.unparse(node).split("\n")[0]
            after = ast.unparse(changed(copy.deepcopy(node), kind)).split("\n")[0]
            what = f"{before}  ->  {after}"
            yield Mutant(file=_name(path), first=within.lineno, last=last, spot=(number, kind), what=what)


def _no_rules(node: ast.AST) -> Iterator[int]:
    """Nodes that say nothing a test of behaviour could notice: annotations, and what only type checkers run."""
    parts: list[ast.AST | None] = []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        parts = [node.returns, *(each.annotation for each in arguments)]
    elif isinstance(node, ast.AnnAssign):
        parts = [node.annotation]
    elif isinstance(node, ast.Assert) or (  # says what holds anyway
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NOT_TESTED
    ):
        parts = [node]
    for part in parts:
        if part is not None:
            yield from (id(child) for child in ast.walk(part))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _name(path: Path) -> str:
    return path.resolve().relative_to(ROOT).as_posix()


def code_of(mutant: Mutant) -> CodeType:
    """The file with the change in it, compiled."""
    path = ROOT / mutant.file
    tree = ast.parse(path.read_bytes())
    number, kind = mutant.spot
    chosen = next(node for index, node in enumerate(ast.walk(tree)) if index == number)

    class Put(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            if node is chosen:
                return ast.copy_location(changed(node, kind), node)
            return self.generic_visit(node)

    Put().visit(tree)  # a module stays the module it is
    return compile(ast.fix_missing_locations(tree), str(path), "exec")


# ---- the tests, unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Which tests reach which line, and what each takes."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    def of(self, mutant: Mutant) -> list[str]:
        """Tests for a mutant, the quickest first; all of them where the line runs as the module is loaded."""
        lines = self.lines.get(mutant.file, {})
        found = {test for line in range(mutant.first, mutant.last + 1) for test in lines.get(line, ())}
        if "" in found:
            found = set(self.seconds)
        return sorted(found, key=lambda test: (self.seconds[test], test))


class _Watch:
    """A plugin that tells coverage which test is running."""

    def __init__(self, cover: coverage.Coverage) -> None:
        self._cover = cover
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        began_s = time.process_time()
        self._cover.switch_context(item.nodeid)
        yield
        self._cover.switch_context("")
        self.seconds[item.nodeid] = time.process_time() - began_s


def reach(package: Path, tests: Path, kept: Path) -> Reach:
    """What the unchanged tests reach, learnt once.

    Raises:
        SystemExit: they do not pass.
    """
    if not kept.exists():
        child = os.fork()
        if child == 0:
            os._exit(_learn(package, tests, kept))
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise SystemExit("mutate: the tests do not pass as they are")
    told = json.loads(kept.read_text())
    lines = {file: {int(line): found for line, found in each.items()} for file, each in told["lines"].items()}
    return Reach(seconds=told["seconds"], lines=lines)


def _learn(package: Path, tests: Path, kept: Path) -> int:
    cover = coverage.Coverage(data_file=None, source=[str(package)], branch=False, config_file=False)
    watch = _Watch(cover)
    cover.start()
    code = pytest.main([*_QUIET, str(tests)], plugins=[watch])
    cover.stop()
    data = cover.get_data()
    lines = {_name(Path(file)): data.contexts_by_lineno(file) for file in data.measured_files()}
    if code == 0:
        part = kept.with_suffix(".part")
        part.write_text(json.dumps({"seconds": watch.seconds, "lines": lines}))
        part.replace(kept)
    return int(code)


_QUIET = ("-q", "-x", "--no-header", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=no", "-W", "ignore")


# ---- the tests, with a change


class _Loader(importlib.abc.Loader):
    def __init__(self, code: CodeType) -> None:
        self._code = code

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)  # that is how a module is loaded


class _Finder(importlib.abc.MetaPathFinder):
    """Gives the changed module in place of its file."""

    def __init__(self, module: str, file: Path, code: CodeType) -> None:
        self._module, self._file, self._code = module, file, code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._module:
            return None
        return importlib.util.spec_from_file_location(fullname, self._file, loader=_Loader(self._code))


def _ours(module: ModuleType) -> bool:
    """Whether a module may have been made of what is changed: anything of this checkout but this file."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__ == "__main__":
        return False
    inside = Path(file).parts[len(ROOT.parts) :] if Path(file).is_relative_to(ROOT) else (".venv",)
    return not inside[0].startswith(".venv")


def judged(mutant: Mutant, found: Reach, patience_s: float) -> str:
    """What becomes of one mutant: `killed`, `hung` or `alive`."""
    tests = found.of(mutant)
    if not tests:
        return "alive"
    child = os.fork()
    if child == 0:
        limit_s = int(SLOWER * sum(found.seconds[test] for test in tests) + patience_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        signal.alarm(20 * limit_s)  # of the wall: it may wait for ever, too
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        for name in [name for name, held in sys.modules.items() if _ours(held)]:
            del sys.modules[name]
        module = mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        sys.meta_path.insert(0, _Finder(module, ROOT / mutant.file, code_of(mutant)))
        code = 1
        try:
            code = int(pytest.main([*_QUIET, *tests]))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "hung" if os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL} else "killed"
    return "killed" if os.waitstatus_to_exitcode(status) else "alive"


def fingerprint(*folders: Path) -> str:
    """Names everything that a result depends on."""
    seen = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        seen.update(_name(path).encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()[:12]


def main() -> int:
    """Judge a sample and print the score; 1 where it is below `--least`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--package", type=Path, default=ROOT / "orchestrator" / "core")
    parser.add_argument("--tests", type=Path, default=ROOT / "tests" / "core")
    parser.add_argument("--sample", type=int, default=300, help="mutants; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0.0, help="of processor time for this run; 0: no limit")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds before a mutant counts as hung")
    parser.add_argument("--least", type=float, default=0.0, help="score in per cent that is asked for")
    parser.add_argument("--show", action="store_true", help="print what is alive of the results so far, and no more")
    asked = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    KEPT.mkdir(exist_ok=True)
    stem = f"mutants-{fingerprint(asked.package, asked.tests)}"
    everything = [mutant for path in sorted(asked.package.rglob("*.py")) for mutant in mutants_of(path)]
    order = random.Random(asked.seed).sample(everything, len(everything))
    chosen = order[: asked.sample or len(order)]
    results = KEPT / f"{stem}.jsonl"
    told: dict[str, str] = {}
    if results.exists():
        told = dict(json.loads(line) for line in results.read_text().splitlines())
    if not asked.show:
        found = reach(asked.package, asked.tests, KEPT / f"{stem}.reach.json")
        pytest.main([*_QUIET, "--collect-only", "-qqq", str(asked.tests)])  # loads what every child will need
        with results.open("a") as kept:
            for mutant in chosen:
                used = resource.getrusage(resource.RUSAGE_CHILDREN)
                if asked.minutes and used.ru_utime + used.ru_stime > 60 * asked.minutes:
                    break
                if mutant.name not in told:
                    told[mutant.name] = judged(mutant, found, asked.patience)
                    kept.write(json.dumps([mutant.name, told[mutant.name]]) + "\n")
                    kept.flush()
    return _report(chosen, told, len(everything), asked.least)


def _report(chosen: Sequence[Mutant], told: dict[str, str], of: int, least: float) -> int:
    words = [told[mutant.name] for mutant in chosen if mutant.name in told]
    for mutant in sorted(chosen, key=lambda mutant: (mutant.file, mutant.first)):
        if told.get(mutant.name) == "alive":
            print(f"alive  {mutant.file}:{mutant.first}: {mutant.spot[1]}: {mutant.what}")
    killed, hung = words.count("killed"), words.count("hung")
    score = 100 * (killed + hung) / len(words) if words else 0.0
    print(f"mutate: {len(words)} of {of} mutants judged: {killed} killed, {hung} hung, {words.count('alive')} alive")
    print(f"mutate: score {score:.1f} %")
    return 0 if score >= least else 1


if __name__ == "__main__":
    raise SystemExit(main())
