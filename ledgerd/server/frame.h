/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame: cutting a stream of bytes into frames: a 4-byte big-endian length, at most FRAME_MAX and at least 1, and so many bytes.
 *
 * The length is looked at before anything is allocated, and memory grows with what has in fact arrived: who announces 4 MiB and
 * sends 10 bytes costs us 10 bytes. A frame that lies complete in the input is handed out where it lies.
 */
#ifndef LEDGERD_SERVER_FRAME_H
#define LEDGERD_SERVER_FRAME_H

#include "base.h"

#define FRAME_MAX (4u << 20)
#define FRAME_HEAD 4

enum frame_result {
    FRAME_MORE = 0,   /* all input is taken, no frame is complete */
    FRAME_COMPLETE,   /* *frame is one; borrowed until the next call */
    FRAME_WAIT,       /* `reserve` said no: call again later with the rest of the input */
    FRAME_BAD_LENGTH, /* 0, or more than FRAME_MAX */
    FRAME_NO_MEMORY,
};

struct frame_reader {
    uint8_t head[FRAME_HEAD];
    size_t head_n;
    uint8_t *body;
    size_t length, got, capacity;
    bool reserved; /* the reservation for this frame was given; whoever takes the frame clears it */
};
/* Memory for a frame longer than FRAME_SMALL is asked for beforehand. */
#define FRAME_SMALL (16u << 10)
struct frame_budget {
    bool (*reserve)(void *ctx, size_t n);
    void *ctx;
};

/* Takes bytes off *in. After FRAME_COMPLETE the reader is ready for the next frame. */
enum frame_result frame_feed(struct frame_reader *r, const struct frame_budget *budget, struct span *in,
                             struct span *frame) LEDGER_MUST_USE;
bool frame_begun(const struct frame_reader *r); /* some bytes of a frame have come, but not all */
void frame_trim(struct frame_reader *r);        /* gives back the buffer between frames */
void frame_fini(struct frame_reader *r);

static inline void frame_head(uint8_t out[FRAME_HEAD], size_t length)
{
    out[0] = (uint8_t)(length >> 24);
    out[1] = (uint8_t)(length >> 16);
    out[2] = (uint8_t)(length >> 8);
    out[3] = (uint8_t)length;
}

#endif
