"""The rules of a run as a pure machine: no IO, no clock, no randomness, no await."""
