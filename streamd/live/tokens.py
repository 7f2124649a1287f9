"""Resume tokens: which stream a client resumes."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from streamd.errors import ResumeUnknown

if TYPE_CHECKING:
    from streamd.live.stream import LiveStream

_BYTES = 24
"""Random bytes of a token: nobody guesses 192 bits."""


class Tokens:
    """The valid tokens, at most two for each stream.

    Every `ready` brings a new token. The token in the client's `hello` stays valid until the client
    has sent something else on the new socket, so that a `ready` lost on its way costs nothing.
    """

    def __init__(self) -> None:
        self._streams: dict[str, LiveStream] = {}
        self._tokens: dict[LiveStream, list[str]] = {}
        """The tokens of each stream, the newest last."""

    def issue(self, stream: LiveStream, presented: str | None) -> str:
        """Make a new token; of the earlier ones only the presented one stays valid."""
        token = f"r_{secrets.token_urlsafe(_BYTES)}"
        self._keep(stream, [presented, token] if presented is not None else [token])
        return token

    def confirm(self, stream: LiveStream) -> None:
        """Forget all tokens but the newest, because the client has received it."""
        if tokens := self._tokens.get(stream):
            self._keep(stream, tokens[-1:])

    def has(self, stream: LiveStream) -> bool:
        """Return whether a client can resume this stream."""
        return stream in self._tokens

    def find(self, token: str, tenant: str) -> LiveStream:
        """Return the stream of a token.

        Raises:
            ResumeUnknown: There is none, or it is another tenant's.
        """
        stream = self._streams.get(token)
        if stream is None or stream.tenant != tenant:
            raise ResumeUnknown("no stream has this token; start a new one", ref="resume.token")
        return stream

    def forget(self, stream: LiveStream) -> None:
        """Forget all tokens of a stream."""
        self._keep(stream, [])

    def _keep(self, stream: LiveStream, tokens: list[str]) -> None:
        for token in self._tokens.pop(stream, ()):
            del self._streams[token]
        if tokens:
            self._tokens[stream] = tokens
            self._streams.update(dict.fromkeys(tokens, stream))
