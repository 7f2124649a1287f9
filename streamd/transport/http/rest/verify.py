"""`POST /v1/verify-speaker` and `POST /v1/batch-verify`: whether files have the same voice."""

from __future__ import annotations

from contextlib import aclosing

from streamd.errors import BadInput, NotAudio, Refusal, TooLarge, TooShort
from streamd.files.comparison import required, verify
from streamd.files.voice_cache import FileVoice
from streamd.files.voice_reading import speaker_settings
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.forms import File
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.rest.voice_replies import (
    BatchReply,
    BatchResult,
    Fault,
    VerifyReply,
)
from streamd.transport.http.routes import About, Route

TEST_FIELDS = ("test", "tests")
MAX_TESTS = 200
"""Tests of one request."""

_VERIFIED = About(
    "Whether the file in `test` has the voice of the file in `reference`.",
    VerifyReply,
    file="test",
    more_files=("reference",),
    example=VerifyReply(
        processing_time_ms=84.213,
        similarity=0.9132,
        verification_result=True,
        decision="accept",
        threshold=0.78,
    ),
)
_BATCH = About(
    "Which of the files in `tests` have the voice of the file in `reference`.",
    BatchReply,
    file="tests",
    are_files=True,
    more_files=("reference",),
    example=BatchReply(
        processing_time_ms=132.604,
        batch_results=[
            BatchResult(filename="ada2.wav", similarity=0.9132, result=True),
            BatchResult(
                filename="notes.txt",
                error=Fault(
                    code="not_audio",
                    message="notes.txt: cannot be decoded as audio",
                    ref=None,
                    retryable=False,
                ),
            ),
        ],
        total_count=2,
    ),
)


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    return [
        route(rest, "POST", "/v1/verify-speaker", verified, scope="stream", about=_VERIFIED),
        route(rest, "POST", "/v1/batch-verify", batch_verified, scope="stream", about=_BATCH),
    ]


async def verified(call: Call) -> VerifyReply:
    """Compare the voice in `test` with that in `reference`.

    Raises:
        BadInput: One of them is missing.
        TooShort: There is too little speech in one.
        Refusal: One cannot be read.
    """
    reference: FileVoice | None = None
    test: FileVoice | None = None
    async with aclosing(call.form.files()) as files:
        async for file in files:
            if file.field == "reference":
                reference = await voice_of(call, file)
            elif file.field in TEST_FIELDS:
                test = await voice_of(call, file)
    if reference is None or test is None:
        missing = "reference" if reference is None else "test"
        raise BadInput(
            f"the file `{missing}` is missing: send two files as multipart fields `reference` and "
            "`test`",
            ref=missing,
        )
    found = verify(reference, test, speaker_settings(call.rest.services.registry).thresholds)
    return VerifyReply(
        similarity=round(found.similarity, 4),
        verification_result=found.decision == "accept",
        decision=found.decision,
        threshold=found.threshold,
    )


async def batch_verified(call: Call) -> BatchReply:
    """Compare the voice in each of `tests` with that in `reference`; a bad test fails alone.

    Raises:
        BadInput: The reference is missing, or there is no test, or there are too many.
        TooShort: There is too little speech in the reference.
        Refusal: The reference cannot be read, or no file can now.
    """
    reference: FileVoice | None = None
    tests: list[tuple[str, FileVoice | Refusal]] = []
    async with aclosing(call.form.files()) as files:
        async for file in files:
            if file.field == "reference":
                reference = await voice_of(call, file)
            elif file.field in TEST_FIELDS:
                if len(tests) == MAX_TESTS:
                    raise BadInput(f"there are more than {MAX_TESTS} tests; send fewer at once")
                tests.append((file.name, await _tested(call, file)))
    if reference is None:
        raise BadInput(
            "the file `reference` is missing: send it as a multipart field of that name",
            ref="reference",
        )
    if not tests:
        raise BadInput(
            "there is nothing to compare with: send files as multipart fields `tests`", ref="tests"
        )
    results = [_result(call, reference, name, test) for name, test in tests]
    return BatchReply(batch_results=results, total_count=len(results))


async def voice_of(call: Call, file: File) -> FileVoice:
    """Return the voice in a file, which has enough speech.

    Raises:
        TooShort: It has not.
        Refusal: It cannot be read.
    """
    voices, tenant = call.rest.voices, call.principal.tenant
    voice = await voices.voice(file.body, file.name, tenant, call.progress)
    required(voice, file.name)
    return voice


async def _tested(call: Call, file: File) -> FileVoice | Refusal:
    try:
        return await voice_of(call, file)
    except (NotAudio, TooLarge, TooShort) as refusal:
        return refusal


def _result(call: Call, reference: FileVoice, name: str, test: FileVoice | Refusal) -> BatchResult:
    if isinstance(test, Refusal):
        fault = Fault(code=test.code, message=test.message, ref=test.ref, retryable=test.retryable)
        return BatchResult(filename=name, error=fault)
    found = verify(reference, test, speaker_settings(call.rest.services.registry).thresholds)
    return BatchResult(
        filename=name,
        similarity=round(found.similarity, 4),
        result=found.decision == "accept",
    )
