/* SPDX-License-Identifier: Apache-2.0 */
/* targets: the fuzz targets by name; TARGET.c defines fuzz_TARGET. */
#ifndef LEDGERD_TESTS_FUZZ_TARGETS_H
#define LEDGERD_TESTS_FUZZ_TARGETS_H

#define FUZZ_TARGETS(X)                                                                                                             \
    X(frame) X(request) X(response) X(event) X(sigblock) X(header) X(record) X(own) X(opening) X(history) X(state) X(member)        \
    X(note) X(checkpoint) X(policy) X(vkey) X(inclusion) X(consistency) X(map_proof) X(receipt) X(dossier) X(evidence) X(batch)     \
    X(log_keys) X(submission) X(cosignature) X(tsp_response) X(tsp_token) X(tile) X(line) X(json) X(config) X(profile) X(key)       \
    X(value)

#endif
