/* SPDX-License-Identifier: Apache-2.0 */
/* entry_content: is the content of a record what its header names (entry.h)? Whoever reads an entry asks here. */
#include "event.h"

#include "entry.h"

const struct content_fault *entry_content_fault(struct crypto *c, const struct header *h, const struct entry_record *r, const struct hash *id)
{
    static const struct content_fault seal = {"seal", "has content; a seal has none", "a seal with content"},
                                      erased = {"content", "is said to be erased, and is there", "its content is said to be erased, and is there"},
                                      event = {"event", "is not the one that the header names", "its event is not the one that the header names"},
                                      block = {"signature block", "is not the one that the header names",
                                               "its signature block is not the one that the header names"};
    struct hash got;
    if (h->kind == OWN_SEAL || r->erased_by)
        return r->event.n == 0 && r->block.n == 0 ? NULL : h->kind == OWN_SEAL ? &seal : &erased;
    if (!id)
        event_id(c, r->event, &got);
    if (!hash_eq(id ? id : &got, &h->event_id))
        return &event;
    sigblock_hash(c, r->block, &got);
    return hash_eq(&got, &h->block_hash) ? NULL : &block;
}
