"""The description of the API, held against the API: schemathesis asks everything, and nothing breaks it.

Half of the requests name things that exist, which no generator would guess.
"""

import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from orchestrator.ports.keys import SCOPES
from tests.service.http.threaded import Threaded, threaded

FULL = os.environ.get("ORCHESTRATOR_PROVE") == "full"
CASES = 20_000 if FULL else 100
#: Making cases up costs four times what answering them does: processes share them (`-n`), each with its own service.
SHARES = 8 if FULL else 1
#: A file, with the number of the share behind its name, in which a campaign of many minutes keeps how far it is, so
#: that one that was stopped goes on from there.
PROGRESS = os.environ.get("ORCHESTRATOR_PROVE_PROGRESS", "")
PATIENCE_S = 120.0  #: for one answer on a busy machine
ROUND = (24, 16)  #: requests of a round to each operation, as described and otherwise
#: asked without a key; the last one is signed
OPEN = {"/healthz", "/readyz", "/v1/openapi.json", "/v1/batches/webhook"}
SEED = 20_260
#: A plan that does not exist, or a run in another state, is no fault of a request's form.
EXCLUDED = [positive_data_acceptance]
#: How a request that is not as described may be refused: also as too large, which comes before a look at its form.
REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429"]
CONFIG = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}})


@dataclass
class There:
    """What exists in the service, by the name of a path's parameter."""

    values: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threaded]:
    with threaded(tmp_path_factory.mktemp("schema")) as made:
        yield made


@pytest.fixture(scope="module")
def there(served: Threaded) -> There:
    """Runs that have ended, one that waits for a person, and what belongs to them."""
    session = client(served, "acme")
    runs = []
    for body in (
        {"plan": "double"},
        {"plan": "fails"},
        {"plan": "many", "inputs": {"count": [1, 2]}},
        {"plan": "paid"},
        {"plan": "asks"},
    ):
        run = session.post(f"{served.url}/v1/runs", json=body).json()["id"]
        if body["plan"] != "asks":
            session.get(f"{served.url}/v1/runs/{run}/events")
        runs.append(run)
    (output,) = session.get(f"{served.url}/v1/runs/{runs[0]}/artifacts").json()["artifacts"]
    return There(
        values={
            "run": runs[:4],  # streams of the one that waits would not end
            "step": ["twice", "odd", "each", "each[1]", "one", "first"],
            "digest": [output["digest"]],
            "pool": ["desk"],
            "name": ["double", "asks"],
        }
    )


def client(served: Threaded, key: str | None) -> requests.Session:
    session = requests.Session()
    if key is not None:
        session.headers["Authorization"] = f"Bearer {served.keys[key]}"
    return session


def operations(served: Threaded) -> list[schemathesis.schemas.APIOperation]:
    address = f"{served.url}/v1/openapi.json"
    schema = schemathesis.openapi.from_url(address, config=CONFIG, timeout=PATIENCE_S)
    return [found.ok() for found in schema.get_all_operations()]


