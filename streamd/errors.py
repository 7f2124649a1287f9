"""Every error that streamd names, with what clients and shells get for each leaf.

::

                                 exit  code                 close  HTTP
    StreamdError                 1
    ├── Refusal                        a client receives it: over HTTP as a status and a JSON body
    │   ├── WireError                  or as an `error` event, which comes before any close
    │   │   ├── BadMessage             bad_message          4000   400
    │   │   ├── BadConfig        2     bad_config           4002   400
    │   │   ├── UnsupportedAudio       unsupported_audio    4005   415
    │   │   ├── TooLarge               too_large            1009   413
    │   │   ├── Internal               internal             1011   500
    │   │   ├── ResumeUnknown          resume_unknown       4004   404
    │   │   ├── SlowConsumer           slow_consumer        4008
    │   │   ├── Idle                   idle                 4010
    │   │   ├── MaxDuration            max_duration         4011
    │   │   ├── Overloaded             overloaded           4013   503
    │   │   ├── Unauthenticated        unauthenticated      4001   401
    │   │   ├── Forbidden              forbidden            4003   403
    │   │   └── RateExceeded           rate_exceeded        4012   429
    │   ├── UnknownUtterance           unknown_utterance
    │   ├── TwoVoices                  two_voices
    │   ├── BadInput                   bad_input                   400
    │   │   └── Stalled                bad_input                   400
    │   ├── NotFound                   not_found                   404
    │   │   ├── NoSuchSpeaker    2     not_found                   404
    │   │   ├── NoSuchWord       2     not_found                   404
    │   │   └── NoSuchKey        2     not_found                   404
    │   ├── MethodNotAllowed           method_not_allowed          405
    │   ├── Conflict                   conflict                    409
    │   │   └── NameTaken        2     conflict                    409
    │   ├── OutOfRange                 out_of_range                422
    │   ├── UnsupportedLanguage        unsupported_language 4002   422
    │   ├── TooShort                   too_short                   422
    │   ├── UpgradeRequired            upgrade_required            426
    │   ├── Draining                   draining                    503
    │   ├── BadName              2     bad_name                    400
    │   ├── NotAudio             6     not_audio                   415
    │   ├── ModelMissing         7     not_loaded                  501
    │   └── Unavailable          8     unavailable                 503
    │       ├── StoreGone        8     unavailable                 503
    │       ├── NotErased        8     unavailable                 503
    │       └── NotAudited       8     unavailable                 503
    ├── ConfigError              3
    ├── CannotConnect            4
    ├── RefusedByServer          5
    ├── WrongUsage               2
    ├── AuditBroken              1
    └── BadManifest              2
"""

from __future__ import annotations

from typing import ClassVar


class StreamdError(Exception):
    """Root of everything that streamd raises on purpose. The message says what to do next."""

    exit_code: ClassVar[int] = 1


class Refusal(StreamdError):
    """A fault that a client receives, over HTTP as a status and a JSON body.

    Args:
        message: What is wrong, and what to do next.
        ref: The field or the message that the error is about, as `audio.rate`.
        retry_after_ms: How long the client should wait first; None is `usual_wait_ms`.
    """

    code: ClassVar[str]
    close_code: ClassVar[int] = 1011
    """Close code of the WebSocket that ends with it."""
    status: ClassVar[int] = 400
    """Status of the HTTP answer."""
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later."""
    usual_wait_ms: ClassVar[int | None] = None
    """How long to wait first, of all with the status 429 or 503; None where that would not help."""

    def __init__(
        self, message: str, *, ref: str | None = None, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.ref = ref
        self.retry_after_ms = self.usual_wait_ms if retry_after_ms is None else retry_after_ms


class WireError(Refusal):
    """A fault that the client of a stream receives as an `error` event."""

    fatal: ClassVar[bool] = True


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
    status = 415


class TooLarge(WireError):
    """A WebSocket message over `limits.max_message_bytes`, or a request that is too long."""

    code = "too_large"
    close_code = 1009
    status = 413


class Internal(WireError):
    """A fault of streamd's own. The client may start afresh."""

    code = "internal"
    close_code = 1011
    status = 500
    retryable = True


