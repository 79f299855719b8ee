"""Every closed form holds in runs through the real engine, within four standard errors; invariants exactly."""

import os

import anyio
import pytest

from benchmarks.architectures.proof_list import FULL, PROOFS, REDUCED
from benchmarks.architectures.proofs import text

SEED = 20_251
SIZES = FULL if os.environ.get("ORCHESTRATOR_PROVE") == "full" else REDUCED


@pytest.mark.parametrize("form", list(PROOFS))
def test_the_engine_agrees_with_theory(form: str) -> None:
    found = anyio.run(PROOFS[form], SIZES[form], SEED)

    assert found
    assert all(one.holds for one in found), text(found)
