"""Metrics in five groups, counted from the journal's facts: they survive restarts and agree with `why` and `cost`."""
