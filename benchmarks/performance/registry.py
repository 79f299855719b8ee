"""Who takes part in what: contestants, the module that runs each, and reduced sizes for those that grow too fast."""

from dataclasses import dataclass, field

from benchmarks.performance.shapes import SHAPES

OURS = "ours"
FLOOR = "anyio"
LANGGRAPH_FORMS = ("langgraph-static", "langgraph-send")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One row of the tables."""

    name: str
    module: str  #: file below contestants/
    measures: frozenset[str]
    variant: str = ""
    distribution: str = ""  #: whose version is printed
    shapes: frozenset[str] = frozenset(SHAPES)  #: those where it is not the same as another contestant
    reduced: dict[tuple[str, int], int] = field(default_factory=dict)  #: (shape, size) -> size run instead


def _entry(name: str, module: str, measures: str, **more: object) -> Contestant:
    return Contestant(name=name, module=module, measures=frozenset(measures.split()), **more)  # type: ignore[arg-type]  # forwards the optional fields


CONTESTANTS: tuple[Contestant, ...] = (
    _entry(FLOOR, "anyio_bare", "steps growth sessions eager", distribution="anyio"),
    _entry("anyio-semaphore", "anyio_semaphore", "steps", distribution="anyio"),
    _entry("asyncio", "asyncio_bare", "sessions"),
    _entry(OURS, "ours", "steps growth memory sessions eager", distribution="hierarchical-orchestrator"),
    _entry("pydantic-graph", "pydantic_graph_builder", "steps", distribution="pydantic-graph"),
    _entry("langgraph-static", "langgraph_static", "steps sessions eager", distribution="langgraph"),
    _entry("langgraph-send", "langgraph_send", "steps", distribution="langgraph"),
    _entry("langgraph-waves", "langgraph_send", "steps", variant="waves", shapes=frozenset({"dag"})),
    _entry(
        "llamaindex",
        "llamaindex",
        "steps sessions",
        distribution="llama-index-workflows",
        reduced={("fanout", 10_000): 1_000},  # every tick copies all queued events: 10,000 would take minutes
    ),
    _entry("raw-inline-normal", "raw_sqlite", "durable", variant="inline-normal"),
    _entry("raw-inline-full", "raw_sqlite", "durable", variant="inline-full"),
    _entry("raw-writer-normal", "raw_sqlite", "durable", variant="writer-normal"),
    _entry("raw-writer-full", "raw_sqlite", "durable", variant="writer-full"),
    _entry(OURS, "ours", "durable", variant="sqlite", distribution="hierarchical-orchestrator"),
    _entry("langgraph-static", "langgraph_sqlite", "durable", variant="static-full"),
    _entry(
        "langgraph-send",
        "langgraph_sqlite",
        "durable",
        variant="send-full",
        distribution="langgraph-checkpoint-sqlite",
    ),
    _entry("langgraph-send-normal", "langgraph_sqlite", "durable", variant="send-normal"),
    _entry("langgraph-task", "langgraph_sqlite", "durable", variant="task-full"),
    _entry(OURS, "gateway_calls", "gateway", distribution="openai"),
    _entry("dbos", "dbos_sqlite", "durable", variant="full", distribution="dbos"),
)


def chosen(measure: str, names: tuple[str, ...]) -> list[Contestant]:
    """Contestants of `measure`; `names` keeps those named, or whose name starts with a given name and a dash."""
    return [
        contestant
        for contestant in CONTESTANTS
        if measure in contestant.measures
        and (not names or any(contestant.name == name or contestant.name.startswith(f"{name}-") for name in names))
    ]


def known(name: str) -> bool:
    """Whether `name` selects any contestant."""
    return any(entry.name == name or entry.name.startswith(f"{name}-") for entry in CONTESTANTS)