@dataclass
class Campaign:
    """Asks, and remembers what came back."""

    session: requests.Session
    there: There
    kept: Path | None  #: how far it is
    asked: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    at: int = 0  #: how many operations have been asked, over all rounds

    def go_on(self) -> None:
        """Take up what a campaign before has kept, if one has."""
        if self.kept is not None and self.kept.exists():
            told = json.loads(self.kept.read_text())
            self.asked, self.at, self.broken = told["asked"], told["at"], told["broken"]
            self.statuses = Counter({int(status): count for status, count in told["statuses"].items()})

    def keep(self, at: int) -> None:
        """Write down how far it is, whole or not at all."""
        self.at = at
        if self.kept is not None:
            told = {"asked": self.asked, "at": at, "statuses": self.statuses, "broken": self.broken}
            written = Path(f"{self.kept}.new")
            written.write_text(json.dumps(told))
            written.replace(self.kept)

    def ask(self, operation: schemathesis.schemas.APIOperation, mode: GenerationMode, count: int, start: int) -> None:
        """Send `count` requests to one operation."""
        dice = random.Random(start)

        @seed(start)
        @settings(
            max_examples=max(count, 1),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        @given(case=operation.as_strategy(generation_mode=mode, headers=dict(self.session.headers)))
        def ask(case: schemathesis.Case) -> None:
            self.one(case, dice.random() < 0.5 and mode is GenerationMode.POSITIVE, dice)

        try:
            ask()
        except Unsatisfiable:  # there is nothing in this operation that could be wrong
            assert mode is GenerationMode.NEGATIVE

    def one(self, case: schemathesis.Case, known: bool, dice: random.Random) -> None:
        if known:
            for name, values in self.there.values.items():
                if name in case.path_parameters:
                    case.path_parameters[name] = dice.choice(values)
        answer = case.call(session=self.session, timeout=PATIENCE_S)
        self.asked += 1
        self.statuses[answer.status_code] += 1
        try:
            case.validate_response(answer, excluded_checks=EXCLUDED, headers=dict(self.session.headers))
        except FailureGroup as failures:
            said = [str(one) for one in failures.exceptions]
            self.broken.append(f"{answer.status_code} {case.as_curl_command()}\n{said}\n{answer.text[:500]}")


@pytest.mark.parametrize("share", range(SHARES))
def test_the_whole_api_keeps_its_description_whatever_it_is_asked(served: Threaded, there: There, share: int) -> None:
    found, cases = operations(served), CASES // SHARES
    campaign = Campaign(client(served, "acme"), there, Path(f"{PROGRESS}.{share}") if PROGRESS else None)
    campaign.go_on()
    rounds = campaign.at // len(found)
    while campaign.asked < cases:  # some operations have nothing that could be wrong
        part = min(1.0, (cases - campaign.asked) / len(found) / sum(ROUND))
        for number, operation in enumerate(found):
            if rounds * len(found) + number < campaign.at:
                continue
            start = SEED + 1_000_000 * share + 1_000 * rounds + number
            campaign.ask(operation, GenerationMode.POSITIVE, ceil(part * ROUND[0]), start)
            campaign.ask(operation, GenerationMode.NEGATIVE, ceil(part * ROUND[1]), start)
            campaign.keep(rounds * len(found) + number + 1)
        rounds += 1
    asked, statuses = campaign.asked, campaign.statuses
    assert not campaign.broken, f"{len(campaign.broken)} of {asked}\n" + "\n\n".join(campaign.broken[:10])
    assert not [status for status in statuses if status >= 500]
    assert statuses[200] > asked / 20  # it did not fail at the door
    print(f"share {share}: {asked} cases over {len(found)} operations: {dict(sorted(statuses.items()))}")


def test_no_operation_is_reached_without_a_key(served: Threaded, there: There) -> None:
    asked, session = 0, requests.Session()
    for operation in operations(served):
        if operation.path in OPEN or operation.path.startswith("/ui"):
            continue
        path = re.sub(r"\{(\w+)[^}]*\}", lambda match: there.values.get(match[1], ["x"])[0], operation.path)
        for headers in (
            {},
            {"Authorization": "Bearer ho_aaaaaaaaaaaa_" + "x" * 43},
            {"Authorization": f"Bearer {served.keys['acme'][:-1]}x"},
            {"Authorization": f"Basic {served.keys['acme']}"},
            {"Authorization": f"Bearer {served.keys['acme']} "[:-2]},
            {"X-Api-Key": served.keys["acme"]},
        ):
            answer = session.request(
                operation.method.upper(),
                f"{served.url}{path}?key={served.keys['acme']}&access_token={served.keys['acme']}",
                headers=headers,
                data=json.dumps({"plan": "double"}) if operation.method in {"post", "put", "patch"} else None,
                timeout=PATIENCE_S,
            )
            asked += 1
            if operation.method in {"post", "put", "patch"} and answer.status_code == 415:
                continue  # the form of a body is looked at before the key, and tells nothing
            assert (operation.label, answer.status_code) == (operation.label, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert asked > 100


def test_a_key_reaches_what_its_scopes_name_and_nothing_else(served: Threaded, there: There) -> None:
    refused = allowed = 0
    clients = {scope: client(served, f"acme:{scope}") for scope in SCOPES}
    for operation in operations(served):
        if operation.path in OPEN or operation.path == "/v1/me" or operation.path.startswith("/ui"):
            continue
        path = re.sub(r"\{(\w+)[^}]*\}", lambda match: there.values.get(match[1], ["x"])[0], operation.path)
        scopes = set()
        for scope in SCOPES:
            body = {"json": {}} if operation.method in {"post", "put", "patch"} else {}
            method, url = operation.method.upper(), f"{served.url}{path}"
            answer = clients[scope].request(method, url, timeout=PATIENCE_S, **body)
            if answer.status_code == 403:
                refused += 1
            else:
                scopes.add(scope)
        assert len(scopes) == 1, (operation.label, scopes)
        allowed += 1
    assert refused == 4 * allowed > 100


@pytest.mark.parametrize(("body", "status"), [("x" * 2_000_000, 413), ({"text": 1}, 422)])
def test_what_is_refused_as_too_large_is_refused_as_described(served: Threaded, body: object, status: int) -> None:
    (turns,) = [one for one in operations(served) if one.label == "POST /v1/sessions/{session}/turns"]
    campaign = Campaign(client(served, "acme"), There(), None)
    made: list[schemathesis.Case] = []

    @seed(SEED)
    @settings(
        max_examples=1, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(case=turns.as_strategy(generation_mode=GenerationMode.NEGATIVE, headers=dict(campaign.session.headers)))
    def make(case: schemathesis.Case) -> None:
        made.append(case)

    make()
    case = made[0]
    case.path_parameters, case.query, case.body = {"session": "K"}, {}, body
    case.media_type = "application/json"
    campaign.one(case, False, random.Random(SEED))
    assert campaign.broken == []
    assert [*campaign.statuses] == [status]
