"""A campaign that is played in lots counts what it would count in one go, and goes on where it was stopped."""

import json
from pathlib import Path

import pytest

from orchestrator.testing.simulation import lots
from orchestrator.testing.simulation.campaign import Tally, campaign
from orchestrator.testing.simulation.lots import merged, play_lots
from orchestrator.testing.simulation.profile import Schedule, profile_of


def figures(tally: Tally) -> dict[str, object]:
    return {name: told for name, told in tally.document().items() if name != "schedules_per_cpu_second"}


def test_lots_count_what_a_campaign_counts_and_are_played_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lots, "LOT", 2)
    whole = play_lots(tmp_path, 0, 3, 2, None)
    files = sorted(tmp_path.iterdir())
    kept, gone = files[0].stat().st_mtime_ns, files[1]

    assert [path.name for path in files] == ["0-2.json", "2-1.json"]
    assert figures(whole) == figures(campaign(0, 3))

    gone.unlink()
    assert merged(tmp_path).schedules == 2
    assert figures(play_lots(tmp_path, 0, 3, 1, None)) == figures(whole)
    assert files[0].stat().st_mtime_ns == kept, "it was not played again"


def test_what_other_code_has_played_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "0-1.json").write_text(json.dumps({"code": "other", "only": "", **Tally().state()}))

    with pytest.raises(ValueError, match="other code"):
        merged(tmp_path)
    with pytest.raises(ValueError, match="other code"):
        play_lots(tmp_path, 0, 1, 1, None)


def test_processes_make_room_for_fresh_ones_and_all_lots_are_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lots, "LOT", 1)
    monkeypatch.setattr(lots, "ROUND", 2)
    play_lots(tmp_path, 0, 2, 1, None)
    whole = play_lots(tmp_path, 0, 7, 1, None)
    told = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == [f"lot {number} of 2" for number in (1, 2)] + [f"lot {number} of 7" for number in range(3, 8)]
    assert whole.schedules == 7


def test_what_a_change_reaches_can_be_played_without_the_rest(tmp_path: Path) -> None:
    seeds = [seed for seed in range(8) if "client.asks_again" in profile_of(Schedule(seed=seed)).pauses_s]
    whole = play_lots(tmp_path, 0, 8, 1, None, "client.asks_again")
    assert 0 < whole.schedules == len(seeds) < 8
    assert figures(whole) == figures(campaign(0, 8, "client.asks_again"))
    with pytest.raises(ValueError, match=r"schedules of client\.asks_again; take another folder"):
        merged(tmp_path)
