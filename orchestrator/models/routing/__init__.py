"""Routing: which tier a step begins with, by rules, by what was learnt, or by a cascade on the checks' verdict."""
