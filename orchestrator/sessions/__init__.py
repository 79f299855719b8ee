"""Conversations: which turns a run sees, what is left of the others, and how turns get one order. Knows no engine."""
