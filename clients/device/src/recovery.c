/* What a client does when its connection ends or is refused, and how long it waits before. */
#include "recovery.h"

#define BASE_MS 500u   /* longest wait before the first attempt */
#define CAP_MS 10000u  /* longest wait before any attempt */
#define RESTART_FROM_MS 1000u /* waits after a server has restarted: all its clients come back */
#define RESTART_TO_MS 5000u
#define SLOWER_FROM_MS 2000u /* waits after the client was too fast */
#define SLOWER_TO_MS 5000u

enum recovery recovery_after_close(int code, unsigned faults)
{
    switch (code) {
    case CLOSE_NONE:
    case 4008: /* slow_consumer */
    case 4010: /* idle */
    case 4012: /* rate_exceeded */
    case 4013: /* overloaded */
        return RECOVERY_AGAIN;
    case CLOSE_FAULT:
        return faults > 1 ? RECOVERY_STOP : RECOVERY_AGAIN;
    case 1001: /* going away */
    case 1012: /* restarting */
    case CLOSE_UNKNOWN:
    case 4011: /* max_duration */
        return RECOVERY_AFRESH;
    case 4014: /* resume_elsewhere */
        return RECOVERY_MOVE;
    default:
        return RECOVERY_STOP;
    }
}

enum recovery recovery_after_status(int status)
{
    switch (status) {
    case STATUS_TOO_FAST:
    case 500:
    case 502:
    case 503:
    case 504:
        return RECOVERY_AGAIN;
    default:
        return RECOVERY_STOP;
    }
}

int recovery_is_too_fast(int close_code, int http_status)
{
    return close_code == 4012 || http_status == STATUS_TOO_FAST;
}

static uint32_t between(uint32_t low, uint32_t high, uint32_t random)
{
    return low + random % (high - low + 1);
}

uint32_t recovery_wait_ms(int close_code, int http_status, unsigned attempts,
                          uint32_t retry_after_ms, uint32_t random)
{
    uint32_t longest = attempts < 5 ? BASE_MS << attempts : CAP_MS;
    uint32_t wait;

    if (close_code == CLOSE_UNKNOWN) /* the server answers, and is ready for a new session */
        return 0;
    if (longest > CAP_MS)
        longest = CAP_MS;
    if (close_code == 1001 || close_code == 1012)
        wait = between(RESTART_FROM_MS, RESTART_TO_MS, random);
    else if (recovery_is_too_fast(close_code, http_status))
        wait = between(SLOWER_FROM_MS, longest > SLOWER_TO_MS ? longest : SLOWER_TO_MS, random);
    else
        wait = between(0, longest, random);
    return retry_after_ms > UINT32_MAX - wait ? UINT32_MAX : wait + retry_after_ms;
}
