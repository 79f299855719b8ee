"""The offline file and the files of the page: policy, hashes, what ends no element, what is vendored as published."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core import facts as f
from orchestrator.core.codec import without_payload
from orchestrator.errors import PromiseError
from orchestrator.service.http.page import POLICY
from orchestrator.service.page.offline import bundle, offline_file, static
from tests.page.hostile import HOSTILE, hostile_ended
from tests.page.plays import NOON_S, brief, wide

STATIC = Path(str(files("orchestrator.service.page") / "static"))
OWN = sorted(path.name for path in STATIC.glob("*.js"))
#: SHA-256 of what npm publishes, without its source map line, below our notice; hooks.js imports ./preact.js
VENDORED = {
    "hooks.js": "611a59a4a074016ba1069fafa5fd32d57beda8d85c9dd5216afb52c14342359c",
    "htm.js": "72e14989af4ef9149ca14c7ec6e616259f6258589dcc6ce3c495028dbebd9608",
    "preact.js": "9919c63e25a6bc929212508e00267523888d312810df04371f9663376a9a5fe4",
}


class Read(HTMLParser):
    """Every element of a file, with its attributes and, of scripts and styles, its text."""

    CDATA_CONTENT_ELEMENTS = ("script", "style")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", {}, ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attrs, text = self.found[-1]
            self.found[-1] = (tag, attrs, text + data)


def read(text: str) -> list[tuple[str, dict[str, str | None], str]]:
    parser = Read()
    parser.feed(text)
    return [one for one in parser.found if not one[0].startswith("/")]


def sha(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def data_of(text: str) -> Any:
    return next(json.loads(body) for tag, attrs, body in read(text) if attrs.get("id") == "data")


def test_the_policy_allows_the_one_script_and_the_one_style_and_nothing_else() -> None:
    found = read(offline_file(brief(), {}, made_at_s=NOON_S))
    policy = next(attrs["content"] for tag, attrs, _ in found if attrs.get("http-equiv"))
    scripts = [body for tag, attrs, body in found if tag == "script" and attrs["type"] == "module"]
    styles = [body for tag, _, body in found if tag == "style"]

    assert len(scripts) == len(styles) == 1
    assert policy == (
        f"default-src 'none'; script-src '{sha(scripts[0])}'; style-src '{sha(styles[0])}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_it_holds_the_run_and_asks_for_nothing() -> None:
    text = offline_file(brief(), {}, made_at_s=NOON_S)
    told = data_of(text)
    run_id = str(brief()[0].run_id)

    assert (told["run"], told["made_at"], [*told["runs"]]) == (run_id, NOON_S, [run_id])
    run = told["runs"][run_id]
    assert run["page"]["run"]["status"] == "degraded"
    assert sorted(run["steps"]) == sorted([
        "approve", "draft", "prices", "publish", "sizing", "tidy", "sources", *(f"sources[{n}]" for n in range(12)),
    ])  # fmt: skip
    assert run["plan"]["name"] == "market-brief"
    assert {tag for tag, attrs, _ in read(text) if "src" in attrs or "href" in attrs} == set()


def test_it_is_the_same_for_the_same_run() -> None:
    assert offline_file(brief(), {}, made_at_s=NOON_S) == offline_file(brief(), {}, made_at_s=NOON_S)


def test_sub_plans_come_with_their_run() -> None:
    below = {"wide-300": wide(300, 10)}

    assert [*data_of(offline_file(brief(), below, made_at_s=NOON_S))["runs"]] == [str(brief()[0].run_id), "wide-300"]


def test_no_text_of_a_run_ends_an_element_or_begins_one() -> None:
    text = offline_file(hostile_ended(), {}, made_at_s=NOON_S)

    assert [tag for tag, _, _ in read(text)] == [
        "html", "head", "meta", "meta", "meta", "meta", "title", "style", "body", "div", "noscript", "script", "script",
    ]  # fmt: skip
    assert data_of(text)["runs"]["hostile"]["page"]["run"]["reason"] == HOSTILE
    assert "\u2028" not in text


def test_a_large_run_lists_its_folded_steps_and_tells_some_in_full() -> None:
    told = data_of(offline_file(wide(2_000, 2_000, 50), {}, made_at_s=NOON_S))["runs"]["wide-2000"]

    assert 0 < len(told["steps"]) <= 400
    assert sum(map(len, told["members"].values())) == 2_000


def test_a_run_whose_plan_was_forgotten_is_refused() -> None:
    gone = [
        replace(one, fact=without_payload(one.fact), forgotten=True) if isinstance(one.fact, f.PlanFrozen) else one
        for one in brief()
    ]
    with pytest.raises(PromiseError, match="has no plan that can be drawn"):
        offline_file(gone, {}, made_at_s=NOON_S)


# ---- the files of the page


def test_every_module_that_is_imported_is_there_and_loaded_at_once() -> None:
    index = static("index.html")
    told = {attrs["href"] for tag, attrs, _ in read(index) if tag == "link" and attrs["rel"] == "modulepreload"}
    vendored = {f"vendor/{path.name}" for path in (STATIC / "vendor").glob("*.js")}

    assert told == ({*OWN} - {"main.js", "offline.js"}) | vendored
    for name in OWN:
        for _, path in re.findall(r'^import (.+?) from "\./(.+?)";$', static(name), re.MULTILINE):
            assert (STATIC / path).is_file(), (name, path)


def test_the_bundle_holds_every_module_once_and_no_import_or_export() -> None:
    text = bundle("offline.js")

    assert len(re.findall(r"^const m_\w+ = \(\(\) => \{$", text, re.MULTILINE)) == 15
    assert re.findall(r"^\s*(?:import|export)\b", text, re.MULTILINE) == []
    assert re.findall(r"(?:import|export)[ {].{0,40}from ?[\"']", text) == []


@pytest.mark.parametrize("name", OWN)
def test_own_modules_make_text_and_never_markup(name: str) -> None:
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function|srcdoc"
    )

    assert re.findall(forbidden, static(name)) == []
    assert re.findall(r"https?://", static(name)) == []


@pytest.mark.parametrize("name", sorted(VENDORED))
def test_vendored_files_are_as_they_were_published(name: str) -> None:
    assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == VENDORED[name]


def test_the_whole_page_is_small() -> None:
    assert sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file()) < 200_000


def test_the_policy_of_the_page_allows_its_own_files_alone() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))

    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("frame-ancestors") == "'none'"
    assert set(rules.values()) == {"'self'"}
