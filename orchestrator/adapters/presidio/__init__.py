"""Presidio behind the recogniser port, from the extra `presidio`."""

from orchestrator.adapters.presidio.recogniser import MODEL, PresidioRecogniser

__all__ = ["MODEL", "PresidioRecogniser"]
