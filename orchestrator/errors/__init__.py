"""Every error the project raises, split by who is at fault.

Expected ends of a run or a step are values, not exceptions; see `orchestrator.core.results`.
Constructors hand all their arguments to `super().__init__`, so that errors survive pickling.
"""

from orchestrator.errors.plans import (
    ExpressionError,
    InputError,
    PlanError,
    PlanIssue,
    PlanningFailed,
    PromiseError,
    ScheduleRefused,
    WebhookRefused,
)
from orchestrator.errors.root import OrchestratorError
from orchestrator.errors.runs import (
    AdmissionRefused,
    EngineClosed,
    IdempotencyConflict,
    IllegalTransition,
    OwnerRefused,
    OwnerUnreachable,
    RunNotFound,
    WrongState,
)
from orchestrator.errors.sessions import (
    SessionBusy,
    SessionChanged,
    SessionDamaged,
    SessionError,
    SessionFull,
    SessionNotFound,
    SessionsUnreachable,
)
from orchestrator.errors.steps import KINDS_RESERVED, BudgetExceeded, RetryableError, StepError, TerminalError
from orchestrator.errors.stores import (
    ArtifactMissing,
    CacheError,
    CheckpointBroken,
    JournalConflict,
    JournalCorrupt,
    JournalError,
    JournalFull,
    JournalOwned,
    JournalUnreachable,
    TransportError,
    TransportRefused,
    TransportUnreachable,
    ValueRefused,
)

__all__ = [
    "KINDS_RESERVED",
    "AdmissionRefused",
    "ArtifactMissing",
    "BudgetExceeded",
    "CacheError",
    "CheckpointBroken",
    "EngineClosed",
    "ExpressionError",
    "IdempotencyConflict",
    "IllegalTransition",
    "InputError",
    "JournalConflict",
    "JournalCorrupt",
    "JournalError",
    "JournalFull",
    "JournalOwned",
    "JournalUnreachable",
    "OrchestratorError",
    "OwnerRefused",
    "OwnerUnreachable",
    "PlanError",
    "PlanIssue",
    "PlanningFailed",
    "PromiseError",
    "RetryableError",
    "RunNotFound",
    "ScheduleRefused",
    "SessionBusy",
    "SessionChanged",
    "SessionDamaged",
    "SessionError",
    "SessionFull",
    "SessionNotFound",
    "SessionsUnreachable",
    "StepError",
    "TerminalError",
    "TransportError",
    "TransportRefused",
    "TransportUnreachable",
    "ValueRefused",
    "WebhookRefused",
    "WrongState",
]
