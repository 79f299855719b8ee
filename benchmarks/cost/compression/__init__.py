"""Compression: what survives when a conversation is cut to a quarter, beside plain truncation and a plain summary."""
