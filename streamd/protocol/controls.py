"""Names of the control messages. The client imports them without the types of messages."""

from __future__ import annotations

CONTROLS = frozenset({"flush", "gap", "config", "enrol", "end"})
"""Types of the messages that act at their place in the stream. A client that comes back sends those
again that the server has not counted, and so those that were refused are counted too."""
