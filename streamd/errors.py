"""Every error that streamd names, with the close code and the exit code of each leaf.

::

    StreamdError                exit 1
    ├── WireError               told to the client as an `error` event (close code)
    │   ├── BadMessage          4000  bad_message      not fatal until the tenth in a row
    │   ├── BadConfig           4002  bad_config       exit 2
    │   ├── UnsupportedAudio    4005  unsupported_audio
    │   ├── TooLarge            1009  too_large
    │   ├── Internal            1011  internal
    │   ├── ResumeUnknown       4004  resume_unknown
    │   ├── SlowConsumer        4008  slow_consumer
    │   ├── Idle                4010  idle
    │   ├── MaxDuration         4011  max_duration
    │   └── Overloaded          4013  overloaded
    ├── HttpError               a request is refused with an HTTP status (HTTP_STATUS)
    ├── ConfigError             exit 3  file, line or key, and what was expected
    ├── CannotConnect           exit 4
    ├── RefusedByServer         exit 5
    ├── NotAudio                exit 6
    ├── ModelMissing            exit 7
    ├── Unavailable             exit 8  address in use, permission, disk
    │   ├── StoreGone                   the database was deleted while it was in use
    │   └── NotErased                   deleted, but not yet past recovery
    ├── WrongUsage              exit 2  of the command line
    ├── BadManifest             exit 2  each fault of an evaluation's manifest with its line
    └── BadName, NameTaken, NoSuchSpeaker, NoSuchWord    exit 2
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

HTTP_STATUS: Final[Mapping[str, int]] = {
    "bad_input": 400,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_large": 413,
    "upgrade_required": 426,
    "internal": 500,
    "overloaded": 503,
    "draining": 503,
}
"""HTTP status of each error code that a request, also one for an upgrade, can be refused with."""


class StreamdError(Exception):
    """Root of everything that streamd raises on purpose. The message says what to do next."""

    exit_code: ClassVar[int] = 1


class WireError(StreamdError):
    """A fault that the client is told about in an `error` event."""

    code: ClassVar[str]
    close_code: ClassVar[int]
    fatal: ClassVar[bool] = True
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, ref: str | None = None, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.ref = ref
        """The field or the message that the error is about, as `audio.rate`."""
        self.retry_after_ms = retry_after_ms


class BadMessage(WireError):
    """A message that is not of the protocol. The stream goes on."""

    code = "bad_message"
    close_code = 4000
    fatal = False


class BadConfig(WireError):
    """A wrong type or a value out of range in `hello` or `config`."""

    exit_code = 2
    code = "bad_config"
    close_code = 4002


class UnsupportedAudio(WireError):
    """A codec, rate, channel count or channel choice that streamd does not take."""

    code = "unsupported_audio"
    close_code = 4005


class TooLarge(WireError):
    """A WebSocket message over `limits.max_message_bytes`."""

    code = "too_large"
    close_code = 1009


class Internal(WireError):
    """A fault of ours. The client may start afresh."""

    code = "internal"
    close_code = 1011
    retryable = True


class ResumeUnknown(WireError):
    """A resume token that is not, or no longer, known."""

    code = "resume_unknown"
    close_code = 4004


class SlowConsumer(WireError):
    """The client does not read its events."""

    code = "slow_consumer"
    close_code = 4008
    retryable = True


class Idle(WireError):
    """Nothing came over the socket for `limits.idle_s`."""

    code = "idle"
    close_code = 4010
    retryable = True


class MaxDuration(WireError):
    """The stream reached `limits.max_session_s` of audio."""

    code = "max_duration"
    close_code = 4011
    retryable = True


class Overloaded(WireError):
    """The machine cannot carry another stream."""

    code = "overloaded"
    close_code = 4013
    retryable = True


class HttpError(StreamdError):
    """A request that is refused.

    Args:
        code: a key of `HTTP_STATUS`.
        message: what is wrong, and what to do next.
        retry_after_ms: how long the client should wait first; None where that would not help.
    """

    def __init__(self, code: str, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms


class ConfigError(StreamdError):
    """A configuration that cannot be used; names the file, the line or the key."""

    exit_code = 3


class CannotConnect(StreamdError):
    """No server answered."""

    exit_code = 4


class RefusedByServer(StreamdError):
    """The server answered with an error."""

    exit_code = 5


class NotAudio(StreamdError):
    """The input is not audio that can be decoded."""

    exit_code = 6


class ModelMissing(StreamdError):
    """A model file is not there, or not the one that was expected."""

    exit_code = 7


class Unavailable(StreamdError):
    """An address in use, a missing permission, a full disk."""

    exit_code = 8


class StoreGone(Unavailable):
    """The database of the store was deleted while a process had it open."""


class NotErased(Unavailable):
    """Something is deleted, but another process keeps its remains from being overwritten."""


class WrongUsage(StreamdError):
    """Arguments of a command that do not go together, or that nothing can be done with."""

    exit_code = 2


class BadManifest(StreamdError):
    """A manifest that cannot be evaluated; one line for each fault, with its place."""

    exit_code = 2


class BadName(StreamdError):
    """A name that no voice, or no wake word, may have."""

    exit_code = 2


class NameTaken(StreamdError):
    """Another voice, or another wake word, has this name."""

    exit_code = 2


class NoSuchSpeaker(StreamdError):
    """A name that nobody is enrolled under."""

    exit_code = 2


class NoSuchWord(StreamdError):
    """A name that no wake word of the user's own has."""

    exit_code = 2