class ResumeUnknown(WireError):
    """A resume token that is unknown, or no longer known."""

    code = "resume_unknown"
    close_code = 4004
    status = 404


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
    status = 503
    retryable = True
    usual_wait_ms = 1000


class Unauthenticated(WireError):
    """No key or ticket, or one that is not good, or no longer."""

    code = "unauthenticated"
    close_code = 4001
    status = 401


class Forbidden(WireError):
    """The client may not do this."""

    code = "forbidden"
    close_code = 4003
    status = 403


class RateExceeded(WireError):
    """More connections, messages or requests than the key may have."""

    code = "rate_exceeded"
    close_code = 4012
    status = 429
    retryable = True
    usual_wait_ms = 1000


class UnknownUtterance(Refusal):
    """An utterance that is not over at this place of the stream, or that is too long ago."""

    code = "unknown_utterance"


class TwoVoices(Refusal):
    """Utterances that are not of one voice."""

    code = "two_voices"


class BadInput(Refusal):
    """A request that is malformed, or has a field of a wrong type."""

    code = "bad_input"
    status = 400


class Stalled(BadInput):
    """A request whose body stopped coming."""

    retryable = True


class NotFound(Refusal):
    """There is nothing at this path."""

    code = "not_found"
    status = 404


class NoSuchSpeaker(NotFound):
    """A name that nobody is enrolled under."""

    exit_code = 2


class NoSuchWord(NotFound):
    """A name that no wake word of the user's own has."""

    exit_code = 2


class NoSuchKey(NotFound):
    """A name that no valid API key has."""

    exit_code = 2


class MethodNotAllowed(Refusal):
    """The path does not take this method."""

    code = "method_not_allowed"
    status = 405


class Conflict(Refusal):
    """A request that contradicts the present state."""

    code = "conflict"
    status = 409


class NameTaken(Conflict):
    """Another voice, or another wake word, has this name."""

    exit_code = 2


class OutOfRange(Refusal):
    """A field of the right type with a value that is not taken."""

    code = "out_of_range"
    status = 422


class UnsupportedLanguage(Refusal):
    """A language that the transcriber does not know."""

    code = "unsupported_language"
    close_code = 4002
    status = 422


class TooShort(Refusal):
    """Audio with less speech than the answer needs."""

    code = "too_short"
    status = 422


class UpgradeRequired(Refusal):
    """The path is a WebSocket."""

    code = "upgrade_required"
    status = 426


class Draining(Refusal):
    """The server is about to stop."""

    code = "draining"
    status = 503
    retryable = True
    usual_wait_ms = 1000


class BadName(Refusal):
    """A name that no voice, or no wake word, may have."""

    exit_code = 2
    code = "bad_name"
    status = 400


class NotAudio(Refusal):
    """The input is not audio that can be decoded."""

    exit_code = 6
    code = "not_audio"
    status = 415


class ModelMissing(Refusal):
    """A model file is not there, or not the one that was expected."""

    exit_code = 7
    code = "not_loaded"
    status = 501


class Unavailable(Refusal):
    """An address in use, a missing permission or a full disk."""

    exit_code = 8
    code = "unavailable"
    status = 503
    retryable = True
    usual_wait_ms = 1000


class StoreGone(Unavailable):
    """The database of the store was deleted while a process had it open."""


class NotErased(Unavailable):
    """Something is deleted, but another process keeps its remains from being overwritten."""


class NotAudited(Unavailable):
    """Something is done, but the audit log does not have it."""


class ConfigError(StreamdError):
    """A configuration that cannot be used; names the file, the line or the key."""

    exit_code = 3


class CannotConnect(StreamdError):
    """No server answered."""

    exit_code = 4


class RefusedByServer(StreamdError):
    """The server answered with an error."""

    exit_code = 5


class AuditBroken(StreamdError):
    """An audit log that was changed after it was written; names the place."""


class WrongUsage(StreamdError):
    """Arguments of a command that do not fit together, or with which nothing can be done."""

    exit_code = 2


class BadManifest(StreamdError):
    """A manifest that cannot be evaluated; one line for each fault, with its place."""

    exit_code = 2


def forget_frames(error: BaseException | None) -> None:
    """Forget where an error was raised, and those that it came of.

    The frames refer to their callers and to all their variables. Where one of these keeps the
    error, a cycle keeps them all: with a stream's error, its connection.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__
