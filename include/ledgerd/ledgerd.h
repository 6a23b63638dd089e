/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerd: all of libledgerd. A program that records: profile, key, event, batch, client. One that reads: profile, client.
 */
#ifndef LEDGERD_LEDGERD_H
#define LEDGERD_LEDGERD_H

#include <ledgerd/batch.h>
#include <ledgerd/client.h>
#include <ledgerd/error.h>
#include <ledgerd/event.h>
#include <ledgerd/key.h>
#include <ledgerd/profile.h>

#endif
