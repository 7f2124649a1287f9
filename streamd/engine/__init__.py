"""The engine: it runs the jobs of all streams in batches, on compute threads."""
