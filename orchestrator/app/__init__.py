"""The composition root: the only package, with `fleet` beside it, that names concrete adapters."""

from orchestrator.app.engine import Engine
from orchestrator.app.models import local_models, open_models
from orchestrator.app.stores import open_journal, restore_journal, upgrade_sql, upgrade_store

__all__ = ["Engine", "local_models", "open_journal", "open_models", "restore_journal", "upgrade_sql", "upgrade_store"]
