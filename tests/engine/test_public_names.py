"""What `import orchestrator` gives, and what it costs."""

import subprocess
import sys

import orchestrator


def test_every_public_name_can_be_imported() -> None:
    found = {name: getattr(orchestrator, name) for name in orchestrator.__all__}
    assert all(value is not None for value in found.values())
    assert sorted(orchestrator.__all__) == orchestrator.__all__ == dir(orchestrator)


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import sys, orchestrator; print([m for m in sys.modules if m.startswith(('orchestrator.', 'pydantic'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
