"""Task families. Modules here run in the task host, a process of its own: they know the answers."""
