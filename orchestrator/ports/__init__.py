"""One Protocol per file: what the engine needs of the world, in at most six methods each."""
