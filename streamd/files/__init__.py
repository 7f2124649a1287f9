"""A session over a whole file: no socket, the same events."""
