"""Import cost in real interpreters; packages that fail, hang or babble end with a reason and no process left."""

import time
from pathlib import Path

import pytest

from orchestrator.errors import TerminalError
from tests.kinds.distmaker import Ctx, make
from tests.workers.conftest import Stood
from workers import standstill
from workers.kinds import imports
from workers.kinds.distributions import Installed
from workers.kinds.imports import measure_import
from workers.kinds.packages import read_metadata
from workers.kinds.records import ImportCost, Metadata

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # real processes: a jumping clock does not see them


def metadata(site: Path, **given: object) -> Metadata:
    return read_metadata(Ctx(), make(site, **given))  # type: ignore[arg-type]  # fields of a record made by hand


def ended(stat: Path) -> bool:
    """Whether the process is gone or waits for burial; the kernel may take a moment."""
    for _ in range(200):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.005)
    return False


async def test_modules_are_timed_and_add_up(site: Path, ctx: Ctx) -> None:
    files = {
        "tiny/__init__.py": "import tiny.part\n",
        "tiny/part.py": "import time; time.sleep(0.005)\n",
        "solo.py": "",
        "tests/__init__.py": "",
    }
    cost = await measure_import(ctx, metadata(site, files=files))

    assert [module.module for module in cost.modules] == ["solo", "tiny"]
    assert cost.total_us == sum(cost.modules_us) == sum(module.us for module in cost.modules)
    assert cost.modules[1].us >= 5000
    assert cost.slowest[0].module == "tiny.part"


async def test_stubs_and_empty_distributions_cost_nothing(site: Path, ctx: Ctx) -> None:
    stubs = await measure_import(ctx, metadata(site, name="types-tiny", files={"tiny-stubs/__init__.pyi": ""}))
    empty = await measure_import(ctx, metadata(site, name="empty"))

    assert stubs == ImportCost(key="types-tiny", modules=[], modules_us=[], total_us=0, note="stub files only")
    assert empty.note == "no importable module of its own"


async def test_an_import_that_fails_says_why(site: Path, ctx: Ctx) -> None:
    package = metadata(
        site, files={"tiny.py": "import sys\nprint('noise', file=sys.stderr)\nraise RuntimeError('no display')\n"}
    )

    with pytest.raises(TerminalError, match=r"^importing tiny of tiny fails: RuntimeError: no display$"):
        await measure_import(ctx, package)


async def test_an_import_that_hangs_is_killed_with_its_children(
    site: Path, ctx: Ctx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(imports, "TIMEOUT_S", 0.6)
    pid = tmp_path / "pid"
    code = "import subprocess, time\nchild = subprocess.Popen(['sleep', '60'])\n"
    code += f"open({str(pid)!r}, 'w').write(str(child.pid))\ntime.sleep(60)\n"

    with pytest.raises(TerminalError, match=r"^importing tiny took more than 0\.6 s$"):
        await measure_import(ctx, metadata(site, files={"tiny.py": code}))

    assert ended(Path("/proc") / pid.read_text() / "stat")


async def test_time_in_which_this_process_stood_still_is_not_the_imports(
    site: Path, ctx: Ctx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "TIMEOUT_S", 0.01)
    monkeypatch.setattr(standstill, "STANDSTILL", Stood())

    cost = await measure_import(ctx, metadata(site, files={"tiny.py": "import time\ntime.sleep(0.1)\n"}))

    assert [module.module for module in cost.modules] == ["tiny"]
    assert cost.total_us >= 100_000  # nothing was lost of what was read before


async def test_an_import_that_babbles_is_cut_off(site: Path, ctx: Ctx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "OUTPUT_BYTES_MAX", 100_000)

    with pytest.raises(TerminalError, match="it prints without end"):
        await measure_import(
            ctx, metadata(site, files={"tiny.py": "import sys\nwhile True:\n    sys.stderr.write('x' * 10000)\n"})
        )


async def test_the_imported_code_sees_no_environment_of_ours(
    site: Path, ctx: Ctx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    code = "import os, pathlib\nassert 'SECRET_TOKEN' not in os.environ\nassert not list(pathlib.Path().iterdir())\n"

    assert (await measure_import(ctx, metadata(site, files={"tiny.py": code}))).modules[0].module == "tiny"


@pytest.mark.parametrize(
    ("paths", "tops"),
    [
        (["a/__init__.py", "a/b.py", "a/c/__init__.py"], ["a"]),
        (["space/one/__init__.py", "space/two.py"], ["space.one", "space.two"]),
        (["_core.abi3.so", "pkg/__init__.py", "pkg/_x.cpython-311-x86_64-linux-gnu.so"], ["pkg", "_core"]),
        (["../evil.py", "a-b/__init__.py", "x y.py", "tests/__init__.py", "docs/conf.py", "one.pyi"], []),
    ],
)
def test_top_level_modules_are_the_shallowest_importable_ones(site: Path, paths: list[str], tops: list[str]) -> None:
    ref = make(site, record="".join(f"{path},,\n" for path in paths))

    assert Installed(site, ref.info).top_level() == tops
