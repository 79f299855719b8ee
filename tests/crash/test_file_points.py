"""A crash at every append to a SQLite file, before and after it is written: the outcome is as if nothing had happened.

The file is what a killed process leaves: a copy made in the moment of the crash, log and all.
"""

import shutil
from pathlib import Path

import pytest

from tests.crash.reference import REFERENCES, Reference
from tests.crash.tally import tally
from tests.crash.test_pairs import Files, kept, lived, must_be_right
from tests.sizes import SIZES

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
STRIDE = 1 if SIZES.name == "prove" else 9


@pytest.mark.parametrize("reference", REFERENCES, ids=[reference.name for reference in REFERENCES])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_crash_at_any_append_to_a_file_changes_nothing(reference: Reference, tmp_path: Path) -> None:
    calm = tmp_path / "calm"
    calm.mkdir()
    expected, appends = await lived(Files(calm), reference, None, False)
    crashes = 0
    for at in range(1, appends + 1, STRIDE):
        for written in (False, True):
            folder = tmp_path / f"{at}-{written}"
            folder.mkdir()
            house = Files(folder)
            result, _ = await lived(house, reference, at, written)
            if house.lives:  # what is appended together depends on the moment: there may be fewer appends this time
                crashes += 1
                before = await kept(house)
                if result is None:
                    result, _ = await lived(house, reference, None, False)
                must_be_right([before], await kept(house))
            assert result == expected, f"crash at append {at} of {appends} ({written=})"
            shutil.rmtree(folder)
    assert crashes > appends / STRIDE, "fewer than half of the appends were reached"
    tally("appends to a file", reference.name, crashes)
