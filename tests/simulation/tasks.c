/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasks: threads as tasks of one thread, virtual clocks, crashes (world.h).
 *
 * A task goes on until it waits, or until one of the points where it touches a lock; there the seed may give the turn to another one. When all
 * wait for a time, that time comes.
 */
#include "world.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <time.h>
#include <ucontext.h>

#include "base.h"

#define TASKS_MAX 32
#define STACK_BYTES ((size_t)1 << 20)
#define SWITCH_ONE_IN 6
#define REAL_BASE_US INT64_C(1800000000000000) /* 2027-01-15 */
#define NEVER INT64_MAX

enum task_state { TASK_FREE = 0, TASK_READY, TASK_COND, TASK_MUTEX, TASK_JOIN, TASK_SLEEP, TASK_SETTLE, TASK_DONE };

struct task {
    enum task_state state;
    ucontext_t context;
    void *stack;
    void *(*run)(void *);
    void *arg;
    const void *on;   /* condition, mutex or task that it waits for */
    int64_t until_us; /* NEVER, or when it stops waiting */
    bool late;        /* its time came first */
};

static struct {
    struct task tasks[TASKS_MAX]; /* the first is the simulation itself */
    unsigned now;
    uint64_t random;
    int64_t monotonic_us, offset_us;
    unsigned crash_one_in;
    bool crashed;
} world;

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg);
int __wrap_pthread_join(pthread_t t, void **out);
int __wrap_pthread_setname_np(pthread_t t, const char *name);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_clock_gettime(clockid_t id, struct timespec *out);
time_t __wrap_time(time_t *out);
ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags);
int __wrap_gethostname(char *out, size_t n);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_fstatvfs(int fd, struct statvfs *out);
int __wrap_fstatvfs(int fd, struct statvfs *out);

/* ---- the seed ---- */

