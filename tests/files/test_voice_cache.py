"""The cache of voices of files: bounded, each tenant's its own, and emptied when it must be."""

from collections import OrderedDict
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamd.files.voice_cache import FileVoice
from streamd.observability.metrics import Metrics


def voice(number: int) -> FileVoice:
    return FileVoice(np.full(2, number, np.float32), number, "wide")


async def test_a_voice_is_found_as_it_was_put(caches: Any) -> None:
    cache = caches.open(10, Metrics())
    embedding = np.linspace(-1, 1, 256, dtype=np.float32)
    await cache.put("default", b"a", FileVoice(embedding, 1234, "narrow"))
    await cache.put("default", b"b", FileVoice(None, 0, "wide"))
    found = await cache.get("default", b"a")
    assert (found.speech_ms, found.channel) == (1234, "narrow")
    assert found.embedding.dtype == np.float32
    assert np.array_equal(found.embedding, embedding)
    assert await cache.get("default", b"b") == FileVoice(None, 0, "wide")
    await cache.close()


async def test_a_tenant_finds_its_own_voices_only(caches: Any) -> None:
    metrics = Metrics()
    cache = caches.open(10, metrics)
    await cache.put("acme", b"a", voice(1))
    assert await cache.get("acme", b"a") is not None
    assert await cache.get("default", b"a") is None
    await cache.put("default", b"a", voice(2))
    await cache.forget("acme")
    assert await cache.get("acme", b"a") is None
    found = await cache.get("default", b"a")
    assert found is not None
    assert found.speech_ms == 2
    read = metrics.registry.get_sample_value
    assert read("streamd_voice_cache_lookups_total", {"result": "hit"}) == 2
    assert read("streamd_voice_cache_lookups_total", {"result": "miss"}) == 2
    assert read("streamd_voice_cache_limit") == 10
    if caches.server is None:
        assert read("streamd_voice_cache_entries") == 1
    await cache.close()


async def test_a_cache_of_no_size_remembers_nothing(caches: Any) -> None:
    cache = caches.open(0, Metrics())
    await cache.put("default", b"a", voice(1))
    assert await cache.get("default", b"a") is None


ACTS = st.lists(
    st.tuples(st.sampled_from(["get", "put", "forget"]), st.integers(0, 1), st.integers(0, 5)),
    max_size=60,
)


@given(ACTS, st.integers(0, 4))
async def test_it_is_a_dictionary_that_drops_what_was_longest_unused(
    caches: Any, acts: list[tuple[str, int, int]], most: int
) -> None:
    cache = caches.open(most, Metrics())
    model: OrderedDict[tuple[str, bytes], int] = OrderedDict()
    for number, (act, tenant_number, file) in enumerate(acts):
        tenant, digest = f"t{tenant_number}", bytes([file])
        if act == "put":
            await cache.put(tenant, digest, voice(number))
            model[tenant, digest] = number
            model.move_to_end((tenant, digest))
            theirs = [k for k in model if k[0] == tenant or not caches.is_bounded_for_each_tenant]
            for key in theirs[: max(len(theirs) - most, 0)]:
                del model[key]
        elif act == "forget":
            await cache.forget(tenant)
            for key in [key for key in model if key[0] == tenant]:
                del model[key]
        else:
            found = await cache.get(tenant, digest)
            assert (None if found is None else found.speech_ms) == model.get((tenant, digest))
            if found is not None:
                model.move_to_end((tenant, digest))
    await cache.close()
