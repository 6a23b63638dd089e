/* SPDX-License-Identifier: Apache-2.0 */
/* tile: paths of tiles, and entry bundles (first byte 0). */
#include "fuzz.h"

#include "tile.h"

static bool bundle(struct fuzz *f, struct span in)
{
    struct span rest = in, entry;
    struct wbuf w;
    wbuf_init(&w, f->a);
    while (tile_bundle_next(&rest, &entry))
        HOLDS(tile_bundle_add(&w, entry));
    struct span again = wbuf_span(&w);
    HOLDS(again.n + rest.n == in.n && (again.n == 0 || memcmp(again.p, in.p, again.n) == 0));
    return rest.n == 0;
}

FUZZ_TARGET(tile)
{
    struct tile t;
    char path[TILE_PATH_MAX];
    if (in.n > 1 && in.p[0] == 0)
        return bundle(f, span_of(in.p + 1, in.n - 1));
    if (!tile_path_parse(in, &t))
        return false;
    HOLDS(tile_path(&t, path) == in.n && memcmp(path, in.p, in.n) == 0);
    HOLDS(t.width >= 1 && t.width <= TILE_WIDTH && t.level <= TILE_LEVEL_MAX);
    (void)tile_exists(&t, 70025);
    return true;
}
