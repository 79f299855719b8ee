"""Sessions, webhooks, schedules, costs, thumbs and the page of another tenant: asked for, guessed, and never told."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from tests.service.http.threaded import Threaded, threaded

MARK = "only-acme-knows-this"
NOBODYS = {
    "run": "01a20000-0000-7000-8000-000000000000",
    "session": "nobodys",
    "webhook": "wh_0000000000000000",
    "schedule": "sc_0000000000000000",
    "message": "msg_" + "0" * 32,
}
#: Whatever a tenant writes into a session of this name begins one of its own: nobody has it, so nobody is refused.
BEGINS = {("post", "/v1/sessions/{session}/turns"), ("post", "/v1/sessions/{session}/facts")}
BODIES = {
    "/v1/sessions/{session}/turns": {"plan": "asks", "text": "mine"},
    "/v1/sessions/{session}/facts": {"text": "mine pays 3"},
    "/v1/runs/{run}/thumbs": {"value": "down", "reason": "not mine"},
    "/v1/runs/{run}/fork": {"step": "one"},
    "/v1/runs/{run}/approvals/{step}": {"choice": "hold"},
    "/v1/runs/{run}/steps/{step}/quarantine": {"reason": "not mine"},
}
#: Of the page, which the description of the API leaves out.
PAGE = (
    "/v1/runs/{run}/page",
    "/v1/runs/{run}/page/steps/{step}",
    "/v1/runs/{run}/page/nodes/group:1",
    "/v1/runs/{run}/page/file",
)


@dataclass
class Scene:
    """What acme has, and who asks for it."""

    url: str
    acme: requests.Session
    other: requests.Session
    theirs: dict[str, str]

    def ask(self, who: requests.Session, method: str, path: str, ids: dict[str, str]) -> requests.Response:
        address = re.sub(r"\{(\w+)[^}]*\}", lambda match: ids[match[1]], path)
        more = {"text": "mine"} if (method, path) == ("delete", "/v1/sessions/{session}/facts") else {}
        body = {"json": BODIES.get(path, {})} if method == "post" else {}
        return who.request(method, self.url + address, params=more, timeout=20, **body)

    def state(self) -> list[str]:
        """All that acme sees of what is its own."""
        places = (
            "/v1/runs/{run}", "/v1/runs/{run}/history", "/v1/sessions/{session}/export", "/v1/sessions",
            "/v1/webhooks", "/v1/schedules", "/v1/costs",
        )  # fmt: skip
        return [self.ask(self.acme, "get", place, self.theirs).text for place in places]


def client(served: Threaded, key: str) -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {served.keys[key]}"
    return session


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with threaded(tmp_path_factory.mktemp("strangers"), loopback=["127.0.0.1:9"]) as served:
        acme, url = client(served, "acme"), served.url
        webhook = acme.post(f"{url}/v1/webhooks", json={"url": f"http://127.0.0.1:9/{MARK}"}).json()
        schedule = acme.post(
            f"{url}/v1/schedules", json={"plan": "double", "name": MARK, "at": "2200-01-01T00:00:00Z"}
        ).json()
        acme.post(f"{url}/v1/sessions/talk/facts", json={"text": f"{MARK} pays 40 EUR"}).raise_for_status()
        said = {"plan": "asks", "text": MARK}
        turn = acme.post(f"{url}/v1/sessions/talk/turns", json=said, headers={"Prefer": "wait=0"}).json()
        run = acme.post(f"{url}/v1/runs", json={"plan": "paid", "inputs": {"usd": 0.5}}).json()["id"]
        assert acme.get(f"{url}/v1/runs/{run}/events").status_code == 200  # until it has ended
        acme.post(f"{url}/v1/runs/{run}/thumbs", json={"value": "up", "reason": MARK}).raise_for_status()
        deliveries: list[dict[str, str]] = []
        while not deliveries:  # they are written behind the end
            deliveries = acme.get(f"{url}/v1/webhooks/deliveries?run={run}").json()["deliveries"]
        (message,) = deliveries
        (output,) = acme.get(f"{url}/v1/runs/{run}/artifacts").json()["artifacts"]
        theirs = {
            "run": run,
            "session": "talk",
            "webhook": webhook["id"],
            "schedule": schedule["id"],
            "message": message["id"],
            "step": "one",
            "digest": output["digest"],
        }
        yield Scene(url, acme, client(served, "other"), theirs)
        acme.post(f"{url}/v1/runs/{turn['run']}/cancel")


def no_ids(text: str, ids: dict[str, str]) -> str:
    """A text with the names exchanged that the asker gave, and everything that tells only when."""
    for name, value in ids.items():
        text = text.replace(value, f"<{name}>")
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]{6,}\.?[0-9]*(-[0-9a-f]+)?|[0-9]+-[0-9a-f]{8,}", "<some>", text)


def test_every_operation_on_a_thing_of_anothers_answers_as_if_it_were_nobodys(scene: Scene) -> None:
    schema = scene.other.get(f"{scene.url}/v1/openapi.json").json()
    places = [
        (method, path)
        for path, operations in schema["paths"].items()
        for method in operations
        if re.search(r"\{(run|session|webhook|schedule|message)\}", path)
    ]
    places += [("get", path) for path in PAGE]
    nobodys = {**scene.theirs, **NOBODYS}
    before = scene.state()
    for method, path in places:
        found = scene.ask(scene.other, method, path, scene.theirs)
        none = scene.ask(scene.other, method, path, nobodys)
        told = (method, path, found.status_code, no_ids(found.text, scene.theirs))
        assert told == (method, path, none.status_code, no_ids(none.text, nobodys))
        assert MARK not in found.text + str(found.headers)
        if (method, path) in BEGINS:
            assert found.status_code in {200, 202}
            for ids in (scene.theirs, nobodys):
                scene.ask(scene.other, "delete", "/v1/sessions/{session}", ids).raise_for_status()
        else:
            assert found.status_code == 404, told
    for name in ("session", "webhook", "schedule", "message"):
        assert any(f"{{{name}}}" in path for _, path in places), name
    assert [text.replace("\n", "") for text in scene.state()] == [text.replace("\n", "") for text in before]


def test_no_list_no_filter_and_no_cursor_tells_of_anothers(scene: Scene) -> None:
    theirs = scene.theirs
    empty = {
        "/v1/sessions": {"sessions": [], "next": None},
        "/v1/sessions?after=tal": {"sessions": [], "next": None},
        "/v1/webhooks": {"webhooks": []},
        "/v1/schedules": {"schedules": []},
        f"/v1/webhooks/deliveries?webhook={theirs['webhook']}": {"deliveries": [], "next": None},
        f"/v1/webhooks/deliveries?run={theirs['run']}": {"deliveries": [], "next": None},
        f"/v1/webhooks/deliveries?cursor={theirs['message']}": {"deliveries": [], "next": None},
    }
    for address, expected in empty.items():
        assert (address, scene.other.get(scene.url + address).json()) == (address, expected)
    assert MARK not in scene.other.get(f"{scene.url}/v1/approvals").text
    for by in ("plan", "run", "step", "model", "pool", "day"):
        told = scene.other.get(f"{scene.url}/v1/costs?by={by}")
        assert theirs["run"] not in told.text
        assert "paid" not in told.text
        assert told.json()["total"]["usd"] == 0
    assert scene.other.get(f"{scene.url}/v1/page/costs").text.count("paid") == 0
    assert theirs["run"] not in scene.other.get(f"{scene.url}/v1/page/pools").text


def test_a_key_of_one_request_is_nothing_to_another_tenant(scene: Scene) -> None:
    headers = {"Idempotency-Key": "the same"}
    runs = set()
    for who in (scene.acme, scene.other):
        answer = who.post(f"{scene.url}/v1/runs", json={"plan": "double"}, headers=headers)
        runs.add(answer.json()["id"])
        said = {"plan": "asks", "text": "hello"}
        answer = who.post(f"{scene.url}/v1/sessions/shared/turns", json=said, headers=headers)
        assert (answer.status_code, answer.json()["turn"]) == (202, 1)
        runs.add(answer.json()["run"])
        again = who.post(f"{scene.url}/v1/sessions/shared/turns", json=said, headers=headers)
        assert again.json()["run"] == answer.json()["run"]
        who.post(f"{scene.url}/v1/runs/{answer.json()['run']}/cancel").raise_for_status()
    assert len(runs) == 4


def test_a_key_of_one_route_cannot_be_spent_on_another(scene: Scene) -> None:
    headers = {"Idempotency-Key": "route to route"}
    run = scene.acme.post(f"{scene.url}/v1/runs", json={"plan": "double"}, headers=headers).json()["id"]
    scene.acme.get(f"{scene.url}/v1/runs/{run}/events")
    for route, body in (("retry", {"step": "twice"}), ("fork", {"step": "twice", "inputs": {"n": 5}})):
        answer = scene.acme.post(f"{scene.url}/v1/runs/{run}/{route}", json=body, headers=headers)
        assert (route, answer.status_code) == (route, 422)
        assert answer.json()["type"].endswith("idempotency-conflict")
    again = scene.acme.post(f"{scene.url}/v1/runs", json={"plan": "double"}, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, run)


def test_whoever_starts_a_run_is_named_in_its_first_record_by_whatever_route(scene: Scene) -> None:
    acme, url = scene.acme, scene.url
    run = acme.post(f"{url}/v1/runs", json={"plan": "double"}).json()["id"]
    acme.get(f"{url}/v1/runs/{run}/events")
    said = {"plan": "asks", "text": "hello"}
    turn = acme.post(f"{url}/v1/sessions/named/turns", json=said).json()["run"]
    acme.post(f"{url}/v1/runs/{turn}/cancel")
    retried = acme.post(f"{url}/v1/runs/{run}/retry", json={"step": "twice"}).json()["id"]
    forked = acme.post(f"{url}/v1/runs/{run}/fork", json={"step": "twice", "inputs": {"n": 5}}).json()["id"]
    for one in (run, turn, retried, forked):
        first = acme.get(f"{url}/v1/runs/{one}/history?limit=1").json()["events"][0]
        assert (first["kind"], first["actor"].split(" (")[0]) == ("run.accepted", "acme key"), one
