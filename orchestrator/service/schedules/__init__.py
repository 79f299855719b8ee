"""Schedules: plans that start by the clock, each moment once, over any number of processes."""
