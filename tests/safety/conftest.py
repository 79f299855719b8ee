"""What tests of agents need too."""

from tests.workers.conftest import start

__all__ = ["start"]
