"""Shorter conversations that keep their facts: passages ranked under a budget, what was cut kept for `recall`."""

from workers.compression.context import Context

__all__ = ["Context"]
