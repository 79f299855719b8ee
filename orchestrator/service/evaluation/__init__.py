"""Evaluation of a user's own plans: test sets, their runs, and whether they got better or worse."""
