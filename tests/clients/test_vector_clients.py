"""Every client of the project passes the conformance vectors that it can play by design."""

import pytest
from conformance import as_told, differences, vectors
from vector_clients import Pi, Playing, Sdk
from vector_player import staged

pytestmark = [pytest.mark.device, pytest.mark.models]

CLIENTS = (Sdk, Pi)
ALL = vectors()


@pytest.mark.parametrize(
    ("client", "vector"),
    [(c, v) for c in CLIENTS for v in ALL if c.cannot(v) is None],
    ids=lambda one: one.name if hasattr(one, "name") else one.__name__,
)
async def test_a_client_passes_the_vectors(client: type[Playing], vector, daemon):
    async with staged(daemon, vector) as stage:
        seen = await client(stage, vector).play()
    assert differences(as_told(vector, client.hidden), seen) == []
