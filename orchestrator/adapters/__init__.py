"""Concrete adapters of the ports; named by the composition root alone."""
