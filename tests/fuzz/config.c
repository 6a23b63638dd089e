/* SPDX-License-Identifier: Apache-2.0 */
/* config: ledgerd.conf; values are within their bounds, and a row of access can be added. */
#include "fuzz.h"

#include "config.h"

FUZZ_TARGET(config)
{
    struct config c;
    struct ledger_err err = {0};
    char host[CONFIG_ADDRESS_MAX];
    uint16_t port;
    enum ledger_rc rc = config_parse(&c, "ledgerd.conf", in, &err);
    HOLDS(rc == LEDGER_OK || err.msg[0]);
    if (rc)
        return false;
    if (config_address(c.listen, host, &port, &err) != LEDGER_OK)
        HOLDS(err.msg[0]);
    HOLDS(c.requests_max > 0 && c.connections_max > 0);
    config_fini(&c);
    struct span more = config_with_access(f->a, in, "fuzz.new.client", "submit");
    HOLDS(more.p && more.n > in.n);
    return true;
}