uint64_t world_random(void)
{
    /* splitmix64 (Steele, Lea, Flood 2014). */
    uint64_t z = (world.random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned world_below(unsigned n)
{
    return (unsigned)(world_random() % n);
}

bool world_chance(unsigned one_in)
{
    return one_in && world_below(one_in) == 0;
}

void world_begin(uint64_t seed)
{
    memset(&world, 0, sizeof world);
    world.random = seed;
    world.tasks[0].state = TASK_READY;
    world.monotonic_us = 1000000;
    disk_begin();
}

void world_end(void)
{
    for (unsigned i = 1; i < TASKS_MAX; i++)
        LEDGER_REQUIRE(world.tasks[i].state == TASK_FREE);
    disk_end();
}

/* ---- time ---- */

int64_t world_monotonic_us(void)
{
    return world.monotonic_us;
}

int64_t world_real_us(void)
{
    return REAL_BASE_US + world.monotonic_us + world.offset_us;
}

void world_set_clock(int64_t by_us)
{
    world.offset_us += by_us;
}

void world_spend_us(int64_t us)
{
    world.monotonic_us += us;
}

/* ---- whose turn ---- */

static bool is_ready(struct task *t)
{
    if (t->state == TASK_MUTEX || t->state == TASK_READY)
        return true; /* whoever waits for a lock tries again */
    if (t->state == TASK_JOIN)
        return ((const struct task *)t->on)->state == TASK_DONE;
    return false;
}

static bool wake_timed(int64_t now)
{
    bool any = false;
    for (unsigned i = 0; i < TASKS_MAX; i++) {
        struct task *t = &world.tasks[i];
        if ((t->state == TASK_COND || t->state == TASK_SLEEP) && t->until_us <= now) {
            t->late = true;
            t->state = TASK_READY;
            any = true;
        }
    }
    return any;
}

static unsigned ready_tasks(unsigned out[TASKS_MAX])
{
    unsigned n = 0;
    for (unsigned i = 0; i < TASKS_MAX; i++)
        if (is_ready(&world.tasks[i]))
            out[n++] = i;
    return n;
}

/* The simulation waits for a moment at which nothing happens, or time passes to the next moment at which something does. */
static void pass_time(void)
{
    int64_t next = NEVER;
    if (world.tasks[0].state == TASK_SETTLE) {
        world.tasks[0].state = TASK_READY;
        return;
    }
    for (unsigned i = 0; i < TASKS_MAX; i++) {
        const struct task *t = &world.tasks[i];
        if ((t->state == TASK_COND || t->state == TASK_SLEEP) && t->until_us < next)
            next = t->until_us;
    }
    if (next == NEVER) {
        fprintf(stderr, "simulation: everybody waits for somebody else\n");
        abort();
    }
    if (next > world.monotonic_us)
        world.monotonic_us = next;
    (void)wake_timed(world.monotonic_us);
}

static void give_turn(void)
{
    unsigned ready[TASKS_MAX], n, from = world.now;
    world.monotonic_us += 1 + world_below(20);
    (void)wake_timed(world.monotonic_us);
    if (world.crash_one_in && world_chance(world.crash_one_in))
        world_crash();
    while ((n = ready_tasks(ready)) == 0)
        pass_time();
    world.now = ready[world_below(n)];
    struct task *t = &world.tasks[world.now];
    if (t->state != TASK_MUTEX)
        t->state = TASK_READY;
    if (world.now != from)
        swapcontext(&world.tasks[from].context, &t->context);
}

static void wait_as(enum task_state state, const void *on, int64_t until_us)
{
    struct task *t = &world.tasks[world.now];
    t->state = state;
    t->on = on;
    t->until_us = until_us;
    t->late = false;
    give_turn();
}

void world_yield(void)
{
    give_turn();
}

void world_sleep_us(int64_t us)
{
    wait_as(TASK_SLEEP, NULL, world.monotonic_us + us);
}

void world_settle(void)
{
    LEDGER_REQUIRE(world.now == 0);
    wait_as(TASK_SETTLE, NULL, NEVER);
}

/* ---- the end ---- */

void world_crash(void)
{
    if (world.crashed)
        return;
    world.crashed = true;
    disk_power_cut();
    if (world.tasks[0].state == TASK_SETTLE || world.tasks[0].state == TASK_SLEEP)
        world.tasks[0].state = TASK_READY;
}

bool world_crashed(void)
{
    return world.crashed;
}

void world_power_on(void)
{
    world.crashed = false;
}

void world_crash_one_in(unsigned n)
{
    world.crash_one_in = n;
}

void world_point(void)
{
    if (world.crash_one_in && world_chance(world.crash_one_in))
        world_crash();
}

/* ---- threads ---- */

static void task_main(void)
{
    struct task *t = &world.tasks[world.now];
    (void)t->run(t->arg);
    t->state = TASK_DONE;
    give_turn();
    abort();
}

static void prepare(ucontext_t *context, void *stack)
{
    LEDGER_REQUIRE(stack && getcontext(context) == 0);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = STACK_BYTES;
    makecontext(context, task_main, 0);
}

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *a, void *(*run)(void *), void *arg)
{
    unsigned i = 1;
    (void)a;
    while (i < TASKS_MAX && world.tasks[i].state != TASK_FREE)
        i++;
    if (i == TASKS_MAX)
        return EAGAIN;
    world.tasks[i] = (struct task){.state = TASK_READY, .stack = malloc(STACK_BYTES), .run = run, .arg = arg};
    prepare(&world.tasks[i].context, world.tasks[i].stack);
    *out = (pthread_t)i;
    return 0;
}

int __wrap_pthread_join(pthread_t id, void **out)
{
    struct task *t = &world.tasks[(unsigned)id];
    (void)out;
    while (t->state != TASK_DONE)
        wait_as(TASK_JOIN, t, NEVER);
    free(t->stack);
    t->stack = NULL;
    t->state = TASK_FREE;
    return 0;
}

int __wrap_pthread_setname_np(pthread_t t, const char *name) /* a task is no thread that could have one */
{
    (void)t;
    (void)name;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
    if (world_chance(SWITCH_ONE_IN))
        give_turn();
    while (pthread_mutex_trylock(m) != 0)
        wait_as(TASK_MUTEX, m, NEVER);
    world.tasks[world.now].state = TASK_READY;
    return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until)
{
    int64_t until_us = until ? (int64_t)until->tv_sec * 1000000 + until->tv_nsec / 1000 : NEVER;
    struct task *t = &world.tasks[world.now];
    (void)pthread_mutex_unlock(m);
    wait_as(TASK_COND, c, until_us);
    bool late = t->late;
    (void)__wrap_pthread_mutex_lock(m);
    return late ? ETIMEDOUT : 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    return __wrap_pthread_cond_timedwait(c, m, NULL);
}

static void wake(const pthread_cond_t *c, bool all)
{
    unsigned waiting[TASKS_MAX], n = 0;
    for (unsigned i = 0; i < TASKS_MAX; i++)
        if (world.tasks[i].state == TASK_COND && world.tasks[i].on == c)
            waiting[n++] = i;
    if (n == 0)
        return;
    unsigned one = world_below(n);
    for (unsigned i = 0; i < n; i++)
        if (all || i == one)
            world.tasks[waiting[i]].state = TASK_READY;
}

int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
    wake(c, false);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
    wake(c, true);
    return 0;
}

/* ---- the system ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
    int64_t us = id == CLOCK_REALTIME ? world_real_us() : world_monotonic_us();
    *out = (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    return 0;
}

time_t __wrap_time(time_t *out)
{
    time_t now = (time_t)(world_real_us() / 1000000);
    if (out)
        *out = now;
    return now;
}

ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags)
{
    uint8_t *p = out;
    (void)flags;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)world_random();
    return (ssize_t)n;
}

int __wrap_gethostname(char *out, size_t n)
{
    snprintf(out, n, "simulated");
    return 0;
}

/* The files beside the data (the anchor) are replaced as a whole: by the rename, or not at all. */
int __wrap_fsync(int fd)
{
    (void)fd;
    world_spend_us(50);
    return 0;
}

int __wrap_rename(const char *from, const char *to)
{
    world_point();
    if (!world.crashed)
        return __real_rename(from, to);
    errno = EIO;
    return -1;
}

int __wrap_fstatvfs(int fd, struct statvfs *out)
{
    int e = __real_fstatvfs(fd, out);
    out->f_bavail = disk_faults.no_space ? 0 : (fsblkcnt_t)1 << 30;
    return e;
}
