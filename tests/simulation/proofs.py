"""What the full proofs last came to, as lines of docs/reliability.md: crashes, storage, storm, fuzzers, audit."""

import json
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
CRASH, STORM = TESTS / "crash" / "report.json", TESTS / "fleet" / "storm" / "report.json"
FUZZ, AUDIT, AGAIN = (
    TESTS / "fuzz" / "report.json",
    TESTS / "audit" / "report.json",
    TESTS / "crash" / "concurrency.json",
)


def proofs() -> list[str]:
    """The lines, from the reports that the proofs wrote; a proof without a report says that it was not run."""
    return [*_crashes(_read(CRASH)), "", *_storm(_read(STORM)), "", *_others(_read(FUZZ), _read(AUDIT), _read(AGAIN))]


def wrong_in_the_storm() -> list[str]:
    """What the last storm found, a line each."""
    report = _read(STORM)
    return [f"- storm, seed {report['seed']}: {one}" for one in report["wrong"]]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _crashes(report: dict[str, Any]) -> list[str]:
    """A case counts once outcome, losses and double acceptances have been looked at, and nothing was wrong."""
    return [
        f"`{report['command']}`; a case counts once its outcome was equal, nothing lost, nothing accepted twice:",
        "",
        "| | shown | asked for |",
        "| --- | --- | --- |",
        *[
            f"| {part['what']} | {part['shown']:,} | {'all' if part['wanted'] is None else format(part['wanted'], ',')}"
            f"{'' if part['reached'] else ', **not reached**'} |"
            for part in report["parts"]
        ],
    ]


def _storm(report: dict[str, Any]) -> list[str]:
    faults = ", ".join(f"{name} {count}" for name, count in report["faults"].items())
    gaps = report["fault_each_s"]
    wrong = "nothing was wrong" if not report["wrong"] else f"{len(report['wrong'])} things were wrong"
    lasted = f"seed {report['seed']}, {report['faults_s'] / 60:.0f} minutes"
    did = f"{report['runs']:,} runs, {report['steps']:,} steps, {report['adoptions']:,} take-overs"
    pace = f"one every {gaps['least']:g} to {gaps['most']:g} s, {gaps['middle']:g} in the middle"
    return [
        f"Storm on a real fleet, {lasted}: {did};",
        f"{report['faults_total']} faults, {pace} ({faults});",
        f"{report['waste']:.1%} of the work done again (at most {report['waste_max']:.0%}); {wrong}.",
        "",
        *_door(report["door"]),
        f"Results of workers: {', '.join(f'{count:,} {name}' for name, count in sorted(report['results'].items()))}.",
        f"Looked at: {', '.join(report['rules'])}.",
    ]


def _door(door: dict[str, Any]) -> list[str]:
    jobs = f"two tenants handed in {door['jobs']:,} jobs and cancelled {door['cancelled']:,}"
    turns = f"took {door['turns']:,} turns in {door['conversations']} conversations"
    streams = f"read {door['streams']:,} streams to the end over {door['reconnects']:,} reconnections"
    hooks = f"were sent {door['messages']:,} webhooks ({door['told_again']} told again)"
    calls = f"paid for {door['calls']:,} calls of a model"
    unknown = f"{door['calls_unknown']} have a bill that nobody can tell, and its money stays set aside"
    return [
        f"Through the service, killed and frozen like the others, {jobs},",
        f"{turns}, {streams},",
        f"{hooks} and {calls}; {unknown}.",
        f"While a task in the low lane waited, at most {door['bypass'][0]:,} others began, for nine in ten of them.",
        f"{door['scanned_bytes'] / 1e6:,.0f} MB were looked through for secrets.",
    ]


def _others(fuzz: dict[str, Any], audit: dict[str, Any], again: dict[str, Any]) -> list[str]:
    targets = ", ".join(
        f"{name} {one['inputs']:,}{'' if one['reached'] else ' of ' + format(fuzz['wanted'], ',')}"
        for name, one in fuzz["targets"].items()
    )
    trials = ", ".join(f"{name} {one['trials']:,}" for name, one in audit["results"].items())
    missed = sum(one["missed"] for one in audit["results"].values())
    lines = [
        f"Fuzzers, inputs at full size: {targets}; {fuzz['violations']} violations.",
        "",
        f"Harm done to copies of a journal, and back-ups taken under load: {trials}; {missed} missed.",
    ]
    if again:
        times = f"{again['functions']} functions {again['rounds']} times in a row"
        lines += ["", f"Concurrency tests: {times}, {again['passed']:,} passed, {len(again['failed'])} failed."]
    return lines
