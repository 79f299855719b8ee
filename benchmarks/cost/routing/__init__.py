"""Routing and cascades on outcomes that were really observed, beside random, length alone and the oracle."""
