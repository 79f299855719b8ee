"""Pages lead somewhere, promise what is kept, and say what there is today."""

import re
from pathlib import Path

import pytest

from orchestrator.plan.drawing import mermaid
from orchestrator.plan.files import load_plan
from tests.docs.pages import FENCE, blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
#: Praise is for others to give, and what does not exist yet is not announced.
FORBIDDEN = re.compile(
    r"\b(blazing\w*|seamless\w*|effortless\w*|revolutionary|world-class|enterprise-grade|battle-tested|coming soon|"
    r"state of the art|game.changing|issue \d+|issue #\d+|guaranteed? exactly.once)\b",
    re.IGNORECASE,
)


def anchors(page: Path) -> set[str]:
    """Names of the headings, as they are linked to."""
    said = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in said}


@pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for found in LINK.finditer(FENCE.sub("", page.read_text())):
        target, _, anchor = (found[1] or found[2]).partition("#")
        file = page if not target else (page.parent / target).resolve()
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(found[0])
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_no_praise_and_no_announcements(page: Path) -> None:
    assert [found[0] for found in FORBIDDEN.finditer(page.read_text())] == []


def test_every_guide_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [
        page.name for page in (ROOT / "docs" / "guides").glob("*.md") if f"docs/guides/{page.name}" not in readme
    ] == []


def test_files_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:cli|core|engine|plan|ports|workers|orchestrator|tools)/[\w/]+\.py)`", text))
    assert len(named) > 20
    missing = [name for name in named if not any((ROOT / base / name).exists() for base in ("", "orchestrator"))]
    assert missing == []


def test_the_drawing_in_the_readme_is_the_one_of_the_demo() -> None:
    def edges(drawing: str) -> list[str]:
        return [line for line in drawing.splitlines() if "-->" in line]

    [shown] = [block.body for block in blocks((ROOT / "README.md").read_text()) if block.language == "mermaid"]
    assert edges(shown) == edges(mermaid(load_plan(ROOT / "plans" / "dependency-audit.plan.yaml")))
