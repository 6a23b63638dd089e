# SPDX-License-Identifier: Apache-2.0
#
# ledgerd. `make demo` shows what it does; `make check` tests it; `make help` lists the rest.
# O=DIR builds elsewhere; SAN=address,undefined or SAN=thread builds with sanitizers into a folder of their own;
# V=1 shows commands; WERROR=1 makes warnings errors; DESTDIR and PREFIX are honoured by install.

VERSION := 0.1.0
SOVERSION := 0
SAN ?=
comma := ,
O ?= build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
PKG_CONFIG ?= pkg-config
Q := $(if $(V),,@)
# All cores, unless the caller has said how many.
SUBMAKE = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

# Debian packages, by what needs them. golang-* and python3 are for the tests: an independent reader of checkpoints and proofs, and
# the tests that drive the programs from outside.
BUILD_PACKAGES := gcc libc6-dev make pkg-config protobuf-compiler protobuf-c-compiler libprotobuf-c-dev liblmdb-dev \
	libuv1-dev libssl-dev nettle-dev libsodium-dev libyajl-dev libinih-dev libsystemd-dev libwebsockets-dev libwebsockets-evlib-uv \
	libcurl4-openssl-dev
DEMO_PACKAGES := $(BUILD_PACKAGES) openssl
CHECK_PACKAGES := $(DEMO_PACKAGES) python3 faketime e2fsprogs golang-go golang-golang-x-mod-dev binutils universal-ctags strace systemd iproute2
PEER_PACKAGES := $(CHECK_PACKAGES) postgresql postgresql-contrib util-linux
LINT_PACKAGES := $(CHECK_PACKAGES) cppcheck clang-tidy
VALGRIND_PACKAGES := $(CHECK_PACKAGES) valgrind

WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wformat=2 -Wcast-qual -Wundef -Wswitch-enum $(if $(WERROR),-Werror)
OPT ?= -O2 -g
HARDEN := $(if $(SAN),,-D_FORTIFY_SOURCE=2) -fstack-protector-strong -fstack-clash-protection -fcf-protection
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
CFLAGS_ALL := -std=c11 -D_GNU_SOURCE -DLEDGERD_VERSION='"$(VERSION)"' $(OPT) $(WARNINGS) $(HARDEN) $(SANFLAGS) -fPIC -fvisibility=hidden \
	-MMD -MP $(CFLAGS)
LDFLAGS_ALL := $(SANFLAGS) -Wl,-z,relro,-z,now $(LDFLAGS)

pc = $(shell $(PKG_CONFIG) $(1) $(2) 2>/dev/null)
PROTO_LIBS = $(call pc,--libs,libcrypto nettle libsodium)
PB_LIBS = $(call pc,--libs,libprotobuf-c)
DAEMON_LIBS = $(PROTO_LIBS) $(PB_LIBS) $(call pc,--libs,libssl libuv libsystemd inih libwebsockets libcurl) -lm -llmdb -lpthread
CLIENT_LIBS = $(PROTO_LIBS) $(PB_LIBS) $(call pc,--libs,libssl libuv inih yajl) -lpthread
CTL_LIBS = $(CLIENT_LIBS) $(call pc,--libs,libwebsockets) -llmdb

GEN := $(O)/gen
PROTOS := ledger ledger_events
GEN_C := $(PROTOS:%=$(GEN)/%.pb-c.c)
GEN_H := $(PROTOS:%=$(GEN)/%.pb-c.h)

