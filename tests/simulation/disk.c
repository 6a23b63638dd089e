/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk: the functions of LMDB that the store uses, over memory. What is promised is what lmdb.h promises: one write transaction, snapshots
 * that never change, a commit that is there as a whole or not at all, values that are valid until the next update.
 *
 * A table is a treap whose nodes are shared between versions: a version is a root. What an environment holds is known by the inode of its
 * data.mdb, which is an empty file, so that folders can be renamed as always. A commit is durable when it returns, unless the environment
 * was opened with MDB_NOSYNC; then it is with the next mdb_env_sync.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "base.h"
#include "world.h"

#define DBS_MAX 24
#define IMAGES_MAX 16

struct disk_faults disk_faults;
struct disk_counts disk_counts;

/* ---- tables ---- */

struct node {
    unsigned refs;
    uint32_t priority, key_n;
    size_t value_n;
    uint8_t *value;
    struct node *left, *right;
    uint8_t key[];
};

static struct node *keep(struct node *n)
{
    if (n)
        n->refs++;
    return n;
}

/* Depth is that of a treap: some dozens. */
static void let_go(struct node *n)
{
    while (n && --n->refs == 0) {
        struct node *right = n->right;
        let_go(n->left);
        free(n->value);
        free(n);
        n = right;
    }
}

static int order(const uint8_t *a, size_t an, const uint8_t *b, size_t bn)
{
    int c = memcmp(a, b, an < bn ? an : bn);
    return c ? c : (an > bn) - (an < bn);
}

static int against(const MDB_val *k, const struct node *n)
{
    return order(k->mv_data, k->mv_size, n->key, n->key_n);
}

static uint8_t *copy_bytes(const void *p, size_t n)
{
    uint8_t *out = malloc(n + 1);
    LEDGER_REQUIRE(out);
    if (n)
        memcpy(out, p, n);
    return out;
}

static struct node *node_new(const uint8_t *key, size_t key_n, const void *value, size_t value_n, uint32_t priority)
{
    struct node *n = malloc(sizeof *n + key_n);
    LEDGER_REQUIRE(n);
    *n = (struct node){.refs = 1, .priority = priority, .key_n = (uint32_t)key_n, .value_n = value_n};
    memcpy(n->key, key, key_n);
    n->value = copy_bytes(value, value_n);
    return n;
}

/* A node that nobody else shares: this one, or a copy. Takes a reference, returns one. */
static struct node *own(struct node *n)
{
    if (n->refs == 1)
        return n;
    struct node *c = node_new(n->key, n->key_n, n->value, n->value_n, n->priority);
    c->left = keep(n->left);
    c->right = keep(n->right);
    let_go(n);
    return c;
}

static uint32_t priority_of(const MDB_val *k)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < k->mv_size; i++)
        h = (h ^ ((const uint8_t *)k->mv_data)[i]) * 16777619u;
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    return h ^ h >> 13;
}

static struct node *insert(struct node *n, const MDB_val *k, const MDB_val *v, bool *fresh)
{
    if (!n) {
        *fresh = true;
        return node_new(k->mv_data, k->mv_size, v->mv_data, v->mv_size, priority_of(k));
    }
    n = own(n);
    int c = against(k, n);
    if (c == 0) {
        uint8_t *value = copy_bytes(v->mv_data, v->mv_size); /* it may lie in the old one */
        free(n->value);
        n->value = value;
        n->value_n = v->mv_size;
        return n;
    }
    struct node **side = c < 0 ? &n->left : &n->right;
    struct node *child = *side = insert(*side, k, v, fresh);
    if (child->priority <= n->priority)
        return n;
    struct node **inner = c < 0 ? &child->right : &child->left;
    *side = *inner;
    *inner = n;
    return child;
}

static struct node *join(struct node *l, struct node *r)
{
    if (!l || !r)
        return l ? l : r;
    if (l->priority > r->priority) {
        l = own(l);
        l->right = join(l->right, r);
        return l;
    }
    r = own(r);
    r->left = join(l, r->left);
    return r;
}

static struct node *take_out(struct node *n, const MDB_val *k)
{
    n = own(n);
    int c = against(k, n);
    if (c == 0) {
        struct node *rest = join(keep(n->left), keep(n->right));
        let_go(n);
        return rest;
    }
    struct node **side = c < 0 ? &n->left : &n->right;
    *side = take_out(*side, k);
    return n;
}

