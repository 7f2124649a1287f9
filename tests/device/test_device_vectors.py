"""The C client passes the conformance vectors that it can play by design."""

from pathlib import Path

import pytest
from conformance import Vector, as_told, differences, vectors
from vector_clients import Device
from vector_player import staged

pytestmark = [pytest.mark.device, pytest.mark.models]

PLAYED = [vector for vector in vectors() if Device.cannot(vector) is None]


@pytest.mark.parametrize("vector", PLAYED, ids=lambda vector: vector.name)
async def test_the_client_passes_the_vectors(daemon, programs: Path, vector: Vector):
    Device.folder = programs
    async with staged(daemon, vector) as stage:
        seen = await Device(stage, vector).play()
    assert differences(as_told(vector, Device.hidden), seen) == []
