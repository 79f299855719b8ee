"""The root of the tree of errors."""


class OrchestratorError(Exception):
    """Root of all errors of this project."""
