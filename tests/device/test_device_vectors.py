"""The C client passes the conformance vectors that it can play by design."""

import pytest
from conformance import as_told, differences, vectors
from vector_clients import Device
from vector_player import staged

PLAYED = [vector for vector in vectors() if Device.cannot(vector) is None]

pytestmark = [pytest.mark.device, pytest.mark.models]


@pytest.mark.parametrize("vector", PLAYED, ids=[vector.name for vector in PLAYED])
async def test_the_c_client_passes_the_vectors(vector, daemon, programs):
    async with staged(daemon, vector) as stage:
        client = Device(stage, vector)
        client.folder = programs
        seen = await client.play()
    assert differences(as_told(vector, client.hidden), seen) == []
