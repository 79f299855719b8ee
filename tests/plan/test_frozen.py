"""Frozen dataclasses that are made quickly are the dataclasses they were."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from orchestrator.plan.frozen import quickly_made


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    at: float
    who: str = ""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Made(Base):
    step: str
    labels: dict[str, int] = field(default_factory=dict)


@quickly_made
@dataclass(frozen=True, slots=True)
class Placed:
    a: int
    b: int = 2


def test_fields_defaults_and_equality_are_as_before() -> None:
    made = Made(at=1.0, step="s")

    assert (made.at, made.who, made.step, made.labels) == (1.0, "", "s", {})
    assert made.labels is not Made(at=1.0, step="s").labels
    assert made == Made(at=1.0, step="s", who="", labels={})
    assert made != Made(at=2.0, step="s")
    assert repr(made) == "Made(at=1.0, who='', step='s', labels={})"
    assert (Placed(1), hash(Placed(1))) == (Placed(1, 2), hash(Placed(1, b=2)))


def test_its_class_is_its_own_and_it_stays_frozen() -> None:
    made = Made(at=1.0, step="s")

    assert type(made) is Made
    with pytest.raises(FrozenInstanceError):
        made.step = "t"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # our own
def test_it_is_copied_and_pickled(again: Callable[[Made], Made]) -> None:
    made = Made(at=1.0, step="s", labels={"a": 1})

    assert again(made) == made
    assert replace(made, step="t") == Made(at=1.0, step="t", labels={"a": 1})


@pytest.mark.parametrize("wrong", [{"step": "s"}, {"at": 1.0, "step": "s", "other": 1}])
def test_a_field_that_is_missing_or_unknown_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Made(**wrong)  # type: ignore[arg-type]  # that is the point


def test_classes_whose_making_a_twin_would_change_are_refused() -> None:
    @dataclass(frozen=True)
    class Open:
        a: int

    @dataclass(frozen=True, slots=True)
    class Told:
        a: int

        def __post_init__(self) -> None:
            raise AssertionError("never made")

    @dataclass(frozen=True, slots=True)
    class Counted:
        a: int = field(default=1, init=False)

    for cls in (Open, Told, Counted, int):
        with pytest.raises(TypeError):
            quickly_made(cls)
