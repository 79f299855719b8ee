"""`python -m benchmarks.cost.routing --data outcomes.csv`: the whole comparison, as Markdown on stdout."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.cost.routing.cascade import cascaded
from benchmarks.cost.routing.curves import BOOTSTRAPS, SHARES, Interval, resampled, with_intervals
from benchmarks.cost.routing.online import play
from benchmarks.cost.routing.outcomes import Outcome, folds_by_subject, folds_within_subjects, read
from benchmarks.cost.routing.scores import (
    classifier_scores,
    length_scores,
    oracle_scores,
    random_scores,
    share_scores,
)
from orchestrator.models.routing.expected import Gate

GATES: Final = (
    Gate(detection=1.0, false_alarm=0.0),
    Gate(detection=0.9, false_alarm=0.05),
    Gate(detection=0.8, false_alarm=0.1),
    Gate(detection=0.6, false_alarm=0.1),
    Gate(detection=0.4, false_alarm=0.2),
)
SEED: Final = 20_261_127


def main(argv: Sequence[str] | None = None) -> None:
    """Read the outcomes, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost.routing", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="CSV: subject, prompt, weak_correct, strong_correct")
    parser.add_argument("--rounds", type=int, default=3, help="orders in which the product's router sees the questions")
    options = parser.parse_args(argv)
    outcomes = read(options.data)
    print("\n".join(report(outcomes, options.rounds)))


def report(outcomes: Sequence[Outcome], rounds: int) -> list[str]:
    """The lines of the report."""
    count = len(outcomes)
    weak, strong = sum(one.weak for one in outcomes) / count, sum(one.strong for one in outcomes) / count
    usd = [sum(getattr(one, name) for one in outcomes) / count * 1_000 for name in ("weak_usd", "strong_usd")]
    subjects = len({one.subject for one in outcomes})
    lines = [
        f"{count:,} questions of {subjects} subjects. Right: weak {weak:.4f}, strong {strong:.4f}.",
        f"A thousand calls cost {usd[0]:.3f} USD weak and {usd[1]:.3f} USD strong, lengths of answers assumed.",
        f"Intervals: 95 %, {BOOTSTRAPS} draws of whole subjects.",
        "",
    ]
    return lines + _routers(outcomes) + _cascades(outcomes) + _online(outcomes, rounds)


def _routers(outcomes: Sequence[Outcome]) -> list[str]:
    apart, known = folds_by_subject(outcomes), folds_within_subjects(outcomes)
    draws = resampled(outcomes, SEED)
    ways = (
        ("random", random_scores(outcomes, SEED)),
        ("length alone", length_scores(outcomes)),
        ("classifier, subject never seen", classifier_scores(outcomes, apart)),
        ("classifier, subject seen", classifier_scores(outcomes, known)),
        ("share per subject, subject seen", share_scores(outcomes, known)),
        ("oracle", oracle_scores(outcomes)),
    )
    lines = ["| Order of questions | APGR | CPT(80 %) | CPT(100 %) |", "| --- | --- | --- | --- |"]
    curves = []
    for name, scores in ways:
        found, apgr, cpt = with_intervals(outcomes, scores, draws)
        curves.append((name, found))
        whole = "never" if found.cpt100 is None else f"{found.cpt100:.3f}"
        lines.append(f"| {name} | {apgr} | {cpt} | {whole} |")
    lines += ["", "Share of right answers where that share of questions goes to the strong model:", ""]
    lines.append("| Order of questions | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |")
    lines.append("| --- |" + " --- |" * len(SHARES))
    lines += [f"| {name} | " + " | ".join(f"{q:.3f}" for q in found.quality) + " |" for name, found in curves]
    return [*lines, ""]


def _cascades(outcomes: Sequence[Outcome]) -> list[str]:
    draws = resampled(outcomes, SEED + 1)
    lines = [
        "Cascade, weak first, strong where the verifier refuses:",
        "",
        "| Wrong answers refused | Right ones refused | Right answers | against strong alone | Saved | Strong calls |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for gate in GATES:
        found = cascaded(outcomes, gate, draws)
        lines.append(
            f"| {gate.detection:.0%} | {gate.false_alarm:.0%} | {found.quality} | {_signed(found.gain)} "
            f"| {found.saved} | {found.strong_share:.3f} |"
        )
    return [*lines, ""]


def _online(outcomes: Sequence[Outcome], rounds: int) -> list[str]:
    lines = [
        f"The router itself, learning from verdicts alone, each subject a pool, least and most of {rounds} orders:",
        "",
        "| Wrong refused | Right refused | Success asked for | Right answers | Strong alone | Saved | Strong first |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for gate in GATES[1:4]:
        for success in (0.5, 0.85):
            played = [play(outcomes, gate, success, SEED + n) for n in range(rounds)]
            lines.append(
                f"| {gate.detection:.0%} | {gate.false_alarm:.0%} | {success:.0%} | "
                f"{_range([one.right for one in played])} | {played[0].strong:.4f} | "
                f"{_range([one.saved for one in played])} | {_range([one.strong_first for one in played])} |"
            )
    return lines


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.4f} to {max(values):.4f}"


def _signed(found: Interval) -> str:
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


if __name__ == "__main__":
    main()
