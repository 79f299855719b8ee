"""Patterns in code that deserve a person's look: rules as data, and the reader that finds them in one file. No IO."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from workers.kinds.records import Severity

QUOTE_CHARS_MAX: Final = 200


class Rule(NamedTuple):
    """How much a pattern matters, and why."""

    severity: Severity
    why: str


RULES: Final[dict[str, Rule]] = {
    "exec-decoded": Rule("high", "runs code that was packed or encoded: a reader cannot see what it does"),
    "pth-exec": Rule(
        "high",
        "at every start of Python, a .pth line hides code behind exec or a decoder, or reaches for processes",
    ),
    "import-network": Rule("high", "opens a network connection merely by being imported"),
    "bidi-text": Rule(
        "high", "invisible direction marks: the code may read differently from how it runs (CVE-2021-42574)"
    ),
    "record-mismatch": Rule("high", "the file is not the one that was installed: its SHA-256 differs from RECORD"),
    "pth-code": Rule("medium", "a .pth line that runs code at every start of Python"),
    "import-process": Rule("medium", "starts a process merely by being imported"),
    "shell-command": Rule(
        "medium", "hands a computed string to a shell: whoever controls a part of it controls the command"
    ),
    "tls-off": Rule("medium", "switches off the checking of TLS certificates"),
    "setup-exec": Rule("medium", "a setup script that runs code or replaces install commands"),
    "licence-mismatch": Rule("medium", "metadata and licence text name different licences"),
    "licence-text-missing": Rule(
        "low", "ships no licence text, though its licence asks that the text goes with every copy"
    ),
    "files-missing": Rule("medium", "files that RECORD lists are not on disk"),
    "files-outside": Rule("medium", "RECORD lists files outside the environment"),
}

_PROCESS: Final = frozenset(
    [
        f"subprocess.{name}"
        for name in ("run", "Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput")
    ]
    + ["os.system", "os.popen", "os.execv", "os.execvp", "os.spawnl", "os.spawnv", "pty.spawn"]
)
_SHELLS: Final = frozenset({"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"})
_NETWORK: Final = frozenset(
    ["urllib.request.urlopen", "urllib.request.urlretrieve", "socket.create_connection", "http.client.HTTPConnection"]
    + ["http.client.HTTPSConnection", "ftplib.FTP", "smtplib.SMTP"]
    + [f"{client}.{verb}" for client in ("requests", "httpx") for verb in ("get", "post", "put", "request", "head")]
)
_DECODERS: Final = frozenset(
    [
        f"base64.{name}"
        for name in (
            "b64decode",
            "b32decode",
            "b16decode",
            "b85decode",
            "a85decode",
            "urlsafe_b64decode",
            "decodebytes",
        )
    ]
    + ["zlib.decompress", "lzma.decompress", "bz2.decompress", "gzip.decompress", "marshal.loads", "codecs.decode"]
    + ["binascii.unhexlify", "binascii.a2b_base64", "bytes.fromhex", "bytearray.fromhex"]
)
#: A file without any of these words holds nothing that the rules look for; parsing is far dearer than looking.
_WORDS: Final = (
    *("exec(", "eval(", "shell=", "shell =", "os.system", "os.popen", "os.exec", "os.spawn", "from os import"),
    *("import os as", "subprocess", "urlopen", "urlretrieve", "requests.", "from requests", "httpx.", "from httpx"),
    *("create_connection", "HTTPConnection", "HTTPSConnection", "ftplib", "smtplib", "pty.", "from pty"),
    *("_create_unverified_context", "verify=False", "verify = False"),
)
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_PTH_DANGER = re.compile(
    r"\b(?:exec|eval|compile|base64|zlib|marshal|urllib|requests|socket|subprocess|os\.system|popen)\b"
)
_TEST_PARTS = frozenset({"test", "tests", "testing", "_tests", "conftest.py"})


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule met at a line (from 1)."""

    rule: str
    line: int


def severity_at(rule: str, path: str) -> Severity:
    """The rule's severity; in tests, which nobody imports by accident, low."""
    return "low" if _TEST_PARTS.intersection(path.split("/")) else RULES[rule].severity


def quoted(line: str) -> str:
    """A line as a report shows it: stripped, cut, with every character that does not print written as an escape."""
    cut = line.strip()[:QUOTE_CHARS_MAX]
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in cut)


def scan_pth(text: str) -> list[Hit]:
    """Lines of a .pth file that `site` executes: those that begin with `import` and a space or tab."""
    hits = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(("import ", "import\t")):
            hits.append(Hit("pth-exec" if _PTH_DANGER.search(line) else "pth-code", number))
    return hits


