"""Hierarchical multi-agent orchestration: plans as data, checked outputs, runs that survive any crash.

Write a `Plan`, give its pools to an `Engine`, `submit` it, and match on the result: `Succeeded`, `Degraded`, `Stopped`,
`Failed` or `Cancelled`. Workers are in the package `workers`, errors in `orchestrator.errors`.

Public names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers know the name; `typing` itself would cost more than everything else here
if TYPE_CHECKING:
    from orchestrator.app import Engine
    from orchestrator.core.results import Cancelled, Degraded, Failed, Gap, RunResult, Stopped, Succeeded, Usage
    from orchestrator.engine.handle import Run
    from orchestrator.plan import checks, ladder
    from orchestrator.plan.builder import PlanBuilder as Plan
    from orchestrator.plan.models import Plan as FrozenPlan
    from orchestrator.plan.options import all_, any_, at_least
    from orchestrator.plan.parts import Budget
    from orchestrator.plan.refs import expr, length
    from orchestrator.settings import Settings
    from orchestrator.supervisor.rules import Judging, Supervisor

_WHERE = {
    "Engine": ("orchestrator.app", "Engine"),
    "Run": ("orchestrator.engine.handle", "Run"),
    "Plan": ("orchestrator.plan.builder", "PlanBuilder"),
    "FrozenPlan": ("orchestrator.plan.models", "Plan"),
    "Budget": ("orchestrator.plan.parts", "Budget"),
    "Settings": ("orchestrator.settings", "Settings"),
    "Supervisor": ("orchestrator.supervisor.rules", "Supervisor"),
    "Judging": ("orchestrator.supervisor.rules", "Judging"),
    "checks": ("orchestrator.plan.checks", None),
    "ladder": ("orchestrator.plan.ladder", None),
    **{name: ("orchestrator.plan.options", name) for name in ("all_", "any_", "at_least")},
    **{name: ("orchestrator.plan.refs", name) for name in ("expr", "length")},
    **{
        name: ("orchestrator.core.results", name)
        for name in ("Succeeded", "Degraded", "Stopped", "Failed", "Cancelled", "Gap", "Usage", "RunResult")
    },
}
__all__ = [
    "Budget",
    "Cancelled",
    "Degraded",
    "Engine",
    "Failed",
    "FrozenPlan",
    "Gap",
    "Judging",
    "Plan",
    "Run",
    "RunResult",
    "Settings",
    "Stopped",
    "Succeeded",
    "Supervisor",
    "Usage",
    "all_",
    "any_",
    "at_least",
    "checks",
    "expr",
    "ladder",
    "length",
]


def __getattr__(name: str) -> object:
    try:
        module, attribute = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    loaded = import_module(module)
    found: object = loaded if attribute is None else getattr(loaded, attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
