"""How the tables of a PostgreSQL journal came to be: one file per change, applied by `orchestrator db upgrade`."""
