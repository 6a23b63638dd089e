/* SPDX-License-Identifier: Apache-2.0 */
/* vkey: verifier keys of notes and public keys as text have one form each. */
#include "fuzz.h"

FUZZ_TARGET(vkey)
{
    struct note_key k;
    char text[NOTE_NAME_MAX + 200], key_text[KEY_TEXT_MAX];
    enum sig_alg alg;
    uint8_t key[KEY_LEN_MAX];
    size_t n;
    bool is_key = key_text_parse(in, &alg, key, &n);
    if (is_key) {
        key_text_format(alg, span_of(key, n), key_text);
        HOLDS(span_eq(span_str(key_text), in));
    }
    if (note_key_parse(f->c, in, &k, NULL))
        return is_key;
    HOLDS(note_key_format(&k, text) == in.n && memcmp(text, in.p, in.n) == 0);
    return true;
}