PROTO_SRC := $(wildcard proto/*.c proto/rules/*.c)
DAEMON_SRC := $(filter-out ledgerd/main.c,$(wildcard ledgerd/*.c ledgerd/store/*.c ledgerd/server/*.c ledgerd/http/*.c ledgerd/witness/*.c ledgerd/timestamp/*.c ledgerd/backup/*.c))
# The replay is ledgerctl's alone: the library stays free of LMDB.
REPLAY_SRC := $(wildcard client/replay*.c)
CLIENT_SRC := $(filter-out $(REPLAY_SRC),$(wildcard client/*.c))
CTL_SRC := $(filter-out client/ctl/main.c,$(wildcard client/ctl/*.c)) $(REPLAY_SRC)
TESTLIB_SRC := $(wildcard tests/lib/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
INTEGRATION_SRC := $(wildcard tests/integration/*.c)
INTEROP_SRC := $(wildcard tests/interop/*.c)
BENCH_SRC := $(wildcard tests/bench/*.c)
ADVERSARY_SRC := $(wildcard tests/adversary/*.c)
FAULT_BIN := $(O)/tests/faults/shim.so $(O)/tests/faults/no_memory.so $(O)/tests/faults/load $(O)/tests/faults/rot $(O)/tests/faults/crowd
SIMULATION_SRC := $(wildcard tests/simulation/*.c)

obj = $(1:%.c=$(O)/obj/%.o)
GEN_OBJ := $(PROTOS:%=$(O)/obj/gen/%.pb-c.o)
UNIT_BIN := $(UNIT_SRC:tests/%.c=$(O)/tests/%)
INTEGRATION_BIN := $(INTEGRATION_SRC:tests/%.c=$(O)/tests/%)
INTEROP_BIN := $(INTEROP_SRC:tests/%.c=$(O)/tests/%)
BENCH_BIN := $(BENCH_SRC:tests/%.c=$(O)/tests/%)
LIBS := $(O)/libclient-ctl.a $(O)/libledgerd.a $(O)/libdaemon.a $(O)/libproto.a $(O)/libgen.a

.DELETE_ON_ERROR:
.PHONY: all lib programs demo demo-consortium check check-long check-programs check-valgrind mutants bench bench-peers lint install uninstall clean help deps-build deps-demo deps-check deps-lint deps-peers deps-valgrind

all: deps-build
	$(Q)$(SUBMAKE) programs lib

programs: $(O)/ledgerd $(O)/ledgerctl
lib: $(O)/libledgerd.so $(O)/libledgerd.a $(O)/libledgerd.pc

help:
	@echo "make demo      a CAR-T lot from collection to bedside, seen from three chairs (installs what it needs)"
	@echo "make demo-consortium  two organisations, two witnesses, and an operator who rewrites history"
	@echo "make check     all tests (installs what they need); SAN=address,undefined or SAN=thread for sanitizers"
	@echo "make check-long  the long forms of the tests: hours; SHARE=10 for a tenth of them, ONLY=faults for one suite"
	@echo "make mutants   a deliberate fault at a time: do the tests notice? ONLY=name for one"
	@echo "make all       build/ledgerd, build/ledgerctl, build/libledgerd.so, build/libledgerd.a"
	@echo "make bench     durable events a second, and what a large ledger costs; LARGE=1 for ten million entries, STRICT=1 fails below a target"
	@echo "make bench-peers  the same beside PostgreSQL (installs it); STRICT=1 fails below a target"
	@echo "make fuzz      libFuzzer on every reader of foreign bytes; TARGET=name, SECONDS=60 (installs clang)"
	@echo "make lint      layers, purity, sizes; cppcheck, gcc -fanalyzer, clang-tidy (installs them)"
	@echo "make check-valgrind  the unit tests under memcheck"
	@echo "make install   into DESTDIR/PREFIX; make uninstall; make clean"

# ---- packages ----

define need
	@missing=""; for p in $(1); do \
		[ "$$(dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ]; then sudo=""; elif command -v sudo >/dev/null 2>&1; then sudo=sudo; \
	else echo "These Debian packages are needed and neither root nor sudo is at hand:$$missing" >&2; exit 1; fi; \
	echo "installing:$$missing"; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y update >/dev/null && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $$missing >/dev/null || \
	{ echo "could not install:$$missing" >&2; exit 1; }
endef

deps-build:
	$(call need,$(BUILD_PACKAGES))
deps-demo:
	$(call need,$(DEMO_PACKAGES))
deps-check:
	$(call need,$(CHECK_PACKAGES))
deps-peers:
	$(call need,$(PEER_PACKAGES))
deps-lint:
	$(call need,$(LINT_PACKAGES))
deps-valgrind:
	$(call need,$(VALGRIND_PACKAGES))

# ---- build ----

# A change of flags rebuilds everything.
FLAGS := $(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL)
$(O)/flags: FORCE
	@mkdir -p $(O); printf '%s\n' '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(FLAGS))' > $@
FORCE:

# Made by a pattern rule, they would be deleted as intermediate files, and made again by the next make.
.SECONDARY: $(GEN_C) $(GEN_H)
$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h &: proto/%.proto
	@mkdir -p $(GEN)
	$(Q)protoc-c --proto_path=proto --c_out=$(GEN) $(notdir $<)

$(O)/obj/gen/%.o: $(GEN)/%.c $(GEN_H) $(O)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 $(OPT) $(SANFLAGS) -fPIC -fvisibility=hidden -I$(GEN) -c $< -o $@

INC_proto := -Iproto
INC_ledgerd := -Iproto -Iledgerd -I$(GEN)
INC_client := -Iproto -Iclient -Iinclude -I$(GEN)
INC_tests := -Iproto -Iledgerd -Iclient -Iinclude -Itests -Itests/lib -I$(GEN)
$(O)/obj/%.o: %.c $(GEN_H) $(O)/flags
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC $<")
	$(Q)$(CC) $(CFLAGS_ALL) $(INC_$(firstword $(subst /, ,$<))) -c $< -o $@

$(O)/libgen.a: $(GEN_OBJ)
$(O)/libproto.a: $(call obj,$(PROTO_SRC))
$(O)/libdaemon.a: $(call obj,$(DAEMON_SRC))
$(O)/libclient-ctl.a: $(call obj,$(CTL_SRC))
# The static library is complete in itself, like the shared one.
$(O)/libledgerd.a: $(call obj,$(CLIENT_SRC) $(PROTO_SRC)) $(GEN_OBJ)
$(O)/%.a:
	$(Q)rm -f $@ && ar rcs $@ $^

$(O)/ledgerd: $(call obj,ledgerd/main.c) $(O)/libdaemon.a $(O)/libproto.a $(O)/libgen.a
	$(Q)$(CC) -pie $(LDFLAGS_ALL) -o $@ $^ $(DAEMON_LIBS)
$(O)/ledgerctl: $(call obj,client/ctl/main.c) $(O)/libclient-ctl.a $(O)/libledgerd.a
	$(Q)$(CC) -pie $(LDFLAGS_ALL) -o $@ $^ $(CTL_LIBS)
# It stays loaded: a thread of it may be waiting for a name server (client/resolve.h).
$(O)/libledgerd.so: $(call obj,$(CLIENT_SRC) $(PROTO_SRC)) $(GEN_OBJ) client/libledgerd.map
	$(Q)$(CC) -shared $(LDFLAGS_ALL) -Wl,-z,nodelete -Wl,-soname,libledgerd.so.$(SOVERSION) -Wl,--version-script=client/libledgerd.map -o $@ \
		$(filter %.o,$^) $(CLIENT_LIBS)
	$(Q)ln -sf libledgerd.so $@.$(SOVERSION)
$(O)/libledgerd.pc: client/libledgerd.pc.in Makefile
	$(Q)sed 's|@PREFIX@|$(PREFIX)|;s|@LIBDIR@|$(PREFIX)/lib|;s|@VERSION@|$(VERSION)|' $< > $@

# ---- tests ----

$(O)/tests/%: $(O)/obj/tests/%.o $(call obj,$(TESTLIB_SRC)) $(LIBS)
	@mkdir -p $(@D)
	$(Q)$(CC) -pie $(LDFLAGS_ALL) -o $@ $< $(call obj,$(TESTLIB_SRC)) -Wl,--start-group $(LIBS) -Wl,--end-group $(DAEMON_LIBS) $(CLIENT_LIBS)
.PRECIOUS: $(O)/obj/%.o

# The daemon's own code with some functions wrapped: a daemon that lies (tests/adversary/liar.h).
LIAR_WRAPS := clock_watch_real_us judge_event machine_event chainmap_apply chainmap_prove read_chain query_begin query_next message_put_submit \
              machine_own_signed machine_erase_targets machine_own verify_time_stamp log_note
$(O)/tests/adversary/liar: $(call obj,$(ADVERSARY_SRC)) $(O)/libdaemon.a $(O)/libproto.a $(O)/libgen.a
	@mkdir -p $(@D)
	$(Q)$(CC) -pie $(LDFLAGS_ALL) $(LIAR_WRAPS:%=-Wl,--wrap=%) -o $@ $(call obj,$(ADVERSARY_SRC)) \
		-Wl,--start-group $(O)/libdaemon.a $(O)/libproto.a $(O)/libgen.a -Wl,--end-group $(DAEMON_LIBS)

# Preloaded, between a daemon and its disk or its memory; without sanitizers, whose runtime has to come first.
$(O)/tests/faults/%.so: tests/faults/%.c tests/faults/shim.h $(O)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(OPT) $(WARNINGS) -fPIC -fvisibility=hidden -shared -o $@ $< -lpthread

# The daemon's own code, whose threads, clocks and disk are simulated (tests/simulation/world.h). LMDB's functions are those of disk.c.
SIMULATION_WRAPS := pthread_create pthread_join pthread_setname_np pthread_mutex_lock pthread_cond_wait pthread_cond_timedwait pthread_cond_signal \
	pthread_cond_broadcast clock_gettime time getrandom gethostname fsync rename fstatvfs logline
$(O)/tests/simulation/sim: $(call obj,$(SIMULATION_SRC) tests/lib/scratch.c) $(LIBS)
	@mkdir -p $(@D)
	$(Q)$(CC) -pie $(LDFLAGS_ALL) $(SIMULATION_WRAPS:%=-Wl,--wrap=%) -o $@ $(filter %.o,$^) \
		-Wl,--start-group $(LIBS) -Wl,--end-group $(filter-out -llmdb,$(DAEMON_LIBS) $(CLIENT_LIBS))

include tests/fuzz/fuzz.mk

check-programs: programs lib $(O)/tests/adversary/liar $(O)/tests/simulation/sim $(FAULT_BIN) $(UNIT_BIN) $(INTEGRATION_BIN) $(INTEROP_BIN) $(FUZZ_BIN)

check: deps-check
	$(Q)$(SUBMAKE) check-programs
	$(Q)python3 tests/run.py --build $(O) $(if $(SAN),--sanitizer $(SAN)) $(ONLY)

# The long forms of the suites: thousands of crashes, faults, cuts; ends in a table of what was done how often.
check-long: deps-check
	$(Q)$(SUBMAKE) check-programs
	$(Q)LEDGERD_LONG=$(or $(SHARE),100) python3 tests/run.py --build $(O) $(if $(SAN),--sanitizer $(SAN)) $(ONLY)

# Builds with one deliberate fault each, of which the tests must notice every one: docs/mutants.md. ONLY=name runs one.
mutants: deps-check
	$(Q)$(SUBMAKE) check-programs
	$(Q)python3 tests/mutants/mutants.py --build $(O) $(if $(ONLY),--only "$(ONLY)")

# The unit tests under memcheck, which takes twenty times as long; ONLY=test_event: these alone.
check-valgrind: deps-valgrind
	$(Q)$(SUBMAKE) check-programs
	$(Q)sh tests/valgrind.sh $(O) $(ONLY)

demo: deps-demo
	$(Q)$(SUBMAKE) programs
	$(Q)sh tests/demo/demo.sh $(O)

demo-consortium: deps-demo
	$(Q)$(SUBMAKE) programs
	$(Q)sh tests/demo/consortium.sh $(O)

# Some minutes; LARGE=1 with ten million entries: an hour, and 19 GB beside the build. STRICT=1 fails below a target; BENCH_KEEP=1 keeps
# the ledgers for the next run.
bench: deps-check
	$(Q)$(SUBMAKE) programs $(BENCH_BIN)
	$(Q)python3 tests/bench/limits.py $(O) $(if $(LARGE),--large) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(STRICT),--strict)

# Ratios against PostgreSQL on the same machine; STRICT=1 fails below a target, ROUNDS and SECONDS are honoured.
bench-peers: deps-peers
	$(Q)$(SUBMAKE) programs $(BENCH_BIN)
	$(Q)python3 tests/bench/peers.py $(O) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(STRICT),--strict)

lint: deps-lint
	$(Q)$(SUBMAKE) programs
	$(Q)sh tests/lint.sh $(O)

# ---- install ----

install: programs lib
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/ledgerd \
		$(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/share/doc/ledgerd
	install -m 755 $(O)/ledgerd $(O)/ledgerctl $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(O)/libledgerd.a $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(O)/libledgerd.so $(DESTDIR)$(PREFIX)/lib/libledgerd.so.$(VERSION)
	ln -sf libledgerd.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libledgerd.so.$(SOVERSION)
	ln -sf libledgerd.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libledgerd.so
	sed 's|@PREFIX@|$(PREFIX)|;s|@LIBDIR@|$(PREFIX)/lib|;s|@VERSION@|$(VERSION)|' client/libledgerd.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/libledgerd.pc
	install -m 644 include/ledgerd/*.h $(DESTDIR)$(PREFIX)/include/ledgerd
	sed 's|@PREFIX@|$(PREFIX)|' ledgerd/ledgerd@.service.in > $(DESTDIR)$(PREFIX)/lib/systemd/system/ledgerd@.service
	install -m 644 ledgerd/ledgerd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/ledgerd.conf
	for m in docs/man/*.[1-8]; do d=$(DESTDIR)$(PREFIX)/share/man/man$${m##*.}; install -d $$d && install -m 644 $$m $$d; done
	install -m 644 README.md LICENSE docs/*.md $(DESTDIR)$(PREFIX)/share/doc/ledgerd

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/ledgerd $(DESTDIR)$(PREFIX)/bin/ledgerctl $(DESTDIR)$(PREFIX)/lib/libledgerd.* \
		$(DESTDIR)$(PREFIX)/lib/pkgconfig/libledgerd.pc $(DESTDIR)$(PREFIX)/lib/systemd/system/ledgerd@.service \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/ledgerd.conf
	rm -rf $(DESTDIR)$(PREFIX)/include/ledgerd $(DESTDIR)$(PREFIX)/share/doc/ledgerd
	for m in docs/man/*.[1-8]; do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}; done

clean:
	rm -rf build build-*

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
