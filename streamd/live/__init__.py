"""One live stream, from its socket to the engine and back: everything that awaits."""
