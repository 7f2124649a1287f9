/* The ring against a plain list, at every size and with every wrap. */
#include "check.h"
#include "ring.h"

#include <string.h>

#define MOST 200000u

static struct streamd_ring ring;
static struct {
    size_t size;
    uint32_t samples;
    uint8_t first;
} list[MOST];

static void check(size_t oldest, size_t next, size_t end)
{
    struct ring_record record;

    CHECK(ring.records == end - oldest && ring.unsent == end - next);
    CHECK(ring_oldest(&ring, &record) == (oldest < end));
    if (oldest < end) {
        CHECK(record.size == list[oldest].size && record.samples == list[oldest].samples);
        CHECK(record.data[0] == list[oldest].first);
        CHECK(record.data[record.size - 1] == list[oldest].first);
    }
    CHECK(ring_next(&ring, &record) == (next < end));
    if (next < end) {
        CHECK(record.size == list[next].size && record.samples == list[next].samples);
        CHECK(record.data[0] == list[next].first);
        CHECK(record.data + record.size <= ring.bytes + STREAMD_RING_BYTES);
    }
}

static void run(uint64_t seed, uint32_t largest)
{
    struct chance chance = chance_of(seed);
    size_t oldest = 0, next = 0, end = 0;

    ring_init(&ring, 2);
    for (int i = 0; i < 20000 && end < MOST; i++) {
        uint32_t what = chance_below(&chance, 16);
        if (what < 7) {
            uint8_t data[STREAMD_MESSAGE_BYTES];
            size_t size = 2 * (1 + chance_below(&chance, largest / 2));
            memset(data, (int)(end & 0xFF), size);
            while (!ring_fits(&ring, size)) {
                ring_drop(&ring);
                oldest++;
            }
            if (next < oldest)
                next = oldest;
            ring_add(&ring, data, size, (unsigned)(size / 2));
            list[end].size = size;
            list[end].samples = (uint32_t)(size / 2);
            list[end++].first = data[0];
        } else if (what < 9) {
            uint8_t data[STREAMD_MESSAGE_BYTES];
            size_t size = ring_can_extend(&ring);
            if (size > 0) {
                CHECK(next < end && list[end - 1].size + size <= STREAMD_MESSAGE_BYTES);
                size = size > 64 ? 64 : size;
                memset(data, list[end - 1].first, size);
                ring_extend(&ring, data, size);
                list[end - 1].size += size;
                list[end - 1].samples += (uint32_t)(size / 2);
            }
        } else if (what < 13 && next < end) {
            ring_sent(&ring);
            next++;
        } else if (what == 13 && oldest < next) {
            ring_drop(&ring);
            oldest++;
        } else if (what == 14 && oldest < end && list[oldest].samples > 1) {
            unsigned samples = chance_below(&chance, list[oldest].samples - 1) + 1;
            ring_trim(&ring, samples);
            list[oldest].samples -= samples;
            list[oldest].size -= 2 * samples;
        } else if (what == 15 && chance_below(&chance, 50) == 0) {
            ring_rewind(&ring);
            next = oldest;
        }
        check(oldest, next, end);
    }
}

int main(void)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        run(seed, 8);
        run(seed, 400);
        run(seed, STREAMD_MESSAGE_BYTES);
    }
    return 0;
}
