"""One file per section of the report; each has `run(options) -> Report`."""
