"""What users and our own tests build on: contract suites, scenarios, scripted parts.

The names below are loaded when they are first used; the contract suites are modules of their own.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers know the name
if TYPE_CHECKING:
    from orchestrator.testing.jumping import JumpingLoop
    from orchestrator.testing.play import Played
    from orchestrator.testing.purse import Purse
    from orchestrator.testing.scenario import Scenario
    from orchestrator.testing.script import Call, ScenarioFailed
    from orchestrator.testing.scripted import Says, ScriptedModel, UnexpectedCall

_WHERE = {
    "Call": "script",
    "JumpingLoop": "jumping",
    "Played": "play",
    "Purse": "purse",
    "Says": "scripted",
    "Scenario": "scenario",
    "ScenarioFailed": "script",
    "ScriptedModel": "scripted",
    "UnexpectedCall": "scripted",
}
__all__ = [
    "Call",
    "JumpingLoop",
    "Played",
    "Purse",
    "Says",
    "Scenario",
    "ScenarioFailed",
    "ScriptedModel",
    "UnexpectedCall",
]


def __getattr__(name: str) -> object:
    try:
        module = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    found: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
