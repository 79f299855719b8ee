"""The pools that ship: research over documents, analyst, writer, critic; each usable from YAML by its name."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from orchestrator.core.results import Succeeded
from orchestrator.ids import JsonValue
from orchestrator.plan.check import refuse_errors
from orchestrator.plan.files import parse_plan
from orchestrator.ports.tasks import TaskEvidence
from tests.agents.saying import Saying, calls, says
from tests.engine.conftest import OpenEngine
from tests.workers.conftest import Bench
from workers import Registry
from workers.kinds import analyst as analyst_module
from workers.kinds import library as library_module
from workers.kinds.critic import Review, critic
from workers.kinds.library import Library
from workers.kinds.research import FOLDER_VARIABLE, research, research_pool

pytestmark = pytest.mark.anyio
Start = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "library"
    (home / "sub").mkdir(parents=True)
    (home / "pumps.md").write_text("# Heat pumps\n\nA heat pump moves heat.\n\n## Numbers\n\nThe COP is 3.4 in 2024.\n")
    (home / "sub" / "boilers.txt").write_text("A boiler burns gas. Its efficiency is 0.9.")
    (home / "page.html").write_text(
        "<html><head><title>x</title><style>p{}</style></head><body><h2>Solar</h2><p>Panels give <b>power</b>.</p>"
        "<script>alert('COP')</script></body></html>"
    )
    (home / "broken.pdf").write_bytes(b"%PDF-1.4 not really")
    (home / ".hidden.md").write_text("COP COP COP")
    (tmp_path / "outside.md").write_text("COP outside")
    (home / "link.md").symlink_to(tmp_path / "outside.md")
    return home


def pdf(text: str) -> bytes:
    """A PDF of one page that says a text."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources <</Font <</F1 5 0 R>>>>>>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    return body + b"xref\n0 6\n0000000000 65535 f \n" + table + end


def test_a_library_finds_passages_in_each_kind_of_document(folder: Path) -> None:
    (folder / "paper.pdf").write_bytes(pdf("Geothermal wells are deep"))
    library = Library(folder)
    assert library.documents() == ["broken.pdf", "page.html", "paper.pdf", "pumps.md", "sub/boilers.txt"][1:]
    found = {
        word: [one.document for _, one in library.search(word)] for word in ("COP", "gas", "panel", "wells", "zzz")
    }
    assert found == {
        "COP": ["pumps.md"],
        "gas": ["sub/boilers.txt"],
        "panel": ["page.html"],
        "wells": ["paper.pdf"],
        "zzz": [],
    }
    ((_, passage),) = library.search("COP")
    assert (passage.number, passage.heading, passage.text) == (2, "Numbers", "## Numbers\n\nThe COP is 3.4 in 2024.")
    assert [one.heading for one in library.read("pumps.md")] == ["Heat pumps", "Numbers"]
    assert list(library.unread) == ["broken.pdf"]
    assert "damaged" in library.unread["broken.pdf"]


def test_what_fits_better_comes_first(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"d{number:02}.md").write_text("heat " * 5 + "pump " * (number == 7) + "filler words " * 20)
    found = Library(tmp_path).search("heat pump", limit=3)
    assert next(one.document for _, one in found) == "d07.md"
    assert len(found) == 3
    assert [score for score, _ in found] == sorted((score for score, _ in found), reverse=True)


def test_a_change_is_seen(folder: Path) -> None:
    library = Library(folder)
    assert not library.search("fusion")
    (folder / "new.md").write_text("fusion")
    assert [one.document for _, one in library.search("fusion")] == ["new.md"]
    (folder / "new.md").unlink()
    assert not library.search("fusion")


def test_a_long_document_is_read_in_passages(tmp_path: Path) -> None:
    (tmp_path / "long.md").write_text(
        "\n\n".join(f"paragraph {n} " + "x" * 300 for n in range(100)) + "\n\n" + "y" * 9_000
    )
    library = Library(tmp_path)
    passages = [passage for start in range(1, 60, 10) for passage in library.read("long.md", start, 10)]
    assert [passage.number for passage in passages] == list(range(1, len(passages) + 1))
    assert all(len(passage.text) <= 2 * library_module.PASSAGE_CHARS for passage in passages)
    joined = "\n\n".join(passage.text for passage in passages)
    assert joined.count("paragraph") == 100
    assert joined.count("y") == 9_000


def test_a_library_has_a_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "DOCUMENTS_MAX", 2)
    with pytest.raises(Exception, match="name a smaller folder"):
        Library(folder).search("x")


