"""The shell around the core: drives runs, performs commands, recovers."""
