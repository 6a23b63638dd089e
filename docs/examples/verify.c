/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: checks a receipt offline: no server is asked.
 *
 *   cc verify.c $(pkg-config --cflags --libs libledgerd) -o verify
 *   ./verify PROFILE RECEIPT-FILE
 */
#include <stdio.h>
#include <stdlib.h>

#include <ledgerd/ledgerd.h>

#define RECEIPT_BYTES_MAX (1024 * 1024)

static int verify(const struct ledger_profile *profile, const unsigned char *bytes, size_t n)
{
    struct ledger_err err;
    char *json;
    enum ledger_rc rc = ledger_receipt_verify(profile, bytes, n, &json, &err);
    if (rc != LEDGER_OK) {
        printf("does not hold (%s): %s\n", ledger_error_text(rc), err.msg);
        return 1;
    }
    printf("%s", json);
    ledger_free(json);
    return 0;
}

int main(int argc, char **argv)
{
    struct ledger_profile *profile;
    struct ledger_err err;
    if (argc != 3) {
        fprintf(stderr, "usage: verify PROFILE RECEIPT-FILE\n");
        return 2;
    }
    FILE *f = fopen(argv[2], "rb");
    unsigned char *bytes = malloc(RECEIPT_BYTES_MAX);
    if (!f || !bytes) {
        perror(argv[2]);
        return 2;
    }
    size_t n = fread(bytes, 1, RECEIPT_BYTES_MAX, f);
    fclose(f);
    int bad = 2;
    if (ledger_profile_open(argv[1], NULL, &profile, &err) != LEDGER_OK)
        fprintf(stderr, "profile: %s\n", err.msg);
    else
        bad = verify(profile, bytes, n);
    ledger_profile_close(profile);
    free(bytes);
    return bad;
}
