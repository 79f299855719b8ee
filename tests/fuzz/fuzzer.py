"""The fuzzer: seeded inputs out of a corpus, and the bars that each of them must stay under.

An input is a function of (target, number), so a failure is repeated by its number, and a long proof is a range of
numbers that goes on where it stopped (progress.py). Of every corpus file the bytes themselves come
first; then mutations of one, splices of two, and words of the target put anywhere.

A crash that was found becomes a file of the corpus: it is asked again in every run, unchanged.
"""

import copy
import json
import os
import random
import signal
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from orchestrator.errors import OrchestratorError
from tests.fuzz.progress import Progress

CORPUS = Path(__file__).parent / "corpus"
FULL = os.environ.get("ORCHESTRATOR_PROVE") == "full"
INPUTS = 300  #: of a target, by default
INPUTS_FULL = 100_000
CPU_S = 1.0  #: for one input; the slowest take a tenth of it on a quiet machine
STUCK_S = 10.0  #: of processor time, after which an input is stopped where it is
MEMORY_BYTES = 48 << 20  #: new memory at the peak of one input
WEIGHED_EACH = 8  #: of so many inputs one is weighed: it takes several times as long then
INPUT_BYTES_MAX = 4_096


class Stuck(BaseException):
    """An input that does not come to an end. No `except Exception` may swallow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is fed."""

    name: str  #: also the folder of its corpus
    feed: Callable[[bytes], object]  #: one input; returns, or raises one of `refusals`
    words: tuple[bytes, ...]  #: put into inputs
    refusals: tuple[type[Exception], ...] = (OrchestratorError,)
    cpu_s: float = CPU_S

    def corpus(self) -> list[bytes]:
        """The kept files, in the order of their names."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).iterdir())]


#: Of any format: ends of numbers, nesting, quotes, bytes that are no text.
WORDS = (
    *(b"null", b"true", b"-1", b"0", b"1e309", b"-0.0", b"9" * 400, b"NaN", b"Infinity", b"1e-400"),
    b"18446744073709551616",
    *(b'""', b"[]", b"{}", b"[" * 300, b'{"a":' * 200, b"]" * 70, b"\\ud800", b"\\u0000", b"\xff\xfe", b"\xed\xa0\x80"),
    *(b"\x00", b"\r\n\r\n", b"\n", b" " * 64, b"'", b'"', b"\\", b"\xe2\x80\xa8", b"\xf0\x9f\x92\xa9", b"__class__"),
)  # fmt: skip


def input_of(target: Target, number: int, corpus: list[bytes] | None = None) -> bytes:
    """Input `number` of a target: the corpus first, unchanged, then what is made of it."""
    kept = target.corpus() if corpus is None else corpus
    if number < len(kept):
        return kept[number]
    dice = random.Random(f"{target.name}/{number}")
    words = (*target.words, *WORDS)
    data = bytearray(dice.choice(kept))
    if dice.random() < 0.7 and _reshape(data, dice, words) and dice.random() < 0.8:
        return bytes(data[:INPUT_BYTES_MAX])
    for _ in range(1 + min(int(dice.expovariate(0.5)), 12)):
        _change(data, dice, words, kept)
    return bytes(data[:INPUT_BYTES_MAX])


def _change(data: bytearray, dice: random.Random, words: tuple[bytes, ...], kept: list[bytes]) -> None:
    at = dice.randrange(len(data) + 1)
    size = min(int(dice.expovariate(0.15)) + 1, len(data) - at)
    match dice.randrange(8):
        case 0:  # one bit
            if at < len(data):
                data[at] ^= 1 << dice.randrange(8)
        case 1:  # cut out
            del data[at : at + size]
        case 2:  # cut off
            if dice.random() < 0.3:
                del data[at:]
        case 3:  # a word put in
            data[at:at] = dice.choice(words)
        case 4:  # a word in place of another
            data[at : at + size] = dice.choice(words)
        case 5:  # said twice
            data[at:at] = data[at : at + size] * dice.choice((1, 2, 40))
        case 6:  # a piece of another input
            other = dice.choice(kept)
            start = dice.randrange(len(other) + 1)
            data[at : at + size] = other[start : start + dice.randrange(1, 200)]
        case 7:  # a value in place of what stands between two marks
            _exchange(data, dice, words)


#: In place of any value of JSON.
ODD: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 2**53 + 1, 2**63, -(2**63), 2**1030, 10**400, 0.5, -0.0, 1e308),
    *(float("inf"), float("nan"), "", "a", "\ud800", "\0", "x" * 2_000, "-1", "1e5", "null"),
    *([], {}, [None], [[]], {"": 1}, {"a": {}}, [1, "a", None]),
)


def _reshape(data: bytearray, dice: random.Random, words: tuple[bytes, ...]) -> bool:
    """Change the tree that a line of JSON stands for, so that what comes out is JSON still; false: it is none."""
    lines = bytes(data).split(b"\n")
    at = dice.randrange(len(lines))
    try:
        tree = json.loads(lines[at])
    except (ValueError, RecursionError):
        return False
    for _ in range(1 + min(int(dice.expovariate(0.7)), 5)):
        tree = _grown(tree, dice, words)
    lines[at] = json.dumps(tree).encode()
    data[:] = b"\n".join(lines)
    return True


def _places(tree: object) -> Iterator[tuple[list[object] | dict[str, object], object]]:
    """Every place of a value in a tree: what holds it, and its index or key."""
    if isinstance(tree, list):
        for at, value in enumerate(tree):
            yield tree, at
            yield from _places(value)
    elif isinstance(tree, dict):
        for name, value in tree.items():
            yield tree, name
            yield from _places(value)


def _grown(tree: object, dice: random.Random, words: tuple[bytes, ...]) -> object:
    places = [*_places(tree)]
    if not places or dice.random() < 0.02:
        return copy.deepcopy(dice.choice(ODD))
    inside, at = dice.choice(places)
    value = copy.deepcopy(inside[at])  # type: ignore[index]  # as `_places` says
    match dice.randrange(7):
        case 0 | 1:
            inside[at] = copy.deepcopy(dice.choice(ODD))  # type: ignore[index]
        case 2:
            del inside[at]  # type: ignore[arg-type]
        case 3:
            other, there = dice.choice(places)
            inside[at] = copy.deepcopy(other[there])  # type: ignore[index]
        case 4 if isinstance(inside, list):
            inside.extend([value] * dice.choice((1, 3, 150)))
        case 4 | 5:
            inside[at] = [value] if dice.random() < 0.5 else {"a": value}  # type: ignore[index]
        case 6 if isinstance(inside, dict):
            name = dice.choice(words).decode(errors="replace").strip('":, ')
            inside[name] = inside.pop(at)  # type: ignore[call-overload]
        case _:
            inside[at] = dice.choice(words).decode(errors="replace")  # type: ignore[index]
    return tree


def _exchange(data: bytearray, dice: random.Random, words: tuple[bytes, ...]) -> None:
    """Exchange one scalar of JSON, YAML or an expression for a word: the form stays, the meaning goes."""
    marks = [at for at, byte in enumerate(data) if byte in b":,[{( "]
    if not marks:
        return
    start = dice.choice(marks) + 1
    ends = [at for at in range(start, min(start + 200, len(data))) if data[at] in b",]}) \n"]
    if ends:
        data[start : ends[0]] = dice.choice(words)


@contextmanager
def stopped_when_stuck() -> Iterator[None]:
    """Raise `Stuck` where the processor has been busy for too long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stuck(f"still busy after {STUCK_S:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, STUCK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def outcome(target: Target, data: bytes) -> str:
    """`value`, or the name of the refusal; anything else comes out as it is."""
    try:
        with stopped_when_stuck():
            target.feed(data)
    except target.refusals as error:
        str(error)  # it can be told
        return type(error).__name__
    return "value"


def check(target: Target, data: bytes, *, weighed: bool) -> str:
    """Feed one input under its bars.

    Raises:
        AssertionError: it took more than it may, or something came out that is no refusal.
    """
    try:
        said, used_s = _timed(target, data)
        for _ in range(4):  # a collection of garbage, or a busy neighbour, may fall into one
            if used_s <= target.cpu_s:
                break
            used_s = min(used_s, _timed(target, data)[1])
        peak = _weighed(target, data) if weighed else 0
    except (Exception, Stuck) as error:
        raise AssertionError(f"{target.name}: {type(error).__name__}: {error} for {data!r}") from error
    assert used_s <= target.cpu_s, f"{target.name}: {used_s:.2f} s of processor time for {data!r}"
    assert peak <= MEMORY_BYTES, f"{target.name}: {peak:,} bytes for {data!r}"
    return said


def _timed(target: Target, data: bytes) -> tuple[str, float]:
    began_s = time.process_time()
    said = outcome(target, data)
    return said, time.process_time() - began_s


def _weighed(target: Target, data: bytes) -> int:
    tracemalloc.start()
    try:
        outcome(target, data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def run(target: Target, inputs: int | None = None) -> Counter[str]:
    """Feed the inputs of this session; a full one goes on where it was interrupted. How each ended, counted."""
    kept = target.corpus()
    progress = Progress(target.name, kept, full=FULL)
    for number in progress.numbers(inputs or (INPUTS_FULL if FULL else INPUTS)):
        data = input_of(target, number, kept)
        weighed = number < len(kept) or number % WEIGHED_EACH == 0
        try:
            progress.found[check(target, data, weighed=weighed)] += 1
        except AssertionError as error:
            raise AssertionError(f"input {number}: {error}") from error
    return progress.found
