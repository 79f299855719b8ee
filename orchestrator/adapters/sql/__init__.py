"""Adapters that keep their facts in a SQL database."""
