"""The paper's own numbers come out of the harness's own functions."""

import statistics

import pytest

from benchmarks.architectures import published as p


def test_table_5_gives_its_overhead_and_efficiency() -> None:
    overhead = {team: round(value, 1) for team, value in p.table5_overhead().items()}
    efficiency = {team: round(value, 3) for team, value in p.table5_efficiency().items()}

    assert overhead == {"Ind": 58.3, "Dec": 262.5, "Cen": 284.7, "Hyb": 515.3}
    assert efficiency == {"Ind": 0.234, "Dec": 0.132, "Cen": 0.120, "Hyb": 0.073}
    assert [round(p.table5_efficiency()[team], 4) for team in p.TEAMS] == [0.2337, 0.1316, 0.1203, 0.0735]


def test_the_180_cells_give_task_amplification_and_the_sign_of_the_mean_change() -> None:
    cells = [rate for rates in p.published().cells.values() for row in rates.values() for rate in row]

    assert len(cells) == 180
    assert {team: round(value, 2) for team, value in p.cell_amplification().items()} == {
        "Ind": 1.30,
        "Dec": 1.05,
        "Cen": 1.11,
        "Hyb": 1.07,
    }
    assert round(statistics.fmean(p.relative_changes()), 1) == 3.5
    assert round(statistics.pstdev(p.relative_changes()), 1) == 45.2


def test_the_cells_disagree_with_table_5_where_the_paper_slipped() -> None:
    means = {team: round(value, 3) for team, value in p.mean_success().items()}

    assert means == {"SAS": 0.466, "Ind": 0.370, "Dec": 0.488, "Cen": 0.463, "Hyb": 0.477}


def test_the_45_percent_rule_is_right_in_24_of_36_cells() -> None:
    assert p.threshold_hits() == (24, 36, 20)


def test_best_architectures_per_benchmark() -> None:
    best = p.best_per_cell()

    assert best["plancraft"]["SAS"] == 9
    assert best["workbench"] == {"SAS": 4, "Ind": 0, "Dec": 5, "Cen": 0, "Hyb": 0}
    assert best["finance"] == {"SAS": 1, "Ind": 2, "Dec": 2, "Cen": 4, "Hyb": 0}
    assert best["browse"] == {"SAS": 2, "Ind": 0, "Dec": 3, "Cen": 2, "Hyb": 2}
    assert sum(max(row.values()) for row in best.values()) / 36 == pytest.approx(0.58, abs=0.005)
