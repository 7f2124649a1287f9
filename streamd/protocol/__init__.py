"""The wire protocol: WebSocket messages to typed ones, with every fault at its place."""
