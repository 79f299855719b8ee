"""Agents in an engine: what the journal keeps, what watchers hear, what a plan without a model is told."""

import pytest

from orchestrator import Plan
from orchestrator.core import facts as f
from orchestrator.core.history import check_history
from orchestrator.core.results import Degraded, Stopped, Succeeded
from orchestrator.core.story import story
from orchestrator.errors import PromiseError, RetryableError
from orchestrator.ids import JsonValue
from orchestrator.plan.files import parse_plan
from orchestrator.plan.parts import Budget
from orchestrator.ports.model_errors import ModelTimeout
from orchestrator.ports.tasks import TaskDelta
from tests.agents.saying import Saying, calls, says
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import facts_of, records_of
from workers import Pool, ToolContext, WorkContext, tool

pytestmark = pytest.mark.anyio
