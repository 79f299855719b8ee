"""`orchestrator keys`: made once, listed without the secret, taken back."""

import json
import re
from pathlib import Path

import anyio
import pytest

from orchestrator.app.service import open_keys
from orchestrator.cli.keys import _caps, _id_of, _scopes, _seconds
from orchestrator.errors import PromiseError
from orchestrator.settings import Settings
from tests.service.http.process import shop


def test_keys_are_made_listed_and_taken_back(tmp_path: Path) -> None:
    with shop(tmp_path) as place:
        key = place.key(
            "ci", "--tenant", "acme", "--scope", "run", "--scope", "read", "--expires", "90d", "--open-runs", "3",
            "--requests-per-minute", "60", "--usd-per-day", "2.5", "--lane", "low",
        )  # fmt: skip
        assert re.fullmatch(r"ho_[a-z0-9]{12}_[A-Za-z0-9_-]{43}", key)
        (told,) = json.loads(place.command("keys", "list", "--json").stdout)
        created = told.pop("created_at")
        assert told.pop("expires_at") == created + 90 * 86_400
        assert told == {
            "id": _id_of(key), "name": "ci", "tenant": "acme", "scopes": ["read", "run"], "state": "in force",
            "caps": {"requests_per_minute": 60, "open_runs": 3, "usd_per_day": 2.5, "lanes": ["low"]},
            "revoked_at": None,
        }  # fmt: skip
        place.command("keys", "revoke", _id_of(key))
        shown = place.command("keys", "list").stdout
        assert shown.splitlines()[1].split()[-1] == "revoked"
        assert key.rpartition("_")[2] not in shown


def test_what_is_no_scope_no_lane_and_no_time_is_refused() -> None:
    with pytest.raises(PromiseError, match="no scope 'everything'"):
        _scopes(["everything"])
    with pytest.raises(PromiseError, match="no lane 'fast'"):
        _caps(None, None, None, ["fast"])
    with pytest.raises(PromiseError, match="--expires 'soon'"):
        _seconds("soon")
    with pytest.raises(PromiseError, match="end with their process"):
        anyio.run(open_keys, Settings(store="memory:"))


def test_a_whole_key_names_itself_by_its_id() -> None:
    assert _id_of("ho_abcdefghijkl_x_y_z") == "abcdefghijkl"
    assert _id_of("abcdefghijkl") == "abcdefghijkl"
