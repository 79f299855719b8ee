"""The page in a real Chromium, against a running service: live colours, panel, approval, cancel, keys, keyboard."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Route

from orchestrator.ids import RunId, StepId
from orchestrator.plan.models import Plan
from orchestrator.ports.tasks import TaskDelta, TaskKey
from tests.page.conftest import PASSED, WATCHED, Open, Seen
from tests.page.hostile import hostile
from tests.page.plays import brief, failed, wide
from tests.page.serving import Served, served

pytestmark = pytest.mark.browser


def run_page(service: Served, run: RunId | str, query: str = "") -> str:
    return f"{service.url}/ui/#/runs/{run}{query}"


def clean(seen: Seen, service: Served) -> None:
    """No error, no refusal of the policy, no request to another host."""
    assert seen.complaints == []
    assert [url for url in seen.asked if not url.startswith((service.url, "blob:"))] == []


def open_gate(service: Served, name: str) -> None:
    async def work() -> None:
        service.house.gates.open(name)

    service.call(work)


def test_a_run_that_is_submitted_appears_and_its_colours_follow_it(service: Served, look: Open) -> None:
    with look(service.url) as seen:
        assert seen.page.url == f"{service.url}/ui/"
        run = service.submit("gated", {"name": "colours"})
        seen.page.click(f'a[href="#/runs/{run}"]')
        node = seen.page.locator('[data-node="slow"]')
        seen.page.wait_for_selector('[data-node="slow"].s-running')
        words = ("h1", ".runhead .status", ".badge")
        seen.becomes(lambda: [*map(seen.text, words)], ["gated", "running", "live"])
        seen.holds(
            "said => document.querySelector('[data-node=\"slow\"] .n1').textContent.startsWith(said)",
            "slow, running, on the critical path.",
        )
        running = node.evaluate("one => getComputedStyle(one).borderLeftColor")
        open_gate(service, "colours")
        seen.page.wait_for_selector('[data-node="slow"].s-passed')
        seen.page.wait_for_selector(".badge.b-ended")

        seen.becomes(lambda: [*map(seen.text, words)], ["gated", "succeeded", "ended"])
        assert node.evaluate("one => getComputedStyle(one).borderLeftColor") != running
        assert seen.page.get_attribute(".sheet", "data-layouts") == "1"
        clean(seen, service)


def test_the_panel_tells_attempts_side_by_side_and_what_changed(service: Served, look: Open) -> None:
    run = service.add(brief())
    with look(run_page(service, run)) as seen:
        seen.page.click('[data-node="draft"]')
        seen.page.wait_for_selector(".attempt")
        assert seen.texts(".attempt h3") == ["Attempt 1", "Attempt 2"]
        assert seen.texts(".attempt .refused .reason") == ["11.2 million is not in the sizing", "no source is named"]
        assert seen.text(".why") == "passed after 2 attempts, 30 s, 0.23 USD, 38200 tokens"
        seen.page.get_by_role("button", name="compare the last two").click()
        seen.page.wait_for_selector(".diff .minus")
        seen.page.wait_for_selector(".diff .plus")
        seen.page.get_by_role("link", name="Inputs").click()
        seen.page.wait_for_selector('pre[aria-label="Instruction"]')
        assert seen.text('pre[aria-label="Instruction"]') == "Write the brief. Use only the sizing and the sources."
        seen.page.get_by_role("link", name="Story").click()
        seen.page.wait_for_selector(".story li")
        seen.becomes(lambda: seen.texts(".story li span")[-1][:8], "passed: ")
        assert "step=draft" in seen.page.url
        assert "tab=story" in seen.page.url
        clean(seen, service)


def test_a_link_leads_to_an_attempt_of_a_branch(service: Served, look: Open) -> None:
    run = "deep-" + "link"
    service.add([*_renamed(brief(), run)])
    with look(run_page(service, run, "?step=sources&branch=4&attempt=1"), ready=".attempt") as seen:
        assert (seen.text(".panel h2"), seen.texts(".attempt h3")) == ("sources[4]", ["Attempt 1"])
        assert seen.text(".attempt .bad") == "rate_limit: 429 from the endpoint"
        clean(seen, service)


def _renamed(records: Any, run: str) -> Iterator[Any]:
    """The same journal under another id."""
    from dataclasses import replace

    for record in records:
        fact = record.fact
        yield replace(record, fact=replace(fact, run=run, origin=run) if fact.KIND == "run.accepted" else fact)


def test_a_failed_run_opens_at_its_root_cause_with_what_follows_folded(service: Served, look: Open) -> None:
    run = service.add(failed())
    with look(run_page(service, run), ready=".panel .attempt") as seen:
        assert (seen.text(".panel h2"), seen.text(".panel .status")) == ("sizing", "failed")
        assert seen.text(".banner.failed .cause") == "terminal: division by zero in size_market, row 7"
        assert seen.page.locator(".banner.failed details").get_attribute("open") is None
        seen.page.click(".banner.failed summary")
        seen.becomes(lambda: seen.texts(".banner.failed .names a"), ["draft", "approve", "publish"])
        clean(seen, service)


def test_a_person_answers_and_the_run_goes_on(service: Served, look: Open) -> None:
    run = service.submit("asks", {"text": "to be read"})
    with look(f"{service.url}/ui/#/approvals", ready=".question") as seen:
        question = seen.page.locator(".question", has_text="to be read")
        assert " ".join(question.locator("dl").inner_text().split()).startswith("run asks step ask answer by ")
        assert "if nobody does hold" in " ".join(question.locator("dl").inner_text().split())
        assert " ".join(question.locator(".next li").inner_text().split()) == (
            'after call note in desk if steps.ask.output.choice == "publish"'
        )
        question.get_by_label("Reason, for the journal").fill("read it")
        question.get_by_role("button", name="publish").click()
        seen.page.goto(run_page(service, run, "?step=ask"))
        seen.page.wait_for_selector(".badge.b-ended")
        seen.becomes(lambda: seen.texts(".attempt .plainlist li")[1:2], ["local chose publish: read it"])
        seen.page.wait_for_selector('[data-node="after"].s-passed')
        clean(seen, service)


def test_a_question_of_a_sub_plan_is_asked_on_the_page_of_its_run_too(service: Served, look: Open) -> None:
    human = {"human": {"ask": "Below?", "choices": ["on", "off"], "then": "off", "expires": "1h"}}
    inner = {"version": 1, "name": "inner", "steps": {"one": human}}
    plan = Plan.model_validate({"version": 1, "name": "outer", "steps": {"sub": {"plan": inner}}})

    async def begin() -> RunId:
        return (await service.house.engine.submit(plan, {})).id

    run = service.call(begin)
    with look(run_page(service, run, "?step=sub"), ready=".question") as seen:
        assert seen.text(".question h3") == "Below?"
        seen.page.wait_for_selector(f'.panel a[href="#/runs/{run}.sub"]')
        seen.page.get_by_role("button", name="on", exact=True).click()
        seen.page.wait_for_selector(".badge.b-ended")
        seen.becomes(lambda: seen.text(".runhead .status"), "succeeded")
        clean(seen, service)


def test_what_the_visible_step_s_worker_says_streams_in(service: Served, look: Open) -> None:
    run = service.submit("gated", {"name": "said"})

    async def say(step: str, *pieces: str) -> None:
        driver = service.house.engine.runs.driver(run)
        assert driver is not None
        key = TaskKey(run_id=run, step_id=StepId(step), branch=-1, attempt=1)
        for piece in pieces:
            for heard in driver.watchers:
                heard(TaskDelta(key=key, worker="w", text=piece))

    async def listeners() -> int:
        driver = service.house.engine.runs.driver(run)
        return len(driver.watchers) if driver is not None else 0

    with look(run_page(service, run), ready=".node") as seen:
        assert service.call(listeners) == 0  # nobody listens before a step is looked at
        seen.page.click('[data-node="slow"]')
        seen.page.wait_for_selector(".said")
        while not service.call(listeners):
            seen.page.wait_for_timeout(10)
        service.call(say, "other", "not for this step")
        service.call(say, "slow", "Once ", "upon <b>a</b> time")
        seen.becomes(lambda: seen.page.text_content(".said pre"), "Once upon <b>a</b> time")
        open_gate(service, "said")
        seen.page.wait_for_selector(".badge.b-ended")
        clean(seen, service)


def test_the_panel_of_a_step_that_changes_all_the_time_is_told_all_the_same(service: Served, look: Open) -> None:
    names = [f"busy-{number}" for number in range(200)]
    each = {"pool": "desk", "call": "gated", "foreach": {"over": names, "as": "name", "max_parallel": 8},
            "with": {"name": "${{ name }}"}}  # fmt: skip
    plan = Plan.model_validate({"version": 1, "name": "busy", "budget": {"steps": 300}, "steps": {"each": each}})

    async def begin() -> RunId:
        return (await service.house.engine.submit(plan, {})).id

    run = service.call(begin)
    held: list[tuple[int, Route]] = []  # answers that take as long as ten changes
    opened = 0
    with look(run_page(service, run), ready=".node.s-running") as seen:
        seen.page.route("**/page/steps/**", lambda route: held.append((opened + 10, route)))
        seen.page.click('[data-node="each"]')
        while seen.page.locator(".panel .branches").count() == 0 and opened < len(names):
            open_gate(service, names[opened])
            opened += 1
            seen.holds(PASSED, opened)  # as fast as the page can take it, and no faster
            while held and held[0][0] <= opened:
                held.pop(0)[1].continue_()
        seen.page.unroute("**/page/steps/**")
        for _, route in held:
            route.continue_()
        for name in names[opened:]:
            open_gate(service, name)
        seen.page.wait_for_selector(".badge.b-ended")
        seen.page.wait_for_selector(".panel .why.s-passed")

        assert opened < len(names)  # it was told before the changes had ended
        seen.becomes(lambda: seen.text(".panel .why"), "passed: branches 200 passed")
        clean(seen, service)


def test_a_page_that_was_cut_off_comes_back_and_misses_nothing(look: Open) -> None:
    with served() as service:
        run = service.submit("gated", {"name": "cut"})
        with look(run_page(service, run), ready=".badge.b-live") as seen:
            seen.page.wait_for_selector(".node.s-running")

            async def cut() -> None:
                service.house.app.state.kept.feeds.leave()

            seen.page.evaluate(WATCHED)
            service.call(cut)
            seen.holds("() => badges.includes('badge b-reconnecting') && document.querySelector('.badge.b-live')")
            open_gate(service, "cut")
            seen.page.wait_for_selector(".badge.b-ended")

            seen.page.wait_for_selector(".node.s-passed")
            assert seen.page.get_attribute(".sheet", "data-layouts") == "1"


def test_a_run_is_cancelled_and_run_again(service: Served, look: Open) -> None:
    run = service.submit("gated", {"name": "never"})
    with look(run_page(service, run), ready=".node") as seen:
        seen.page.get_by_role("button", name="cancel").click()
        seen.page.get_by_label("Reason, for the journal").fill("not needed")
        seen.page.get_by_role("button", name="cancel the run").click()
        seen.page.wait_for_selector(".badge.b-ended")
        seen.becomes(lambda: [seen.text(".runhead .status"), seen.text(".banner")], ["cancelled", "not needed"])
        seen.page.get_by_role("button", name="retry").click()
        seen.becomes(lambda: seen.texts("dialog .names span"), ["slow"])
        open_gate(service, "never")
        seen.page.get_by_role("button", name="start a new run").click()
        seen.holds("id => location.hash.startsWith('#/runs/') && !location.hash.includes(id)", run)
        seen.page.wait_for_selector('[data-node="slow"].s-passed')
        clean(seen, service)


def test_filters_are_held_in_the_address_and_the_list_is_live(service: Served, look: Open) -> None:
    with look(f"{service.url}/ui/#/runs?plan=double&status=succeeded") as seen:
        seen.page.wait_for_selector(".empty")
        service.submit("double")
        seen.page.wait_for_selector("tbody tr")
        assert seen.page.get_by_role("button", name="succeeded").get_attribute("aria-pressed") == "true"
        failed = seen.page.get_by_role("button", name="failed")
        failed.click()
        seen.becomes(lambda: failed.get_attribute("aria-pressed"), "true")
        assert seen.page.evaluate("location.hash") == "#/runs?plan=double&status=succeeded%2Cfailed"
        seen.page.wait_for_selector("tbody tr")
        seen.page.fill("#find", "no such run")
        seen.page.wait_for_selector(".empty")
        seen.holds("() => location.hash.includes('q=no')")
        clean(seen, service)


def test_everything_is_reached_by_keyboard(service: Served, look: Open) -> None:
    run = service.add([*_renamed(brief(), "by-keyboard")])
    with look(f"{service.url}/ui/#/runs", ready="tbody tr") as seen:
        keys = seen.page.keyboard
        keys.press("/")
        seen.holds("() => document.activeElement.id === 'find'")
        keys.type("market-brief")
        seen.holds("() => location.hash.endsWith('q=market-brief') && document.querySelector('tbody tr') !== null")
        keys.press("Tab")
        seen.holds("() => document.activeElement.id !== 'find'")
        keys.press("j")
        seen.holds("() => document.activeElement.className === 'rowlink'")
        seen.page.goto(run_page(service, run))
        seen.page.wait_for_selector(".node")
        seen.page.locator('[data-node="sources"]').focus()
        for key, node in (("ArrowDown", "sizing"), ("ArrowDown", "draft"), ("ArrowUp", "sizing")):
            keys.press(key)
            seen.holds("node => document.activeElement.dataset.node === node", node)
        keys.press("Enter")
        seen.page.wait_for_selector(".panel .attempt")
        seen.becomes(lambda: seen.text(".panel h2"), "sizing")
        seen.page.locator(".panel button").first.focus()
        keys.press("Escape")
        seen.page.wait_for_selector(".panel", state="detached")
        seen.holds("() => document.activeElement.dataset.node === 'sizing'")
        keys.press("Enter")
        seen.page.wait_for_selector(".panel .attempt")
        seen.page.evaluate("document.activeElement.blur()")
        keys.press("Escape")  # from anywhere: what had the focus may have been drawn anew
        seen.page.wait_for_selector(".panel", state="detached")
        clean(seen, service)


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_for_those_who_ask_for_that(service: Served, look: Open, motion: str) -> None:
    run = service.submit("gated", {"name": motion})
    with look(run_page(service, run), motion=motion, ready=".node.s-running") as seen:
        moving = seen.page.locator(".node .icon").evaluate("one => getComputedStyle(one).animationName")
    open_gate(service, motion)

    assert moving == ("none" if motion == "reduce" else "pulse")


def test_hostile_texts_are_shown_as_text(service: Served, look: Open) -> None:
    run = service.add(hostile())
    tabs = {"attempts": ".attempt", "inputs": ".panel pre", "story": ".story li", "plan": ".panel pre"}
    views = {"timeline": ".timeline li", "steps": "tbody tr", "costs": ".costs tbody tr", "result": ".value"}
    boards = {"runs": "tbody tr", "approvals": ".question, .empty", "costs": "tbody tr", "pools": "tbody tr"}
    places = {
        **{run_page(service, run, f"?step=one&tab={tab}"): ready for tab, ready in tabs.items()},
        **{run_page(service, run, f"?view={view}"): ready for view, ready in views.items()},
        **{run_page(service, run, f"?step={step}"): ".panel .why" for step in ("ask", "two")},
        **{f"{service.url}/ui/#/{board}": ready for board, ready in boards.items()},
    }
    first = next(iter(places))
    with look(first, ready=".attempt") as seen:
        for address, ready in places.items():
            seen.visit(address, ready)
            seen.page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
            seen.page.evaluate("new Promise(drawn => requestAnimationFrame(() => setTimeout(drawn)))")
            assert seen.page.evaluate("window.broken") is None
            assert seen.page.locator("#page img, #page script, #page iframe").count() == 0
        seen.visit(first, ".attempt")
        seen.page.get_by_role("button", name="compare the last two").click()
        seen.page.wait_for_selector(".diff")
        assert "onerror" in seen.page.inner_text("main")
        assert seen.page.evaluate("({}).broken") is None
        clean(seen, service)


def test_three_hundred_nodes_are_drawn_without_one_over_another(service: Served, look: Open) -> None:
    run = service.add(wide(300, 137))
    with look(run_page(service, run), ready=".node") as seen:
        seen.page.wait_for_selector(".node.s-running")
        boxes = seen.page.locator(".node").evaluate_all(
            "all => all.map(one => [one.offsetLeft, one.offsetTop, one.offsetWidth, one.offsetHeight])"
        )
        scale = seen.page.locator(".scaled").evaluate("one => new DOMMatrix(getComputedStyle(one).transform).a")
        clean(seen, service)

    assert len(boxes) == 300
    assert scale >= 0.7  # readable: it scrolls rather than shrinks
    over = [
        (a, b)
        for at, a in enumerate(boxes)
        for b in boxes[:at]
        if a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
    ]
    assert over == []


def test_ten_thousand_steps_are_folded_and_laid_out_once(service: Served, look: Open, capsys: Any) -> None:
    run = service.add(wide(10_000, width=100))
    with look(run_page(service, run), ready=".node") as seen:
        seen.page.wait_for_selector(".badge.b-ended")
        nodes = seen.page.locator(".node").count()
        drawn = seen.page.evaluate("performance.getEntriesByName('graph-drawn').map(one => one.startTime)")
        asked = seen.page.evaluate("performance.timing.responseEnd - performance.timeOrigin")
        layouts = seen.page.get_attribute(".sheet", "data-layouts")
        seen.page.click(".node >> nth=0")
        seen.page.wait_for_selector(".panel .branches a")
        seen.page.click(".panel .branches a >> nth=0")
        seen.page.wait_for_selector(".panel .attempt")
        still = seen.page.get_attribute(".sheet", "data-layouts")
        clean(seen, service)
    with capsys.disabled():
        since = drawn[0] - asked
        print(f"\n10,000 steps: drawn {drawn[0]:.0f} ms after navigation began, {since:.0f} ms after the page had come")

    assert 0 < nodes <= 300
    assert (layouts, still, len(drawn)) == ("1", "1", 1)


def test_everything_of_a_run_can_be_downloaded(service: Served, look: Open) -> None:
    run = service.add([*_renamed(brief(), "downloads")])
    with look(run_page(service, run), ready=".node") as seen:
        found = {}
        for word in ("events, as JSON lines", "plan, as JSON", "result, as JSON", "this run, as one HTML file"):
            seen.page.locator(".menu").evaluate("one => one.open = true")
            with seen.page.expect_download() as waited:
                seen.page.get_by_role("button", name=word).click()
            found[waited.value.suggested_filename] = waited.value.path().read_text()
        clean(seen, service)

    assert [*found] == ["downloads.events.jsonl", "downloads.plan.json", "downloads.result.json", "downloads.html"]
    assert len(found["downloads.events.jsonl"].splitlines()) == len(brief())
    assert json.loads(found["downloads.plan.json"])["name"] == "market-brief"
    assert found["downloads.html"].startswith("<!doctype html>")
