"""A suite: tasks, architectures and parameters, in a file that is written before anything is run."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.architectures.host import known
from benchmarks.architectures.parameters import Parameters, Protocols
from benchmarks.architectures.teams import ARCHITECTURES

SUITES = Path(__file__).parent / "suites"
_KEYS = {"comment", "families", "architectures", "parameters", "protocols", "info", "sweep", "recovery"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Lines of a sweep: one parameter at a time, everything else as in the suite."""

    families: tuple[str, ...]
    count: int  #: instances per family
    architectures: tuple[str, ...]
    values: dict[str, tuple[float, ...]]  #: by parameter; see `sweep.CHANGES`


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Faults that are injected beside the matrix."""

    planted: int = 0  #: instances per family that are run again with a wrong answer planted
    steps: int = 0  #: in worker processes
    killed: int = 0  #: of these, killed with SIGKILL in their first attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What is run."""

    name: str
    families: dict[str, int]  #: instances per family
    architectures: tuple[str, ...]
    parameters: Parameters
    protocols: Protocols = field(default_factory=Protocols)
    info: int = 0  #: instances per family that are repeated, for information gain and pass^k
    sweep: Sweep | None = None
    recovery: Recovery = field(default_factory=Recovery)
    source: dict[str, Any] = field(default_factory=dict)  #: the file as it was read

    @staticmethod
    def read(name: str) -> "Suite":
        """A suite by name, or from a JSON file.

        Raises:
            ValueError: there is none, or it names what does not exist; the message says what there is.
        """
        path = Path(name) if name.endswith(".json") else SUITES / f"{name}.json"
        if not path.is_file():
            names = ", ".join(sorted(one.stem for one in SUITES.glob("*.json")))
            raise ValueError(f"no suite {name!r}; there are {names}, or name a .json file")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if not isinstance(data, dict) or not _counts(data.get("families")):
            raise ValueError(f"{path}: a suite is a mapping whose `families` gives each family 1 or more instances")
        if unknown := sorted(set(data) - _KEYS):
            raise ValueError(f"{path}: no key {', '.join(unknown)}; there are {', '.join(sorted(_KEYS))}")
        try:
            suite = _suite(path, data)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
        suite.check()
        return suite

    def check(self) -> None:
        """Refuse what does not exist.

        Raises:
            ValueError: a family or architecture is unknown, or an architecture is named twice.
        """
        hosts = known()
        swept = self.sweep.families if self.sweep else ()
        if unknown := sorted({*self.families, *swept} - set(hosts)):
            raise ValueError(f"no family {', '.join(unknown)}; there are {', '.join(sorted(hosts))}")
        named = {*self.architectures, *(self.sweep.architectures if self.sweep else ())}
        if unknown := sorted(named - set(ARCHITECTURES)):
            raise ValueError(f"no architecture {', '.join(unknown)}; there are {', '.join(ARCHITECTURES)}")
        if len(set(self.architectures)) < len(self.architectures):
            raise ValueError(f"an architecture is named twice: {', '.join(self.architectures)}")


def _counts(families: object) -> bool:
    return (
        isinstance(families, dict)
        and bool(families)
        and all(isinstance(count, int) and not isinstance(count, bool) and count >= 1 for count in families.values())
    )


def _suite(path: Path, data: dict[str, Any]) -> Suite:
    sweep = data.get("sweep")
    return Suite(
        name=path.stem,
        families=dict(data["families"]),
        architectures=tuple(data.get("architectures", ARCHITECTURES)),
        parameters=_parameters(path, data.get("parameters", {})),
        protocols=_protocols(path, data.get("protocols", {})),
        info=int(data.get("info", 0)),
        sweep=None
        if sweep is None
        else Sweep(
            families=tuple(sweep["families"]),
            count=int(sweep["count"]),
            architectures=tuple(sweep["architectures"]),
            values={key: tuple(values) for key, values in sweep["values"].items()},
        ),
        recovery=Recovery(**data.get("recovery", {})),
        source=data,
    )


def _parameters(path: Path, given: dict[str, Any]) -> Parameters:
    data = dict(given)
    if "usd_million" in data:
        data["usd_million"] = {tier: tuple(prices) for tier, prices in data["usd_million"].items()}
    try:
        return Parameters(**data)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: parameters: {error}") from error


def _protocols(path: Path, given: dict[str, Any]) -> Protocols:
    try:
        return Protocols(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: protocols: {error}") from error