static struct node *find(struct node *n, const MDB_val *k)
{
    while (n) {
        int c = against(k, n);
        if (c == 0)
            return n;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

/* The first whose key is not less than k (`after`: greater); the very first for no key. */
static struct node *first_from(struct node *n, const MDB_val *k, bool after)
{
    struct node *best = NULL;
    while (n) {
        int c = k ? against(k, n) : -1;
        if (c < 0 || (c == 0 && !after)) {
            best = n;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

/* The last whose key is less than k. */
static struct node *last_before(struct node *n, const MDB_val *k)
{
    struct node *best = NULL;
    while (n) {
        bool less = against(k, n) > 0;
        best = less ? n : best;
        n = less ? n->right : n->left;
    }
    return best;
}

static struct node *last_of(struct node *n)
{
    while (n && n->right)
        n = n->right;
    return n;
}

/* ---- versions ---- */

struct table {
    struct node *root;
    size_t n;
};
struct version {
    struct table t[DBS_MAX];
};
static void version_copy(struct version *to, const struct version *from)
{
    for (unsigned i = 0; i < DBS_MAX; i++)
        to->t[i] = (struct table){keep(from->t[i].root), from->t[i].n};
}

static void version_drop(struct version *v)
{
    for (unsigned i = 0; i < DBS_MAX; i++)
        let_go(v->t[i].root);
    memset(v, 0, sizeof *v);
}

static void version_move(struct version *to, struct version *from)
{
    version_drop(to);
    *to = *from;
    memset(from, 0, sizeof *from);
}

/* What lies in one file. */
struct image {
    bool used;
    dev_t dev;
    ino_t ino;
    char names[DBS_MAX][32];
    struct version seen, synced, copy;
};
static struct image images[IMAGES_MAX];

struct MDB_env {
    struct image *image;
    int fd;
    unsigned flags;
    MDB_txn *writer;
};
struct MDB_txn {
    MDB_env *env;
    bool write;
    struct version v;
};
struct MDB_cursor {
    MDB_txn *txn;
    MDB_dbi dbi;
    size_t key_n;
    uint8_t key[512];
};

void disk_begin(void)
{
    memset(&disk_faults, 0, sizeof disk_faults);
}

void disk_end(void)
{
    journal_disk_forget();
    for (unsigned i = 0; i < IMAGES_MAX; i++) {
        version_drop(&images[i].seen);
        version_drop(&images[i].synced);
        version_drop(&images[i].copy);
        images[i].used = false;
    }
}

void disk_backup(void)
{
    journal_disk_backup();
    for (unsigned i = 0; i < IMAGES_MAX; i++) {
        struct version v;
        version_copy(&v, &images[i].synced);
        version_move(&images[i].copy, &v);
    }
}

void disk_exchange(void)
{
    journal_disk_exchange();
    for (unsigned i = 0; i < IMAGES_MAX; i++) {
        struct image *im = &images[i];
        struct version now;
        version_copy(&now, &im->synced);
        version_drop(&im->seen);
        version_copy(&im->seen, &im->copy);
        version_move(&im->synced, &im->copy);
        version_move(&im->copy, &now);
    }
}

void disk_power_cut(void)
{
    journal_disk_power_cut();
    for (unsigned i = 0; i < IMAGES_MAX; i++) {
        struct version v;
        if (!images[i].used)
            continue;
        version_copy(&v, &images[i].synced);
        version_move(&images[i].seen, &v);
    }
}

static void sync_image(struct image *im)
{
    struct version v;
    version_copy(&v, &im->seen);
    version_move(&im->synced, &v);
}

static struct image *image_of(int fd)
{
    struct stat st;
    struct image *empty = NULL;
    if (fstat(fd, &st) != 0)
        return NULL;
    for (unsigned i = 0; i < IMAGES_MAX; i++) {
        struct image *im = &images[i];
        if (im->used && im->dev == st.st_dev && im->ino == st.st_ino)
            return im;
        if (!im->used && !empty)
            empty = im;
    }
    LEDGER_REQUIRE(empty);
    memset(empty, 0, sizeof *empty);
    empty->used = true;
    empty->dev = st.st_dev;
    empty->ino = st.st_ino;
    return empty;
}

/* ---- environments ---- */

int mdb_env_create(MDB_env **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return ENOMEM;
    (*out)->fd = -1;
    return 0;
}

int mdb_env_set_mapsize(MDB_env *e, size_t n)
{
    (void)e, (void)n;
    return 0;
}

int mdb_env_set_maxdbs(MDB_env *e, MDB_dbi n)
{
    (void)e;
    return n <= DBS_MAX ? 0 : EINVAL;
}

int mdb_env_set_assert(MDB_env *e, MDB_assert_func *f)
{
    (void)e;
    (void)f;
    return 0;
}

int mdb_env_set_maxreaders(MDB_env *e, unsigned n)
{
    (void)e, (void)n;
    return 0;
}

int mdb_env_open(MDB_env *e, const char *folder, unsigned flags, mdb_mode_t mode)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    e->flags = flags;
    if (world_crashed())
        return EIO;
    e->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, mode);
    e->image = e->fd < 0 ? NULL : image_of(e->fd);
    return e->image ? 0 : EIO;
}

void mdb_env_close(MDB_env *e)
{
    struct stat st;
    /* A file that is in no folder any more, and whose last user has gone, is none. */
    if (e->image && fstat(e->fd, &st) == 0 && st.st_nlink == 0) {
        version_drop(&e->image->seen);
        version_drop(&e->image->synced);
        e->image->used = false;
    }
    if (e->fd >= 0)
        close(e->fd);
    free(e);
}

int mdb_env_get_fd(MDB_env *e, mdb_filehandle_t *out)
{
    *out = e->fd;
    return 0;
}

int mdb_reader_check(MDB_env *e, int *dead)
{
    (void)e;
    *dead = 0;
    return 0;
}

int mdb_env_sync(MDB_env *e, int force)
{
    (void)force;
    world_point();
    if (world_crashed())
        return EIO;
    world_spend_us(100);
    sync_image(e->image);
    return 0;
}

int mdb_env_info(MDB_env *e, MDB_envinfo *out)
{
    size_t rows = 0;
    for (unsigned i = 0; i < DBS_MAX; i++)
        rows += e->image->seen.t[i].n;
    *out = (MDB_envinfo){.me_mapsize = (size_t)1 << 30, .me_last_pgno = rows / 10 + 2};
    return 0;
}

int mdb_env_stat(MDB_env *e, MDB_stat *out)
{
    (void)e;
    *out = (MDB_stat){.ms_psize = 4096};
    return 0;
}

char *mdb_strerror(int e)
{
    static char text[40];
    if (e > 0)
        return strerror(e);
    snprintf(text, sizeof text, "LMDB error %d", e);
    return text;
}

/* ---- transactions ---- */

int mdb_txn_begin(MDB_env *e, MDB_txn *parent, unsigned flags, MDB_txn **out)
{
    *out = NULL;
    LEDGER_REQUIRE(!parent);
    bool write = !(flags & MDB_RDONLY);
    if (world_crashed())
        return EIO;
    LEDGER_REQUIRE(!write || !e->writer);
    if (write && world_chance(disk_faults.memory_one_in)) {
        disk_counts.memory++;
        return ENOMEM;
    }
    MDB_txn *t = *out = calloc(1, sizeof *t);
    LEDGER_REQUIRE(t);
    t->env = e;
    t->write = write;
    version_copy(&t->v, &e->image->seen);
    if (write)
        e->writer = t;
    return 0;
}

void mdb_txn_abort(MDB_txn *t)
{
    if (t->write)
        t->env->writer = NULL;
    version_drop(&t->v);
    free(t);
}

/* A snapshot that is put away, and taken up again as one of later. */
void mdb_txn_reset(MDB_txn *t)
{
    LEDGER_REQUIRE(!t->write);
    version_drop(&t->v);
}

int mdb_txn_renew(MDB_txn *t)
{
    LEDGER_REQUIRE(!t->write);
    if (world_crashed())
        return EIO;
    version_drop(&t->v);
    version_copy(&t->v, &t->env->image->seen);
    return 0;
}

/* The moment at which the meta page is on the disk, or not. */
static void reach_disk(MDB_txn *t)
{
    struct image *im = t->env->image;
    if (world_crashed())
        return;
    version_move(&im->seen, &t->v);
    if (!(t->env->flags & MDB_NOSYNC))
        sync_image(im);
}

static int commit(MDB_txn *t)
{
    if (world_chance(disk_faults.full_one_in)) {
        disk_counts.full++;
        return world_chance(2) ? MDB_MAP_FULL : ENOMEM;
    }
    if (world_chance(disk_faults.unknown_one_in)) {
        disk_counts.unknown++;
        if (world_chance(2))
            reach_disk(t);
        return EIO;
    }
    bool crash = world_chance(disk_faults.crash_one_in), before = world_chance(2);
    if (crash && before)
        world_crash();
    disk_counts.lost += world_crashed();
    reach_disk(t);
    if (crash && !before)
        world_crash();
    disk_counts.commits += !world_crashed();
    return world_crashed() ? EIO : 0;
}

int mdb_txn_commit(MDB_txn *t)
{
    int e = 0;
    if (t->write) {
        world_spend_us(80 + world_below(400));
        world_yield(); /* others go on while the disk works */
        e = world_crashed() ? EIO : commit(t);
    }
    mdb_txn_abort(t);
    return e;
}

int mdb_dbi_open(MDB_txn *t, const char *name, unsigned flags, MDB_dbi *out)
{
    struct image *im = t->env->image;
    for (MDB_dbi i = 0; i < DBS_MAX; i++) {
        if (strcmp(im->names[i], name) == 0) {
            *out = i;
            return 0;
        }
        if (im->names[i][0])
            continue;
        if (!(flags & MDB_CREATE))
            return MDB_NOTFOUND;
        snprintf(im->names[i], sizeof im->names[i], "%s", name);
        *out = i;
        return 0;
    }
    return MDB_DBS_FULL;
}

int mdb_stat(MDB_txn *t, MDB_dbi dbi, MDB_stat *out)
{
    *out = (MDB_stat){.ms_psize = 4096, .ms_entries = t->v.t[dbi].n, .ms_leaf_pages = t->v.t[dbi].n / 20 + 1};
    return 0;
}

int mdb_drop(MDB_txn *t, MDB_dbi dbi, int del)
{
    LEDGER_REQUIRE(!del && t->write);
    let_go(t->v.t[dbi].root);
    t->v.t[dbi] = (struct table){NULL, 0};
    return 0;
}

/* ---- rows ---- */

static void give(const struct node *n, MDB_val *k, MDB_val *v)
{
    if (k)
        *k = (MDB_val){n->key_n, (void *)(uintptr_t)n->key};
    *v = (MDB_val){n->value_n, n->value};
}

int mdb_get(MDB_txn *t, MDB_dbi dbi, MDB_val *k, MDB_val *v)
{
    const struct node *n = find(t->v.t[dbi].root, k);
    if (!n)
        return MDB_NOTFOUND;
    give(n, NULL, v);
    return 0;
}

int mdb_put(MDB_txn *t, MDB_dbi dbi, MDB_val *k, MDB_val *v, unsigned flags)
{
    struct table *to = &t->v.t[dbi];
    const struct node *last = flags & MDB_APPEND ? last_of(to->root) : NULL;
    bool fresh = false;
    LEDGER_REQUIRE(t->write && !(flags & ~(unsigned)(MDB_APPEND | MDB_NOOVERWRITE)));
    if (last && against(k, last) <= 0)
        return MDB_KEYEXIST;
    if ((flags & MDB_NOOVERWRITE) && find(to->root, k))
        return MDB_KEYEXIST;
    if (disk_faults.memory_one_in && world_chance(disk_faults.memory_one_in * 40)) {
        disk_counts.memory++;
        return world_chance(2) ? ENOMEM : MDB_MAP_FULL;
    }
    to->root = insert(to->root, k, v, &fresh);
    to->n += fresh;
    return 0;
}

int mdb_del(MDB_txn *t, MDB_dbi dbi, MDB_val *k, MDB_val *v)
{
    struct table *of = &t->v.t[dbi];
    (void)v;
    LEDGER_REQUIRE(t->write);
    if (!find(of->root, k))
        return MDB_NOTFOUND;
    of->root = take_out(of->root, k);
    of->n--;
    return 0;
}

int mdb_cursor_open(MDB_txn *t, MDB_dbi dbi, MDB_cursor **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return ENOMEM;
    (*out)->txn = t;
    (*out)->dbi = dbi;
    return 0;
}

void mdb_cursor_close(MDB_cursor *c)
{
    free(c);
}

int mdb_cursor_get(MDB_cursor *c, MDB_val *k, MDB_val *v, MDB_cursor_op op)
{
    struct node *root = c->txn->v.t[c->dbi].root, *n = NULL;
    MDB_val at = {c->key_n, c->key};
    switch ((int)op) {
    case MDB_FIRST: n = first_from(root, NULL, false); break;
    case MDB_LAST: n = last_of(root); break;
    case MDB_SET_RANGE: n = first_from(root, k, false); break;
    case MDB_SET: n = find(root, k); break;
    case MDB_NEXT: n = first_from(root, c->key_n ? &at : NULL, true); break;
    case MDB_PREV: n = last_before(root, &at); break;
    default: LEDGER_REQUIRE(!"a cursor operation that is not simulated");
    }
    if (!n)
        return MDB_NOTFOUND;
    LEDGER_REQUIRE(n->key_n <= sizeof c->key);
    memcpy(c->key, n->key, n->key_n);
    c->key_n = n->key_n;
    give(n, k, v);
    return 0;
}
