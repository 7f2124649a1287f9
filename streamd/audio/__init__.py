"""Audio in: bytes to samples on the session's timeline, and the clock that dates them."""
