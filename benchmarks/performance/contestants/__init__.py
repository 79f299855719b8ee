"""One file per contestant; each is run as `python -m …contestants.NAME JOB` and prints one JSON line."""
