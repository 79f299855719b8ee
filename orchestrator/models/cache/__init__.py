"""Answers served again: what may be, under which key, when a like question has the same answer, and when not."""
