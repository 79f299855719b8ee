"""`python -m benchmarks.safety.names`: recall and false alarms of Presidio on labelled sentences, beside our own.

Two sets: the one of `benchmarks.safety`, on which Presidio's own recognisers stand beside ours, and sentences with
people and places, which ours do not know. Needs the extra `presidio`. Nothing asks the internet: Presidio would fetch a
list of domains for its recogniser of e-mail, and is given the one that it carries.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

from benchmarks.safety.__main__ import DATA, Span, Tally, read
from orchestrator.adapters.presidio import MODEL, PresidioRecogniser
from orchestrator.ports.recogniser import MEANINGS, Found
from orchestrator.safety.recognisers import KINDS, finds

PEOPLE = DATA.with_name("people.jsonl")
_ID = "national_id"
#: What Presidio's own recognisers call our kinds.
OURS = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card", "IBAN_CODE": "iban",
    "IP_ADDRESS": "address", "MAC_ADDRESS": "address",
    **dict.fromkeys(("US_SSN", "US_ITIN", "UK_NINO", "ES_NIF", "IT_FISCAL_CODE", "PL_PESEL", "IN_AADHAAR"), _ID),
}  # fmt: skip
Finder = Callable[[str], Iterable[Found]]


def own_forms() -> Finder:
    """Presidio's own recognisers of forms, all that it opens for English by itself, with a score of 0.5 or more."""
    extract = import_module("tldextract")
    extract.tldextract.TLD_EXTRACTOR = extract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    nlp = import_module("presidio_analyzer.nlp_engine")
    engine = nlp.SpacyNlpEngine(models=[{"lang_code": "en", "model_name": MODEL}])
    analyzer = import_module("presidio_analyzer").AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])

    def found(text: str) -> list[Found]:
        told = analyzer.analyze(text, language="en", score_threshold=0.5)
        return [(one.start, one.end, OURS[one.entity_type]) for one in told if one.entity_type in OURS]

    return found


def our_forms(text: str) -> list[Found]:
    """Our recognisers."""
    return [(one.start, one.end, one.kind) for one in finds(text)]


def tallied(rows: list[tuple[str, list[Span]]], found: Finder, kinds: Iterable[str]) -> dict[str, Tally]:
    """Recall and false alarms of each kind, counted as `benchmarks.safety` does."""
    told = {kind: Tally() for kind in kinds}
    for text, spans in rows:
        here = list(found(text))
        for start, end, kind in spans:
            told[kind].labelled += 1
            if any(begin <= start and end <= stop for begin, stop, _ in here):
                told[kind].found += 1
            else:
                told[kind].missed.append(text[start:end])
        for begin, stop, kind in here:
            if not any(begin < end and start < stop for start, end, _ in spans):
                told[kind].alarms.append(text[begin:stop])
    return told


def people(path: Path = PEOPLE) -> dict[str, Tally]:
    """Recall and false alarms of the adapter on people and places."""
    recogniser = PresidioRecogniser()
    return tallied(read(path), lambda text: recogniser.found(text, MEANINGS), MEANINGS)


def main() -> None:
    """Print the tables, and what a sentence takes."""
    forms = read()
    for title, told in (
        ("ours", tallied(forms, our_forms, KINDS)),
        ("Presidio's forms", tallied(forms, own_forms(), KINDS)),
        ("Presidio's names", people()),
    ):
        print(f"{title:<18}{'labelled':>9}{'found':>7}{'recall':>9}{'false alarms':>14}")
        for name, tally in told.items():
            recall = f"{tally.found / tally.labelled:.1%}" if tally.labelled else "-"
            print(f"{name:<18}{tally.labelled:>9}{tally.found:>7}{recall:>9}{len(tally.alarms):>14}")
        print()
    names = people()
    print("missed:", "; ".join(text for tally in names.values() for text in tally.missed))
    print("false alarms:", "; ".join(text for tally in names.values() for text in tally.alarms))
    recogniser = PresidioRecogniser()
    recogniser.found("Ann is here.", MEANINGS)
    took = []
    for text, _ in read(PEOPLE):
        began = time.perf_counter()
        recogniser.found(text, MEANINGS)
        took.append(time.perf_counter() - began)
    print(f"a sentence takes {statistics.median(took) * 1e3:.1f} ms in the middle, {max(took) * 1e3:.1f} ms at most")


if __name__ == "__main__":
    main()
