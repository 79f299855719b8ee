"""The PostgreSQL journal: the truth about the runs of a fleet, and who owns them."""
