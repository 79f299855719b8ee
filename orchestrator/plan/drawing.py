"""Draws plans and runs as text: Mermaid, DOT, and a tree for terminals. A mapped step is one node with counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.plan.estimate import branch_bounds
from orchestrator.plan.graph import PlanGraph
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.references import plan_graph

__all__ = ["LABEL_CHARS_MAX", "STATUS_MARKS", "NodeState", "dot", "mermaid", "tree"]

LABEL_CHARS_MAX: Final = 60  #: of one line of a label

#: status -> sign in the tree, colours of line and fill
STATUS_MARKS: Final[dict[str, tuple[str, str, str]]] = {
    "pending": ("·", "#8a8a8a", "#ffffff"),
    "running": ("▶", "#1f6feb", "#ddf4ff"),
    "checking": ("?", "#8250df", "#fbefff"),
    "backoff": ("↻", "#9a6700", "#fff8c5"),
    "waiting": ("⏸", "#9a6700", "#fff8c5"),
    "passed": ("✓", "#1a7f37", "#dafbe1"),
    "gap": ("○", "#bc4c00", "#fff1e5"),
    "failed": ("✗", "#cf222e", "#ffebe9"),
    "skipped": ("–", "#8a8a8a", "#f6f8fa"),
    "cancelled": ("×", "#8a8a8a", "#f6f8fa"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """How far a step of a run is."""

    status: str  #: a key of `STATUS_MARKS`
    attempts: int = 0
    branches: Mapping[str, int] | None = None  #: of a mapped step: how many branches have each status
    note: str = ""  #: a few words, such as a cost or a reason


States = Mapping[str, NodeState]


def _cut(text: str) -> str:
    """One line without control characters, of at most `LABEL_CHARS_MAX` characters."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= LABEL_CHARS_MAX else line[: LABEL_CHARS_MAX - 1] + "…"


def _lines(plan: Plan, name: str, step: Step, state: NodeState | None) -> list[str]:
    """The label of a step: its name, what it does, how far it is."""
    count = ""
    if step.foreach is not None:
        least, most = branch_bounds(plan, name)
        done = sum(state.branches.values()) if state is not None and state.branches else 0
        count = f" × {done}" if done else f" × {most}" if most is not None and most == least else " × n"
    lines = [_cut(name) + count, _what(step)]
    if state is not None:
        tries = f", {state.attempts} attempts" if state.attempts > 1 else ""
        lines.append(f"{state.status}{tries}")
        if state.branches:
            lines.append(_cut(", ".join(f"{number} {status}" for status, number in state.branches.items())))
        if state.note:
            lines.append(_cut(state.note))
    return lines


def _what(step: Step) -> str:
    match step.kind:
        case "task":
            return _cut(f"{step.pool}: task")
        case "call":
            return _cut(f"{step.pool}.{step.call}")
        case "human":
            return "a person: " + _cut(" / ".join(step.human.choices if step.human is not None else ()))
        case "plan":
            return _cut(f"plan {step.plan.name if step.plan is not None else ''}")
        case "goal":
            return "goal"


def _waits(plan: Plan, name: str, graph: PlanGraph) -> list[tuple[str, str]]:
    """The steps a step waits for, each with a few words on why."""
    step = plan.steps[name]
    found: list[tuple[str, str]] = []
    for edge in graph.into(name):
        word = {"needs": "order", "each": "each branch", "reference": ""}[edge.kind]
        if edge.path == ("if",):
            word = "if"
        if step.join != "all" and not step.finally_:
            word = "any" if step.join == "any" else f"at least {step.join.at_least}"
        found.append((edge.source, word))
    return found


_MERMAID: Final = str.maketrans(
    {sign: f"#{ord(sign)};" for sign in "#\"'<>&[](){}|`\\;"}  # Mermaid's own way to write any character
)


