"""Reads Markdown pages and runs their code blocks as a reader would: in one folder, from top to bottom.

A block says what it is by its language, and `file=NAME` behind it makes it a file of the reader's folder:

- `console`: lines that begin with `$ ` are typed, the lines below are what the terminal shows (stdout and stderr);
- `python`: run as a script; a `text` block right after it is what it prints;
- `yaml`, `python` and others with `file=`: written down;
- `sh` holds entries of the Makefile and nothing else: each must exist;
- `mermaid` and `text` on its own are pictures. Any other block is a mistake: nothing on a page goes unrun.

In expected output a line `...` stands for any lines. Ids of runs, durations and times of day differ from run to run and
count as equal; an id that a page quotes in a command is exchanged for the one that was really printed.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
COMMAND_S = 120.0  #: a command of a page that takes longer is broken
PICTURES = {"mermaid", "text"}
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
RUN_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")
VARYING = (
    (re.compile(r"^bash: line \d+: +\d+ Killed.*$", re.MULTILINE), "Killed"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|µs|us|min|m|h)\b( \d+(\.\d+)? ?s\b)?"), "<duration>"),
    (re.compile(r"\b[\w.-]+-\d+-[0-9a-f]{8}\b"), "<worker>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"\bpid \d+|process \d+"), "<process>"),
    (re.compile(r"\b[0-9,.]+ (bytes|KiB|MiB)\b"), "<size>"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    language: str
    file: str  #: empty when it is no file
    body: str
    line: int  #: of its fence, from 1


def blocks(text: str) -> Iterator[Block]:
    """Every fenced block, in order."""
    for found in FENCE.finditer(text):
        language, *words = found["info"].split() or [""]
        options = dict(word.partition("=")[::2] for word in words)
        line = text.count("\n", 0, found.start()) + 1
        yield Block(language=language, file=options.pop("file", ""), body=found["body"], line=line)


def alike(expected: str, actual: str) -> bool:
    """Whether a terminal shows what a page says, but for what differs from run to run."""
    parts = re.split(r"^\.\.\.\n?", settled(expected), flags=re.MULTILINE)
    pattern = r"(?:.*\n)*?".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, settled(actual)) is not None


def settled(text: str) -> str:
    """The text with what varies exchanged for its kind, without trailing blanks."""
    text = RUN_ID.sub("<run>", text)
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    lines = [re.sub(r"[ \t]+", " ", line).rstrip() for line in text.splitlines()]
    return "".join(f"{line}\n" for line in lines).strip("\n") + "\n"


def entries() -> set[str]:
    """What can be typed to make, comments of the Makefile left out."""
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text()
    return {f"make {target}" for target in re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, flags=re.MULTILINE)}


class Reader:
    """Somebody who types a page into a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ids: dict[str, str] = {}  #: run ids on the page -> those of this reading

    def read(self, page: Path) -> int:
        """Do everything the page says; return how many blocks were run or written.

        Raises:
            AssertionError: at the first block that does not do what the page says, with its line.
        """
        done = 0
        found = list(blocks(page.read_text()))
        for number, block in enumerate(found):
            where = f"{page.name}:{block.line}"
            following = found[number + 1] if number + 1 < len(found) else None
            if block.file:
                (self.folder / block.file).write_text(block.body)
            elif block.language == "console":
                self._console(block, where)
            elif block.language == "python":
                shown = self._run([str(BIN / "python"), "-c", block.body])
                assert shown[0] == 0, f"{where}: exit code {shown[0]}\n{shown[1]}"
                if following is not None and following.language == "text":
                    self._compare(following.body, shown[1], where)
            elif block.language == "sh":
                assert set(block.body.splitlines()) <= entries(), f"{where}: no entry of the Makefile"
            else:
                assert block.language in PICTURES, f"{where}: a block of {block.language!r} that nobody runs"
                continue
            done += 1
        return done

    def _console(self, block: Block, where: str) -> None:
        assert block.body.startswith("$ "), f"{where}: a console block begins with a command"
        for part in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            for quoted, real in self._ids.items():
                command = command.replace(quoted, real)
            _, shown = self._run(["bash", "-c", command])
            self._compare(expected, shown, f"{where}: $ {command}")

    def _compare(self, expected: str, shown: str, where: str) -> None:
        assert alike(expected, shown), f"{where}\n--- the page\n{expected}\n--- the terminal\n{shown}"
        self._ids |= dict(zip(RUN_ID.findall(expected), RUN_ID.findall(shown), strict=False))

    def _run(self, command: list[str]) -> tuple[int, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        env = kept | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "NO_COLOR": "1",
            "COLUMNS": "100",
            "TZ": "UTC",
            "LOGNAME": "ada",  # who answers questions
        }
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        return done.returncode, done.stdout
