/* SPDX-License-Identifier: Apache-2.0 */
/* frame: a stream of bytes in pieces, and in one piece: the same frames come out, and the same end. The first byte says how long the pieces are. */
#include "fuzz.h"

#include "server/frame.h"

static bool no_budget(void *ctx, size_t n)
{
    (void)ctx;
    return n <= (1u << 20);
}

/* Feeds everything in pieces; *n_frames and *sum say what came out. */
static enum frame_result feed(struct fuzz *f, struct span in, size_t piece, unsigned *n_frames, struct hash *sum)
{
    struct frame_reader r = {0};
    const struct frame_budget budget = {no_budget, NULL};
    enum frame_result result = FRAME_MORE;
    *n_frames = 0;
    memset(sum, 0, sizeof *sum);
    for (size_t at = 0; at < in.n && (result == FRAME_MORE || result == FRAME_COMPLETE);) {
        struct span rest = span_of(in.p + at, in.n - at < piece ? in.n - at : piece), frame;
        at += rest.n;
        while ((result = frame_feed(&r, &budget, &rest, &frame)) == FRAME_COMPLETE) {
            const struct span parts[] = {span_of(sum->b, HASH_LEN), frame};
            HOLDS(frame.n > 0 && frame.n <= FRAME_MAX);
            crypto_sha256(f->c, parts, 2, sum);
            ++*n_frames;
            r.reserved = false;
            frame_trim(&r);
        }
        HOLDS(result != FRAME_MORE || rest.n == 0);
    }
    frame_fini(&r);
    return result;
}

FUZZ_TARGET(frame)
{
    unsigned n_whole, n_pieces;
    struct hash whole, pieces;
    if (in.n < 2)
        return false;
    size_t piece = 1 + in.p[0];
    in = span_of(in.p + 1, in.n - 1);
    enum frame_result a = feed(f, in, in.n, &n_whole, &whole), b = feed(f, in, piece, &n_pieces, &pieces);
    HOLDS(a == b && n_whole == n_pieces && hash_eq(&whole, &pieces));
    return n_whole > 0;
}
