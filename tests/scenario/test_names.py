"""The test kit's names are there under `orchestrator.testing`, and cost nothing until they are used."""

import subprocess
import sys

import orchestrator.testing


def test_every_name_is_what_its_module_says() -> None:
    for name in orchestrator.testing.__all__:
        found = getattr(orchestrator.testing, name)
        assert found.__name__ == name
        assert found.__module__.startswith("orchestrator.testing.")
    assert dir(orchestrator.testing) == orchestrator.testing.__all__ == sorted(orchestrator.testing.__all__)


def test_importing_the_package_loads_no_engine() -> None:
    code = "import sys, orchestrator.testing; print('orchestrator.app' in sys.modules, 'hypothesis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
