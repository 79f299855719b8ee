"""The comparison of routers: its figures against cases that can be worked out by hand."""

from pathlib import Path

import pytest

from benchmarks.cost.routing.__main__ import report
from benchmarks.cost.routing.cascade import cascaded
from benchmarks.cost.routing.curves import curve
from benchmarks.cost.routing.outcomes import FOLDS, Outcome, folds_by_subject, folds_within_subjects, read
from benchmarks.cost.routing.scores import classifier_scores, oracle_scores
from orchestrator.models.routing.expected import Gate


def outcome(weak: bool, strong: bool, subject: str = "s", prompt: str = "Why?") -> Outcome:
    return Outcome(subject, prompt, weak, strong, 1.0, 10.0)


FOUR = [outcome(True, True), outcome(False, True), outcome(False, True), outcome(True, False)]


def test_a_curve_that_is_worked_out_by_hand() -> None:
    """Weak 2 of 4, strong 3 of 4: the first right pick closes the gap, the second goes beyond it."""
    found = curve(FOUR, oracle_scores(FOUR), range(4))
    assert found.apgr == pytest.approx((0.5 + 1.5 + 2.0 + 1.5) / 4)
    assert (found.cpt80, found.cpt100) == (0.25, 0.25)
    assert found.quality == (0.5, 0.5, 0.75, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.75)
    worst = curve(FOUR, [-score for score in oracle_scores(FOUR)], range(4))
    assert worst.cpt80 == 1.0


def test_a_perfect_verifier_delivers_what_either_model_knows_and_a_blind_one_what_the_weak_does() -> None:
    draws = [[0, 1, 2, 3]]
    perfect = cascaded(FOUR, Gate(), draws)
    assert (perfect.quality.value, perfect.gain.value, perfect.strong_share) == (1.0, 0.25, 0.5)
    assert perfect.saved.value == pytest.approx(1 - (4 + 20) / 40)
    blind = cascaded(FOUR, Gate(detection=0.0), draws)
    assert (blind.quality.value, blind.strong_share, blind.saved.value) == (0.5, 0.0, 0.9)


def test_a_subject_is_in_one_fold_or_in_all() -> None:
    many = [outcome(True, True, subject=f"s{n % 11}", prompt=f"q{n}") for n in range(440)]
    apart = folds_by_subject(many)
    assert {len({k for k, one in zip(apart, many, strict=True) if one.subject == f"s{n}"}) for n in range(11)} == {1}
    assert set(apart) == set(folds_within_subjects(many)) == set(range(FOLDS))


def test_the_classifier_never_sees_the_fold_it_is_asked_about() -> None:
    """Answers that depend on the prompt alone are learnt; the same answers, turned round in one fold, are not."""
    many = [outcome(n % 2 == 0, True, f"s{n % 10}", "x" * (5 if n % 2 == 0 else 50)) for n in range(200)]
    folds = folds_by_subject(many)
    scores = classifier_scores(many, folds)
    assert all((score > 0.5) == (not one.weak) for score, one in zip(scores, many, strict=True))
    turned = [
        outcome(not one.weak, True, one.subject, one.prompt) if k == 0 else one
        for one, k in zip(many, folds, strict=True)
    ]
    again = classifier_scores(turned, folds)
    assert [score for score, k in zip(again, folds, strict=True) if k == 0] == [
        score for score, k in zip(scores, folds, strict=True) if k == 0
    ]


def test_the_report_has_every_table(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    lines = [f"s{n % 10},{'why ' * (n % 7 + 1)}?,{n % 3 != 0:d},{n % 5 != 0:d}" for n in range(120)]
    file.write_text("\n".join(["subject,prompt,weak_correct,strong_correct", *lines]))
    told = report(read(file), rounds=1)
    assert sum(line.startswith("| --- |") for line in told) == 4
    assert told[0] == "120 questions of 10 subjects. Right: weak 0.6667, strong 0.8000."
    file.write_text("subject,prompt,weak_correct,strong_correct\ns,q,yes,1\n")
    with pytest.raises(ValueError, match="row 1"):
        read(file)
