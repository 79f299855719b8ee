"""Guards and redactors that settings ask for."""

import os
from collections.abc import Callable, Sequence
from functools import cache

from orchestrator.errors import InputError, PromiseError
from orchestrator.ids import JsonValue
from orchestrator.ports.checker import Checker
from orchestrator.ports.guard import Guard
from orchestrator.ports.planner import GoalPlanner, Planner
from orchestrator.ports.recogniser import MEANINGS, Recogniser
from orchestrator.ports.redaction import CLEAR, Redactor
from orchestrator.safety.guards import EffectGate, Hints, OutputLimit
from orchestrator.safety.pii_guard import PiiGuard, SlowPiiGuard
from orchestrator.safety.redactor import Redactor as Redaction
from orchestrator.safety.shown import ShownChecker, ShownGoals, ShownPlanner
from orchestrator.settings import PiiSettings, SafetySettings
from workers.guarding import Pieces, streams


def guards_of(settings: SafetySettings, given: Sequence[Guard] = ()) -> Callable[[str], Sequence[Guard]]:
    """Which guards stand before a pool's own, by its name: those that were given, then those of the settings.

    Raises:
        PromiseError: the key of placeholders is named, and its variable holds nothing.
    """
    key = None
    if settings.key_env:
        key = os.environ.get(settings.key_env, "").encode()
        if not key:
            raise PromiseError(f"the variable {settings.key_env} holds no key of placeholders", "set it")

    def of(pool: str) -> Sequence[Guard]:
        found = list(given)
        pii = settings.pools.get(pool, settings.pii)
        if (pii.given, pii.gives) != ("off", "off"):
            found.append(_pii_guard(pii, key, recogniser_of(settings, pii)))
        if settings.hints:
            found.append(Hints())
        if settings.effects_from is not None:
            found.append(EffectGate(settings.effects_from))
        if settings.output_bytes_max is not None:
            found.append(OutputLimit(settings.output_bytes_max))
        return found

    return of


def _pii_guard(pii: PiiSettings, key: bytes | None, recogniser: Recogniser | None) -> Guard:
    guard = PiiGuard(pii.given, pii.gives, kinds=pii.kinds, key=key, recogniser=recogniser)
    return guard if recogniser is None else SlowPiiGuard(guard)


def recogniser_of(settings: SafetySettings, pii: PiiSettings) -> Recogniser | None:
    """Who finds the kinds that no form tells; None where none of them is asked for. One model serves the process.

    Raises:
        PromiseError: the extra `presidio`, or the model, is not installed.
    """
    if not set(pii.kinds) & set(MEANINGS):
        return None
    asked = settings.presidio
    return _presidio(asked.model, asked.language, asked.score_min)


@cache
def _presidio(model: str, language: str, score_min: float) -> Recogniser:
    from orchestrator.adapters.presidio import PresidioRecogniser  # for those who ask for names

    return PresidioRecogniser(model, language, score_min)


def shown_to_watchers(
    settings: SafetySettings, given: Sequence[Guard], minds: tuple[Planner, Checker, GoalPlanner]
) -> tuple[Planner, Checker, GoalPlanner]:
    """Who plans, judges and plans goals; what they stream passes the guards that stand before every pool.

    Guards of one pool alone, and the settings of one, are not asked: planners and judges are in no pool.
    """
    guards = [guard for guard in guards_of(settings, given)("") if streams(guard)]
    if not guards:
        return minds
    planner, checker, goals = minds

    def made() -> Pieces:
        return Pieces(guards)

    return ShownPlanner(planner, made), ShownChecker(checker, made), ShownGoals(goals, made)


def redactor_of(settings: SafetySettings) -> Redactor:
    """What strikes people's data and secrets out of traces and log lines."""
    return Redaction(settings.sinks) if settings.sinks else CLEAR


def passed_inputs(settings: SafetySettings, inputs: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The inputs of a run as they may be journaled.

    Raises:
        InputError: one holds people's data, and the settings refuse that; it names kinds, not what was found.
    """
    if settings.inputs == "off":
        return inputs
    redactor = Redaction(settings.pii.kinds, recogniser=recogniser_of(settings, settings.pii))
    struck: dict[str, JsonValue] = {name: redactor.value(value) for name, value in inputs.items()}
    if settings.inputs == "refuse":
        for name, value in inputs.items():
            if struck[name] != value:
                raise InputError(name, "holds people's data or secrets, which this installation refuses")
    return struck


def passed_text(settings: SafetySettings, name: str, text: str) -> str:
    """What a person says beside the inputs of a run (a turn, a goal, a pinned fact) as it may be kept; by their rules.

    Raises:
        InputError: as of `passed_inputs`; `name` says what held it.
    """
    return str(passed_inputs(settings, {name: text})[name])
