"""Specialised workers: pools, the functions and agents that run in them, and their registry."""

from orchestrator.errors import BudgetExceeded, RetryableError, TerminalError
from workers.compression.context import Context
from workers.context import Reservation, WorkContext, current_context
from workers.contracts import compatible
from workers.host import PoolHost
from workers.local import Workers, worker_id
from workers.pool import Pool, WorkerSpec
from workers.registry import Registry
from workers.tools import Access, AllowedPath, AllowedUrl, McpServer, ToolContext, ToolFailed, secret, tool, use_secrets

__all__ = [
    "Access",
    "AllowedPath",
    "AllowedUrl",
    "BudgetExceeded",
    "Context",
    "McpServer",
    "Pool",
    "PoolHost",
    "Registry",
    "Reservation",
    "RetryableError",
    "TerminalError",
    "ToolContext",
    "ToolFailed",
    "WorkContext",
    "WorkerSpec",
    "Workers",
    "compatible",
    "current_context",
    "secret",
    "tool",
    "use_secrets",
    "worker_id",
]
