# SPDX-License-Identifier: Apache-2.0
#
# Fuzzing (docs/testing.md). `make check` replays the corpora with `replay`, built like every other test; `make fuzz` builds each target
# with clang's libFuzzer and lets it search on. Included by the Makefile.

FUZZ_PACKAGES := $(CHECK_PACKAGES) clang libclang-rt-dev
FUZZ_CORPUS := tests/fuzz/corpus
FUZZ_TOOLS := fuzz libfuzzer replay seeds exact_arena
FUZZ_TARGETS := $(sort $(filter-out $(FUZZ_TOOLS),$(notdir $(basename $(wildcard tests/fuzz/*.c)))))
FUZZ_OBJ := $(FUZZ_TARGETS:%=$(O)/obj/tests/fuzz/%.o) $(O)/obj/tests/fuzz/fuzz.o
FUZZ_LINK = -Wl,--start-group $(LIBS) -Wl,--end-group $(DAEMON_LIBS) $(CLIENT_LIBS)
FUZZ_BIN := $(O)/tests/fuzz/replay $(O)/tests/fuzz/seeds

$(O)/tests/fuzz/replay: $(O)/obj/tests/fuzz/replay.o $(FUZZ_OBJ) $(LIBS)
	@mkdir -p $(@D)
	$(Q)$(CC) -pie $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(FUZZ_LINK)

# For libFuzzer: O=build-fuzz, CC=clang. Arenas are exact there, so that the sanitizer sees each allocation's end.
$(O)/fuzz/%: tests/fuzz/libfuzzer.c $(O)/obj/tests/fuzz/%.o $(O)/obj/tests/fuzz/fuzz.o $(O)/obj/tests/fuzz/exact_arena.o $(LIBS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -MMD -MP,$(CFLAGS_ALL)) -fsanitize=fuzzer $(INC_tests) -DFUZZ_NAME=$* $(LDFLAGS_ALL) -pie -o $@ $< $(filter %.o,$^) $(FUZZ_LINK)
fuzz-programs: $(FUZZ_TARGETS:%=$(O)/fuzz/%)

.PHONY: fuzz fuzz-programs fuzz-seeds deps-fuzz
deps-fuzz:
	$(call need,$(FUZZ_PACKAGES))

# TARGET=name: only that one. SECONDS: of each target. What is found becomes a file of the corpus.
fuzz: deps-fuzz
	$(Q)$(SUBMAKE) O=build-fuzz CC=$(or $(FUZZ_CC),clang) SAN=address,undefined CFLAGS="$(CFLAGS) -fsanitize=fuzzer-no-link" \
		$(if $(TARGET),build-fuzz/fuzz/$(TARGET),fuzz-programs)
	$(Q)sh tests/fuzz/fuzz.sh build-fuzz $(FUZZ_CORPUS) $(or $(SECONDS),60) $(or $(TARGET),$(FUZZ_TARGETS))

fuzz-seeds: deps-check
	$(Q)$(SUBMAKE) $(O)/tests/fuzz/seeds
	rm -f $(FUZZ_CORPUS)/*/seed-*
	$(O)/tests/fuzz/seeds $(FUZZ_CORPUS) tests/fuzz/genuine.h
