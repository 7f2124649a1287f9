/* A test is a program that ends with an error at the first check that fails. */
#ifndef STREAMD_CHECK_H
#define STREAMD_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(holds)                                                                     \
    do {                                                                                 \
        if (!(holds)) {                                                                  \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #holds);    \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

/* Random numbers that are the same in each run (xorshift64*). */
struct chance {
    uint64_t state;
};

static inline uint32_t chance_next(struct chance *chance)
{
    chance->state ^= chance->state >> 12;
    chance->state ^= chance->state << 25;
    chance->state ^= chance->state >> 27;
    return (uint32_t)(chance->state * UINT64_C(2685821657736338717) >> 32);
}

/* A number below `end`. */
static inline uint32_t chance_below(struct chance *chance, uint32_t end)
{
    return chance_next(chance) % end;
}

static inline struct chance chance_of(uint64_t seed)
{
    return (struct chance){seed * UINT64_C(2654435761) + 88172645463325252u};
}

#endif
