"""`POST /v1/verify-speaker` and `POST /v1/batch-verify`: whether files have the same voice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from streamd.errors import BadInput, NotAudio, Refusal, TooLarge, TooShort
from streamd.files.comparison import Verification, required, verify
from streamd.files.sessions import Progress
from streamd.files.voice_cache import FileVoice
from streamd.files.voice_reading import speaker_settings, voice_models
from streamd.live.services import Services
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.bodies import File
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.rest.together import TotalProgress, read_all
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
FILES_AT_ONCE = 8
"""Files of one request in work, so that it leaves turns of the lane to others."""

T = TypeVar("T")

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
    reference, tests = await _voices(call, voice_of)
    if reference is None or not tests:
        missing = "reference" if reference is None else "test"
        raise BadInput(
            f"the file `{missing}` is missing: send two files as multipart fields `reference` and "
            "`test`",
            ref=missing,
        )
    _, test = tests[-1]
    found = compared(call.rest.services, call.principal.tenant, reference, test)
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
    reference, tests = await _voices(call, _tested)
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


def compared(
    services: Services, tenant: str, reference: FileVoice, test: FileVoice
) -> Verification:
    """Compare two voices, each of which is there, with the thresholds of a tenant."""
    thresholds = speaker_settings(services.registry).thresholds
    accept = services.gallery(tenant).accept
    return verify(reference, test, voice_models(services.registry), thresholds.calibrated(accept))


async def voice_of(call: Call, file: File, progress: Progress) -> FileVoice:
    """Return the voice in a file, which has enough speech.

    Raises:
        TooShort: It has not.
        Refusal: It cannot be read.
    """
    voice = await call.rest.voices.voice(file.body, file.name, call.principal.tenant, progress)
    required(voice, file.name)
    return voice


async def _tested(call: Call, file: File, progress: Progress) -> FileVoice | Refusal:
    try:
        return await voice_of(call, file, progress)
    except (NotAudio, TooLarge, TooShort) as refusal:
        return refusal


async def _voices(
    call: Call, test_of: Callable[[Call, File, Progress], Awaitable[T]]
) -> tuple[FileVoice | None, list[tuple[str, T]]]:
    """Return the voice of the last reference, and of each test in its order the name and result.

    Raises:
        BadInput: There are too many tests.
        Refusal: A file cannot be read.
    """
    references: dict[int, FileVoice] = {}
    tests: dict[int, tuple[str, T]] = {}
    count = 0
    total = TotalProgress(call.progress)

    async def read(number: int, file: File) -> None:
        nonlocal count
        if file.field == "reference":
            references[number] = await voice_of(call, file, total.of_one())
        elif file.field in TEST_FIELDS:
            count += 1
            if count > MAX_TESTS:
                raise BadInput(f"there are more than {MAX_TESTS} tests; send fewer at once")
            tests[number] = file.name, await test_of(call, file, total.of_one())

    at_once = min(FILES_AT_ONCE, call.rest.config.files.max_at_once)
    await read_all(call.form, at_once, read)
    reference = references[max(references)] if references else None
    return reference, [tests[number] for number in sorted(tests)]


def _result(call: Call, reference: FileVoice, name: str, test: FileVoice | Refusal) -> BatchResult:
    if isinstance(test, Refusal):
        fault = Fault(code=test.code, message=test.message, ref=test.ref, retryable=test.retryable)
        return BatchResult(filename=name, error=fault)
    found = compared(call.rest.services, call.principal.tenant, reference, test)
    return BatchResult(
        filename=name,
        similarity=round(found.similarity, 4),
        result=found.decision == "accept",
    )
