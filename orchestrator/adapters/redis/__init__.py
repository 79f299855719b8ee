"""Redis and Valkey behind the ports: tasks and messages over streams, dead letters, provider limits."""