async def test_the_research_agent_quotes_from_the_folder_of_the_environment(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    lines = [
        calls(("search_documents", {"query": "COP of heat pumps"}), ("list_documents", {})),
        calls(("read_document", {"document": "pumps.md", "start": 2})),
        calls(("read_document", {"document": "../outside.md"})),
        says("3.4 in 2024 (pumps.md)"),
    ]
    models = Saying(lines)
    async with start(research, models) as bench:
        assert await bench.output(None, instruction="What is the COP?") == "3.4 in 2024 (pumps.md)"
        evidence = [(m.tool, m.result) for m in bench.messages if isinstance(m, TaskEvidence)]
        direct = await bench.output("search", {"query": "COP"})
    assert [tool for tool, _ in evidence] == ["search_documents", "list_documents", "read_document"]
    assert "there is no document '../outside.md'" in models.prompts[3].messages[-1].content
    assert [one["document"] for one in direct["passages"]] == ["pumps.md"]  # type: ignore[index,call-overload,union-attr]  # an Answer
    assert direct["unread"][0].startswith("broken.pdf: ")  # type: ignore[index,call-overload,union-attr]  # same


async def test_a_folder_that_is_not_there_ends_the_attempt(start: Start, tmp_path: Path) -> None:
    async with start(research_pool("r", str(tmp_path / "nowhere")), Saying([])) as bench:
        failed = await bench.failure("search", {"query": "x"})
    assert (failed.error, "is no folder" in failed.message) == ("terminal", True)


async def test_the_analyst_calculates_over_the_values_of_its_step(start: Start) -> None:
    asked = calls(
        ("calculate", {"expression": "sum(data.costs) * 2"}),
        ("calculate", {"expression": "__import__('os')"}),
        ("calculate", {"expression": "9 ** 9 ** 9"}),
        ("describe", {"numbers": [1, 2, 3, 4]}),
        ("trend", {"x": [1, 2, 3], "y": [2, 4, 6]}),
        ("trend", {"x": [1, 1], "y": [2, 4]}),
    )
    models = Saying([asked, says("12")])
    async with start(analyst_module.analyst, models) as bench:
        assert await bench.output(None, {"costs": [1, 2, 3]}, instruction="Twice the costs?") == "12"
        results = [m.result for m in bench.messages if isinstance(m, TaskEvidence)]
    told = [message.content for message in models.prompts[1].messages[-6:]]
    results.sort(key=lambda one: ("slope" in str(one), "count" in str(one)))  # they run at the same time
    assert results[0] == 12
    assert "error:" in told[1]
    assert "error:" in told[2]
    assert {
        key: value
        for key, value in dict(results[1]).items()
        if key not in {"deviation", "quartiles"}  # type: ignore[arg-type]  # a Description
    } == {"count": 4, "total": 10, "mean": 2.5, "median": 2.5, "low": 1, "high": 4}
    assert dict(results[2])["slope"] == 2.0  # type: ignore[arg-type]  # a Trend
    assert "error: x is constant" in told[5]


REVIEWED = """
version: 1
name: reviewed
inputs: {topic: {type: string}}
steps:
  facts:
    pool: research
    task: What do the documents say about ${{ inputs.topic }}?
  draft:
    pool: writer
    task: One sentence on the topic.
    with: {facts: "${{ steps.facts.output }}"}
    checks:
      - call: review
        pool: critic
        with: {rubric: The sentence says nothing beyond the facts, facts: "${{ steps.facts.output }}"}
    on_fail: [{retry: 1}]
  sums:
    pool: analyst
    call: analyse
    with: {numbers: [1, 2, 3]}
result: ${{ steps.draft.output }}
"""


async def test_the_pools_work_from_a_plan_file_by_name(
    open_engine: OpenEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    plan = parse_plan(REVIEWED)
    registry = Registry.from_modules()
    refuse_errors(plan, registry)
    fix: JsonValue = {"verdict": "fix", "reasons": ["the year is missing"], "score": 0.2}
    drafts = iter(["Pumps have a COP of 3.4.", "Pumps have a COP of 3.4 in 2024."])
    verdicts = iter([fix, {"verdict": "pass", "reasons": [], "score": 0.9}])

    def answer(prompt: object) -> object:
        said = prompt.messages[0].content  # type: ignore[attr-defined]  # a prompt
        if said.startswith("You judge work"):
            return says(next(verdicts))  # type: ignore[arg-type]  # JSON
        return says(next(drafts) if said.startswith("You write texts") else "COP 3.4 in 2024 (pumps.md)")

    models = Saying([answer] * 9)  # type: ignore[list-item]  # lines
    async with open_engine(*registry, models=models) as engine:
        result = await (await engine.submit(plan, {"topic": "COP"})).result()
    assert isinstance(result, Succeeded)
    assert result.output == "Pumps have a COP of 3.4 in 2024."
    judged = [prompt for prompt in models.prompts if prompt.messages[0].content.startswith("You judge work")]
    assert [prompt.tier for prompt in judged] == ["strong", "strong"]
    assert judged[0].output_schema == Review.model_json_schema()
    again = [prompt for prompt in models.prompts if "the year is missing" in prompt.messages[1].content]
    assert len(again) == 1


def test_the_critic_gives_what_checks_understand() -> None:
    assert critic.functions["review"].needs_model
    assert set(Review.model_json_schema()["properties"]) == {"verdict", "reasons", "score"}
