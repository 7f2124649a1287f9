"""The stream of one connection: which one it is, and what becomes of it when the socket closes."""

from __future__ import annotations

from streamd.access.principal import Principal
from streamd.engine.base import Lease
from streamd.errors import Overloaded, WireError
from streamd.live.closing import DONE, DROPPED, Close
from streamd.live.delivery import Attached
from streamd.live.names import NO_NAMES, Names
from streamd.live.outbox import Outbox
from streamd.live.services import Services
from streamd.live.stream import LiveStream
from streamd.observability.spans import Caller
from streamd.protocol import messages

RETRY_AFTER_MS = 5000


class Attachment:
    """Ties a connection to a live stream: a new one, or one that the client resumes.

    Args:
        services: What all connections share.
        lease: Slots for a new stream; None if the server is full, so that only a stream that
            exists can be resumed.
        principal: Who connects, and so whose streams can be opened and resumed.
        peer: Address of the client, for the log.
        refusal: Why there is no lease; None for the number of all streams.
        caller: The trace that a new stream belongs to.
        names: Names from the upgrade, which hold where `hello` leaves them open.
    """

    def __init__(
        self,
        services: Services,
        lease: Lease | None,
        principal: Principal,
        peer: str | None,
        refusal: WireError | None = None,
        caller: Caller | None = None,
        names: Names = NO_NAMES,
    ) -> None:
        self.stream: LiveStream | None = None
        """The stream; None until the first message."""
        self.is_returning = False
        """Whether the stream was resumed and the client has sent nothing since."""
        self.is_superseded = False
        """Whether another connection has the stream."""
        self._services = services
        self._lease = lease
        self._principal = principal
        self._peer = peer
        self._refusal = refusal
        self._caller = caller
        self._names = names
        self._is_held = False
        """Whether the stream waits for another connection."""

    @property
    def may_only_resume(self) -> bool:
        """Return whether there is no stream yet, nor a place for a new one."""
        return self._lease is None and self.stream is None

    def open(self, hello: messages.Hello, connection: Attached) -> Outbox:
        """Begin a new stream, and return its outbox.

        Raises:
            WireError: The client asks for something that the server does not have.
        """
        if self._lease is None:
            reason = Overloaded.code if self._refusal is None else "key"
            self._services.metrics.refused.labels(reason).inc()
            raise self._refusal or Overloaded(
                "no room for another stream; try again later", retry_after_ms=RETRY_AFTER_MS
            )
        stream = LiveStream(self._services, self._lease, self._principal, self._peer, self._caller)
        stream.open(hello, self._names)
        self.stream, self._lease = stream, None
        return stream.attach(connection)

    def resume(self, resume: messages.Resume, connection: Attached) -> tuple[LiveStream, Outbox]:
        """Continue the stream that the client resumes.

        Raises:
            ResumeUnknown: There is no such stream.
        """
        held = self._services.held
        stream = held.find(resume.token, self._principal.tenant)
        outbox = stream.resume(connection, resume.token, resume.last_seq, self._peer)
        stream.principal = self._principal
        self.stream = stream
        held.resumed(stream)
        self.is_returning = True
        self._release()
        return stream, outbox

    def confirm(self) -> None:
        """Take note that the client has sent its first message, and so has received `ready`."""
        self.is_returning = False
        if self.stream is not None:
            self._services.held.confirm(self.stream)

    def supersede(self) -> None:
        """Leave the stream to another connection, with all that was not sent."""
        self.is_superseded = True
        if self.stream is not None:
            self.stream.leave()
            self.stream.take_back()

    def end(self, close: Close) -> None:
        """Take note of how the socket ends, and hold the stream if its client may resume it."""
        stream = self.stream
        if stream is None or self.is_superseded:
            return
        if close.holds and not stream.is_over:
            stream.leave()
            if close is DROPPED:
                stream.take_back()  # no client is left to send anything to
            self._is_held = True
            self._services.held.hold(stream, close.code, close.reason)
        else:
            stream.stop()

    def let_go(self, close: Close) -> None:
        """Give back what belongs to the socket, and end the stream if it ends with it."""
        stream = self.stream
        if stream is None:
            self._release()
        elif self.is_superseded:
            return
        elif self._is_held:
            stream.take_back()
        elif stream.is_ending and (close.holds or close is DONE):
            stream.leave()
            stream.take_back()
            self._services.held.ended(stream)
        else:
            stream.leave()
            self._services.held.forget(stream)
            stream.close(close.code, close.reason)

    def _release(self) -> None:
        """Give back the slots that no stream uses."""
        if self._lease is not None:
            self._services.engine.close(self._lease)
            self._lease = None
