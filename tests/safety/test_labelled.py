"""Recall and false alarms on the labelled sentences: the figures of the guide, and that streams lose nothing."""

from benchmarks.safety.__main__ import by_kind, by_mode, read

ROWS = read()


def test_there_are_enough_sentences_and_every_label_lies_in_its_text() -> None:
    assert len(ROWS) >= 300
    assert sum(not spans for _, spans in ROWS) >= 80
    assert all(0 <= start < end <= len(text) for text, spans in ROWS for start, end, _ in spans)


def test_recall_of_each_kind() -> None:
    told = {kind: (tally.found, tally.labelled, tally.alarms) for kind, tally in by_kind(ROWS).items()}
    assert told == {
        "email": (52, 55, []),
        "phone": (48, 51, []),
        "card": (44, 45, []),
        "iban": (39, 39, []),
        "national_id": (30, 31, []),
        "key": (24, 25, []),
        "address": (26, 26, ["1.2.3.4", "1.2.9.9"]),  # chapters that look like machines
    }


def test_every_mode_keeps_in_what_is_found_streams_too() -> None:
    told = {mode: (tally.found, tally.labelled, len(tally.alarms)) for mode, tally in by_mode(ROWS).items()}
    assert told == dict.fromkeys(("redact", "redact, streamed", "placeholders", "refuse"), (263, 272, 1))
