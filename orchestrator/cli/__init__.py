"""The command line. This module stays tiny: what a command needs is imported when that command is called."""

import sys


def main() -> int:
    """The installed command `orchestrator`; returns its exit code (see `orchestrator.cli.exits`)."""
    from orchestrator.cli.root import run

    return run(sys.argv[1:])
