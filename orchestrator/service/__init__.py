"""How other processes reach the one that owns the runs."""
