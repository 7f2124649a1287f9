"""The transcripts of `docs/wire.md` are what a server answers."""

import pytest
from transcripts import PAGE, are_same, play_all, rewritten, transcripts

pytestmark = pytest.mark.docs

TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.models
async def test_every_transcript_is_what_a_server_answers():
    played = await play_all(TEXT)
    assert sum(len(one.sent) for one, _ in played) == TEXT.count("\n→ ")
    for transcript, answers in played:
        assert are_same(transcript.answers, answers), (
            f"{transcript.sent}: {answers}; run: python tests/transcripts.py"
        )
    assert rewritten(TEXT, played) == TEXT


def test_a_transcript_that_says_otherwise_is_rewritten_and_no_other():
    first, second = transcripts(TEXT)[:2]
    answers = [{**event, "t0": 1} if "t0" in event else event for event in second.answers]
    played = [(one, one.answers) for one in transcripts(TEXT)]
    played[1] = (second, answers)
    page = rewritten(TEXT, played)
    again = transcripts(page)
    assert again[0].answers == first.answers
    assert again[1].answers == answers
    assert [one.answers for one in again[2:]] == [one.answers for one in transcripts(TEXT)[2:]]
    assert len(page.splitlines()) == len(TEXT.splitlines())
