"""Every client of the project passes the conformance vectors that it can play by design."""

import pytest
from conformance import FOLDER, as_told, differences, vectors
from vector_clients import Device, Page, Pi, Sdk
from vector_player import staged
from vector_playing import Playing, table

CLIENTS = (Sdk, Pi, Page)
MARKS = {Page: pytest.mark.browser}
ALL = vectors()


@pytest.mark.models
@pytest.mark.parametrize(
    ("client", "vector"),
    [
        pytest.param(c, v, marks=MARKS.get(c, pytest.mark.device), id=f"{c.__name__}-{v.name}")
        for c in CLIENTS
        for v in ALL
        if c.cannot(v) is None
    ],
)
async def test_a_client_passes_the_vectors(client: type[Playing], vector, daemon):
    async with staged(daemon, vector) as stage:
        seen = await client(stage, vector).play()
    assert differences(as_told(vector, client.hidden), seen) == []


def test_the_readme_names_what_a_client_does_not_play_and_why():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = table((*CLIENTS, Device), ALL)
    assert rows in page, f"the table is:\n{rows}"
