/* SPDX-License-Identifier: Apache-2.0 */
/* address: IP addresses to listen on, as the configuration and the log write them. Any thread. */
#ifndef LEDGERD_ADDRESS_H
#define LEDGERD_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 address, or "localhost" for 127.0.0.1; no other name. Gives its length; 0: it is none. */
socklen_t address_parse(const char *host, uint16_t port, struct sockaddr_storage *out);
bool address_is_loopback(const struct sockaddr_storage *a);
/* "ADDRESS:PORT" or "[ADDRESS]:PORT"; false: it does not fit. */
bool address_format(const struct sockaddr_storage *a, char *out, size_t size);

#endif
