/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: DIR/ledgerd.conf. Sections [server], [store], [write], [scrub], [http], [witness], [time] and [access]; every key has a default, an unknown section or key
 * and a value out of range are errors that name file and line.
 *
 * It is read with libinih, because it is the smallest reader of plain INI files in Debian and hands every key to us, so that
 * unknown ones can be refused. It divides at ":" as well as at "=" and joins indented lines; config.c deals with both.
 *
 * Not thread-safe: libinih keeps its line limit in a global. Only main and then the loop thread read configurations.
 */
#ifndef LEDGERD_CONFIG_H
#define LEDGERD_CONFIG_H

#include "access.h"
#include "base.h"

#define CONFIG_LINE_MAX 4096
#define CONFIG_ADDRESS_MAX 300
#define CONFIG_PATH_MAX 1024
#define CONFIG_DEFAULT_LISTEN "127.0.0.1:7461"

struct config {
    /* [server] */
    char listen[CONFIG_ADDRESS_MAX];   /* ADDRESS:PORT or [ADDRESS]:PORT; port 0: any free one */
    char address[CONFIG_ADDRESS_MAX];  /* HOST:PORT that profiles name; "": as `listen` */
    bool plain;                        /* no TLS; only with a loopback address */
    uint32_t connections_max;
    uint32_t requests_max, streams_max; /* in flight, of one connection */
    uint32_t hello_ms;                 /* from accept to hello */
    uint32_t frame_ms;                 /* from a frame's first byte to its last */
    uint32_t stall_ms;                 /* without the peer taking any byte of what is to be sent */
    uint32_t drain_ms;                 /* at the end, for answers to be taken */
    /* [store] */
    char anchor[CONFIG_PATH_MAX];      /* "": DIR.anchor */
    uint64_t map_bytes, reserve_bytes; /* 0: the store's default */
    /* [write] */
    uint32_t workers;                  /* 0: one a core */
    uint32_t queue_jobs;
    uint32_t batch_events;
    uint32_t heartbeat_s;              /* 0: as the genesis says */
    /* [scrub] */
    uint32_t scrub_interval_s;         /* between the beginnings of two passes; 0: none */
    uint32_t scrub_rate;               /* entries a second */
    /* [http] */
    char http_listen[CONFIG_ADDRESS_MAX];    /* "": no HTTP */
    char http_certificate[CONFIG_PATH_MAX], http_key[CONFIG_PATH_MAX]; /* "": no TLS; relative to the data folder */
    bool http_plain, http_metrics;
    uint32_t http_connections_max;
    uint32_t http_timeout_ms;
    /* [witness] */
    char witness_policy[CONFIG_PATH_MAX]; /* "": no witnesses; relative to the data folder */
    char witness_ca[CONFIG_PATH_MAX];     /* "": the system's authorities */
    uint32_t witness_interval_ms;         /* between the beginnings of two rounds */
    uint32_t witness_linger_ms;           /* how long a round waits for the rest once its quorum is met */
    uint32_t witness_timeout_ms;          /* of one request */
    uint32_t witness_retry_ms;            /* how long, at most, a witness is left alone after failures */
    uint32_t witness_start_ms;            /* for the question before the first new signature */
    /* [time] */
    char time_authority[CONFIG_PATH_MAX];    /* URL; "": no time stamps */
    char time_proxy[CONFIG_PATH_MAX];        /* URL; "": none */
    char time_ca[CONFIG_PATH_MAX];           /* PEM; relative to the data folder */
    char time_policy[CONFIG_ADDRESS_MAX];    /* object identifier; "": the authority's own */
    uint32_t time_interval_s, time_timeout_ms;
    /* [access] */
    struct access_table access;
};

void config_init(struct config *c); /* the defaults */
void config_fini(struct config *c);
/* Defaults, then the file. err: "PATH:LINE: what is wrong". On failure *c is finished already. */
enum ledger_rc config_load(struct config *c, const char *path, struct ledger_err *err) LEDGER_MUST_USE;
/* The same for text in memory; `name` stands in error messages. */
enum ledger_rc config_parse(struct config *c, const char *name, struct span text, struct ledger_err *err)
    LEDGER_MUST_USE;

/* Splits "HOST:PORT" or "[HOST]:PORT". host has CONFIG_ADDRESS_MAX bytes. */
enum ledger_rc config_address(const char *text, char *host, uint16_t *port, struct ledger_err *err) LEDGER_MUST_USE;

/* The text of a configuration with the row "NAME = RIGHTS" added at the end of [access]. SPAN_NONE when over the budget. */
struct span config_with_access(struct arena *a, struct span text, const char *name, const char *rights);

#endif