def scan_python(text: str, path: str) -> list[Hit]:
    """Everything that the rules find in one module.

    A file that is no Python of this interpreter's version is searched for direction marks only.
    """
    hits = [Hit("bidi-text", text.count("\n", 0, match.start()) + 1) for match in _first_per_line(text)]
    name = path.rpartition("/")[2]
    if name != "setup.py" and not any(word in text for word in _WORDS):
        return hits
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stray escape in somebody's string is not our business
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return hits
    return sorted(
        {*hits, *_Reader(tree, name, executes="exec" in text or "eval" in text).hits()},
        key=lambda hit: (hit.line, hit.rule),
    )


def _first_per_line(text: str) -> Iterator[re.Match[str]]:
    end = -1
    for match in _BIDI.finditer(text):
        if match.start() > end:
            found = text.find("\n", match.start())
            end = found if found >= 0 else len(text)
            yield match


class _Reader:
    """Walks one module, knowing which statements run at import."""

    def __init__(self, tree: ast.Module, name: str, *, executes: bool) -> None:
        """`executes`: whether the text holds exec or eval at all, so that decoded data matters."""
        self._tree, self._is_setup, self._executes = tree, name == "setup.py", executes
        self._runs_at_import = name not in {"setup.py", "__main__.py"}
        self._names: dict[str, str] = {}  # local name -> dotted name it was imported as
        self._packed: set[str] = set()  # variables that hold decoded data

    def hits(self) -> Iterator[Hit]:
        """Everything found, in no particular order."""
        calls: list[tuple[ast.Call, bool]] = []
        assigned: list[ast.Assign] = []
        for node, at_import in self._nodes():
            if isinstance(node, ast.Call):
                calls.append((node, at_import))
            elif isinstance(node, ast.Attribute) and node.attr == "_create_unverified_context":
                yield Hit("tls-off", node.lineno)
            elif isinstance(node, ast.Assign):
                assigned.append(node)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self._note_import(node)
        for assign in assigned if self._executes else ():
            if self._decodes(assign.value):
                self._packed |= {target.id for target in assign.targets if isinstance(target, ast.Name)}
        for call, at_import in calls:
            yield from (Hit(rule, call.lineno) for rule in self._call(call, at_import))

    def _nodes(self) -> Iterator[tuple[ast.AST, bool]]:
        """Every node, with whether it runs at import; a plain stack, because this is where the time goes."""
        stack: list[tuple[ast.AST, bool]] = [(self._tree, self._runs_at_import)]
        while stack:
            node, at_import = stack.pop()
            yield node, at_import
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or _is_guarded(node):
                at_import = False
            for name in node._fields:
                value = getattr(node, name, None)
                if isinstance(value, list):
                    stack += [(child, at_import) for child in value if isinstance(child, ast.AST)]
                elif isinstance(value, ast.AST) and not isinstance(value, (ast.expr_context, ast.operator)):
                    stack.append((value, at_import))

    def _note_import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            self._names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif node.module and not node.level:
            self._names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def _call(self, node: ast.Call, at_import: bool) -> Iterator[str]:
        name = self._dotted(node.func)
        keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        if name in ("exec", "eval"):
            if any(self._decodes(argument) for argument in node.args):
                yield "exec-decoded"
            elif self._is_setup:
                yield "setup-exec"
        if at_import and name in _NETWORK:
            yield "import-network"
        if at_import and name in _PROCESS:
            yield "import-process"
        if self._is_setup and (name in _PROCESS or (name.endswith("setup") and "cmdclass" in keywords)):
            yield "setup-exec"
        first = node.args[0] if node.args else keywords.get("args", keywords.get("cmd"))
        computed = first is not None and not isinstance(first, ast.Constant)
        if computed and (name in _SHELLS or (name in _PROCESS and _is(keywords.get("shell"), True))):
            yield "shell-command"
        if name in _NETWORK and _is(keywords.get("verify"), False):
            yield "tls-off"

    def _dotted(self, node: ast.AST) -> str:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self._names.get(node.id, node.id), *reversed(parts)])

    def _decodes(self, node: ast.AST) -> bool:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and self._dotted(inner.func) in _DECODERS:
                return True
            if isinstance(inner, ast.Name) and inner.id in self._packed:
                return True
        return False


def _is(node: ast.AST | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_guarded(node: ast.AST) -> bool:
    """`if __name__ == "__main__"` and `if TYPE_CHECKING`, also as a part of an `and`: not run by an import."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    return any(_is_guard(part) for part in parts)


def _is_guard(test: ast.expr) -> bool:
    if isinstance(test, ast.Compare):
        return isinstance(test.left, ast.Name) and test.left.id == "__name__"
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"
