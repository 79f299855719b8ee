"""Who is at the terminal, for the journal."""


def who() -> str:
    """The user's name, as the system knows it; empty where it does not."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
