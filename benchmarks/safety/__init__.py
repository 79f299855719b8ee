"""Measures of what keeps people's data in."""
