/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: notices that the system's clock was set. It is compared with where the monotonic clock
 * says it should be; at the start, when there is no such expectation, with the latest recorded
 * time. Slow corrections of the clock move both clocks alike and are no step.
 */
#include "pipeline_internal.h"

#define STEP_US (60 * US_PER_S)

static int64_t monotonic_us(const struct clock_watch *w)
{
    return w->source.monotonic_us(w->source.ctx);
}

int64_t clock_watch_real_us(const struct clock_watch *w)
{
    return w->source.real_us(w->source.ctx);
}

void clock_watch_accept(struct clock_watch *w, int64_t clock_us)
{
    w->real_base = clock_us;
    w->monotonic_base = monotonic_us(w);
}

void clock_watch_start(struct clock_watch *w, int64_t last_recorded_us)
{
    int64_t now = clock_watch_real_us(w);
    clock_watch_accept(w, now < last_recorded_us - STEP_US ? last_recorded_us : now);
}

bool clock_watch_stepped(const struct clock_watch *w, int64_t *clock_us, int64_t *expected_us)
{
    *clock_us = clock_watch_real_us(w);
    *expected_us = w->real_base + (monotonic_us(w) - w->monotonic_base);
    int64_t off = *clock_us - *expected_us;
    return off > STEP_US || off < -STEP_US;
}
