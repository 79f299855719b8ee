"""A deterministic simulator: real engines in a world of faults, one seed per history."""