def mermaid(plan: Plan, states: States | None = None) -> str:
    """A Mermaid flowchart; nodes are numbered, so no name can be read as syntax."""
    graph = plan_graph(plan)
    number = {name: f"n{at}" for at, name in enumerate(plan.steps)}
    lines = ["flowchart TD"]
    for name, step in plan.steps.items():
        state = (states or {}).get(name)
        label = "<br/>".join(line.translate(_MERMAID) for line in _lines(plan, name, step, state))
        begin, end = _SHAPES[_shape(step)]
        lines.append(f'  {number[name]}{begin}"{label}"{end}' + (f":::{state.status}" if state is not None else ""))
    for name, step in plan.steps.items():
        line = "-.->" if step.finally_ else "-->"
        for source, word in _waits(plan, name, graph):
            lines.append(f"  {number[source]} {line}{f'|{word}|' if word else ''} {number[name]}")
    used = dict.fromkeys(state.status for state in (states or {}).values())
    for status in used:
        _, stroke, fill = STATUS_MARKS[status]
        lines.append(f"  classDef {status} stroke:{stroke},fill:{fill},color:#1f2328")
    return "\n".join(lines) + "\n"


_SHAPES: Final = {"step": ("[", "]"), "mapped": ("[[", "]]"), "human": ("{{", "}}"), "plan": ("(", ")")}


def _shape(step: Step) -> str:
    if step.foreach is not None:
        return "mapped"
    return {"human": "human", "plan": "plan", "goal": "plan"}.get(step.kind, "step")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def dot(plan: Plan, states: States | None = None) -> str:
    """A graph in the DOT language."""
    graph = plan_graph(plan)
    number = {name: f"n{at}" for at, name in enumerate(plan.steps)}
    lines = [
        f'digraph "{_quoted(_cut(plan.name))}" {{',
        '  node [shape=box style="rounded,filled" fillcolor=white fontname="sans-serif"];',
    ]
    for name, step in plan.steps.items():
        state = (states or {}).get(name)
        label = "\\n".join(_quoted(line) for line in _lines(plan, name, step, state))
        more = {"mapped": " peripheries=2", "human": " shape=hexagon", "plan": " shape=folder"}.get(_shape(step), "")
        if state is not None:
            _, stroke, fill = STATUS_MARKS[state.status]
            more += f' color="{stroke}" fillcolor="{fill}"'
        lines.append(f'  {number[name]} [label="{label}"{more}];')
    for name, step in plan.steps.items():
        for source, word in _waits(plan, name, graph):
            marks = ([f'label="{word}"'] if word else []) + (["style=dashed"] if step.finally_ else [])
            lines.append(f"  {number[source]} -> {number[name]}" + (f" [{' '.join(marks)}];" if marks else ";"))
    return "\n".join([*lines, "}"]) + "\n"


def tree(plan: Plan, states: States | None = None) -> str:
    """Steps by depth as plain text, each with what it waits for; sub-plans below their step. No markup, no colours."""
    return "\n".join([_cut(plan.name), *_tree(plan, states or {}, "")]) + "\n"


def _tree(plan: Plan, states: States, indent: str) -> list[str]:
    graph = plan_graph(plan)
    order = {name: at for at, names in enumerate(graph.generations) for name in names}
    names = sorted(plan.steps, key=lambda name: (plan.steps[name].finally_, order.get(name, 0)))
    lines: list[str] = []
    for at, name in enumerate(names):
        step, state = plan.steps[name], states.get(name)
        last = at == len(names) - 1
        sign = f"{STATUS_MARKS[state.status][0]} " if state is not None else ""
        first, *more = _lines(plan, name, step, state)
        waits = ", ".join(source for source, _ in _waits(plan, name, graph))
        tail = f"  ← {_cut(waits)}" if waits else ""
        last_word = "  (finally)" if step.finally_ else ""
        lines.append(f"{indent}{'└─' if last else '├─'} {sign}{first}  {'  '.join(more)}{tail}{last_word}")
        if step.plan is not None:
            lines += _tree(step.plan, {}, indent + ("   " if last else "│  "))
    return lines
