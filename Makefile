# libquant: the library, the tool `quant`, their tests. GNU make 4.2 or later; `make help` lists what can be made.
#
# From outside: CC AR CPPFLAGS CFLAGS LDFLAGS, and
#   BUILD=folder   where everything made goes, so that several builds lie side by side
#   OPENMP=0|1     threads by OpenMP; without it asked from the compiler
#   WERROR=1       warnings stop the build
#   HARDEN=        build the tool without hardening
#   AMALGAMATION=1 make the libraries from the one file that `make amalgamation` writes, with no flag that it should not need
#   V=1            show whole commands
#   TESTS="..."    what `make check` runs: sources tests/*.c and scripts tests/*.sh
#   JOBS=N         how many tests run at a time; without it one for each processor
#   EMULATOR="..." put before each C test program, for another machine's code
#   PREFIX BINDIR LIBDIR INCLUDEDIR MANDIR DESTDIR   for install; DOCS=0 leaves the manual pages out

BUILD = build
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
BINDIR = $(PREFIX)/bin
LIBDIR = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
MANDIR = $(PREFIX)/share/man
DOCS = 1

all:

comma := ,

# ---- whose code it makes ----

# What the compiler replaces: how wide it computes, and the systems whose files have names of their own.
target := $(shell echo __FLT_EVAL_METHOD__ _WIN32 __APPLE__ | $(CC) $(CFLAGS) -std=c11 -E -P -x c - 2>/dev/null)
evaluation := $(firstword $(target))
windows := $(if $(target),$(if $(filter _WIN32,$(target)),,1))
apple := $(if $(target),$(if $(filter __APPLE__,$(target)),,1))
exe := $(if $(windows),.exe)

# ---- what there is ----

lib_src := $(file <lib/sources.list)
tool_src := $(file <src/sources.list)
one_file := $(BUILD)/amalgamation/libquant
lib_obj := $(if $(filter 1,$(AMALGAMATION)),$(one_file).o,$(lib_src:%.c=$(BUILD)/%.o))
tool_obj := $(tool_src:%.c=$(BUILD)/%.o)
tool := $(BUILD)/quant$(exe)

# Scripts first: the longest of all are among them.
TESTS = $(sort $(wildcard tests/*.sh)) $(sort $(wildcard tests/test_*.c tests/checkkern.c))
test_programs := $(patsubst tests/%.c,$(BUILD)/tests/%$(exe),$(filter %.c,$(TESTS)))
tool_tests := $(filter $(BUILD)/tests/test_tool_% $(BUILD)/tests/test_files%,$(test_programs))

version := $(shell awk '/define LQ_VERSION_(MAJOR|MINOR|PATCH) / { printf "%s%s", dot, $$3; dot = "." }' \
             include/libquant.h)
major := $(firstword $(subst ., ,$(version)))

ifdef windows
so := libquant-$(major).dll
so_major := $(so)
so_flags = -shared -Wl,--gc-sections -Wl,--out-implib,$(BUILD)/libquant.dll.a
exports := $(BUILD)/libquant.def
so_names = $(exports)
else ifdef apple
so := libquant.dylib
so_major := libquant.$(major).dylib
so_full := libquant.$(version).dylib
so_flags = -dynamiclib -install_name $(LIBDIR)/$(so_major)
else
so := libquant.so
so_major := libquant.so.$(major)
so_full := libquant.so.$(version)
relro = -Wl,-z,relro,-z,now
no_undefined = -Wl,--no-undefined
so_flags = -shared -Wl,-soname,$(so_major) -Wl,--gc-sections $(relro)
so_flags += $(if $(sanitized),,$(no_undefined))
exports := $(BUILD)/libquant.map
so_names = -Wl,--version-script,$(exports)
HARDEN = $(if $(sanitized)$(filter -O0,$(CFLAGS)),,-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
harden_link = $(if $(HARDEN),$(if $(filter -static,$(LDFLAGS)),,-pie) $(relro))
endif

# ---- how it is compiled ----

ifndef OPENMP
probe := /dev/null
ifdef windows # where a program has to be a file
probe := $(BUILD)/probe.exe
$(shell mkdir -p $(BUILD))
endif
OPENMP := $(shell echo 'int main(void) { return 0; }' | \
            $(CC) $(CFLAGS) $(LDFLAGS) -fopenmp -x c - -o $(probe) 2>/dev/null && echo 1 || echo 0)
endif
openmp = $(if $(filter 1,$(OPENMP)),-fopenmp)
sanitized = $(findstring -fsanitize,$(CFLAGS))

warnings = -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wcast-align
warnings += $(if $(windows),-Wno-float-conversion) # isfinite and its like in the headers there
warnings += $(if $(filter 1,$(WERROR)),-Werror)
posix = -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64

# The same bits from every compiler: fused multiply-add only where the source says so, and each operation rounded to its own
# type, where 32-bit x86 has registers of 80 bits and s390x computes in double. No -march: functions carry their own.
exact = -ffp-contract=off $(if $(filter 2,$(evaluation)),-msse2 -mfpmath=sse)
exact += $(if $(filter 1,$(evaluation)),-fexcess-precision=fast)
common = -std=c11 $(if $(windows),$(unaligned),-fPIC) -fvisibility=hidden $(exact) -Iinclude $(warnings)
gcc := $(findstring Free Software,$(shell $(CC) --version 2>/dev/null))
# On Windows gcc takes the stack for aligned to 32 and 64 bytes, which it is not (gcc bug 54412).
unaligned := $(if $(gcc),-Wa$(comma)-muse-unaligned-vector-move)
# The call graph with the stack of each function, for tests/stack.sh: gcc 10 and later.
call_graph := $(if $(shell $(CC) --help=common 2>/dev/null | grep fcallgraph-info),-fcallgraph-info=su)
# In sections of their own, so that a link leaves out what nothing refers to.
sections = -ffunction-sections -fdata-sections
lib_flags = $(common) $(sections) $(openmp) $(call_graph) $(CPPFLAGS) $(CFLAGS)
tool_flags = $(common) $(posix) $(HARDEN) $(CPPFLAGS) $(CFLAGS) -pthread
test_flags = $(common) $(posix) $(openmp) $(CPPFLAGS) $(CFLAGS) -pthread
libs = $(openmp) -lm

# Objects are made again when the flags differ from those of the last run.
flags = $(strip $(AMALGAMATION) $(CC) : $(lib_flags) : $(tool_flags) : $(so_flags) : $(LDFLAGS))
ifneq ($(flags),$(strip $(file <$(BUILD)/flags)))
$(shell mkdir -p $(BUILD))
$(file >$(BUILD)/flags,$(flags))
endif

Q := $(if $(V),,@)
say = $(if $(V),,@mkdir -p $(@D); printf '  %-4s %s\n' $1 $2)

$(BUILD)/lib/%.o: lib/%.c $(BUILD)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(lib_flags) -MMD -MP -c -o $@ $<

# LQI_PRIVATE is empty for the tests that call internal functions.
$(one_file).o: $(one_file).c $(BUILD)/flags
	$(call say,CC,$<)
	$(Q)$(CC) -std=c11 $(if $(windows),$(unaligned),-fPIC) -fvisibility=hidden -DLQI_PRIVATE= $(warnings) $(openmp) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(one_file).c: lib/amalgamate.awk lib/sources.list LICENSE $(wildcard include/*.h lib/*/*.[ch])
	$(call say,AWK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)awk -f lib/amalgamate.awk lib/sources.list >$@
	$(Q)cp include/libquant.h $(@D)

$(BUILD)/src/%.o: src/%.c $(BUILD)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(tool_flags) -MMD -MP -c -o $@ $<

$(BUILD)/libquant.a: $(lib_obj) lib/sources.list
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $(lib_obj)

$(BUILD)/libquant.map: lib/libquant.sym lib/symbols.awk $(BUILD)/flags
	$(Q)awk -f lib/symbols.awk lib/libquant.sym >$@

$(BUILD)/libquant.def: lib/libquant.sym $(BUILD)/flags
	$(Q)awk 'BEGIN { print "EXPORTS" } !/^#/ && NF { print $$1 }' lib/libquant.sym >$@

$(BUILD)/$(so_major): $(lib_obj) $(exports) lib/sources.list
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(so_flags) $(so_names) $(LDFLAGS) -o $@ $(lib_obj) $(libs)

ifneq ($(so),$(so_major))
$(BUILD)/$(so): $(BUILD)/$(so_major)
	$(Q)ln -sf $(so_major) $@
endif

$(tool): $(tool_obj) $(BUILD)/libquant.a src/sources.list
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(harden_link) $(LDFLAGS) -pthread -o $@ $(tool_obj) $(BUILD)/libquant.a $(libs)

$(tool_tests): $(filter-out %/main.o,$(tool_obj))

$(BUILD)/tests/%$(exe): tests/%.c $(BUILD)/libquant.a $(BUILD)/flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(test_flags) -MMD -MP -MF $@.d -MT $@ $(LDFLAGS) -o $@ $< $(filter %.o,$^) $(BUILD)/libquant.a $(libs)

-include $(lib_obj:.o=.d) $(tool_obj:.o=.d) $(test_programs:=.d)

# ---- what can be made ----

# Every target with a help text.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' Makefile)
.DELETE_ON_ERROR:

all: lib $(tool) ## library and tool

lib: $(BUILD)/libquant.a $(BUILD)/$(so) ## the library alone, static and shared

amalgamation: $(one_file).c ## the library as one file: BUILD/amalgamation/libquant.c and .h

demo: $(tool) ## quantize the example model and look at the result
	@mkdir -p $(BUILD)/demo
	$(tool) quantize examples/model -o $(BUILD)/demo/nf4 --method nf4 --nested --force
	@echo
	$(tool) inspect $(BUILD)/demo/nf4
	@echo
	$(tool) compare examples/model $(BUILD)/demo/nf4
	@echo
	$(tool) bench --quick

# What the tests are told; tests/run starts them.
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
export JOBS CC CPPFLAGS CFLAGS LDFLAGS OPENMP EMULATOR
export LQ_EXE = $(exe)
export LQ_BUILD = $(abspath $(BUILD))
export LQ_VECTORS = $(abspath tests/vectors)
export LIBQUANT = $(abspath $(BUILD)/$(so))
export QUANT = $(abspath $(tool))

check: $(test_programs) $(if $(filter %.sh,$(TESTS)),all) ## build everything and run every test
	@sh tests/run $(TESTS)

check-firmware: all ## what is left without a system: built for Cortex-M, run in an emulator, compared with this machine
	@sh tests/firmware/run.sh

check-long: export LQ_LONG = 1
check-long: check ## the same tests with the long parts that check leaves out

check-abi: export LQ_ABI = 1
check-abi: lib $(BUILD)/tests/test_abi ## the interface against what was released (docs/abi.md)
	@sh tests/run tests/test_abi.c tests/abi.sh tests/abi_breaks.sh tests/headers.sh tests/symbols.sh
	@cd $(BUILD)/tests && tail -n 1 test_abi.log && awk '/^[0-9]+ passed, / { passed += $$1; failed += $$3 } \
	  END { print passed " passed, " failed " failed" }' headers.sh.log abi.sh.log abi_breaks.sh.log

check-examples: all ## every example, linked with the static and with the shared library
	@sh tests/examples.sh

abi-dump: ## record the interface anew, on purpose
	@sh tests/abi/dump.sh

check-faults: all ## every system call of the tool fails, is interrupted, or is its last one
	@LQ_FAULTS=$${LQ_FAULTS:-all} sh tests/faults.sh

check-determinism: export LQ_DETERMINISM = 1

check-oom: ## every allocation of the library and of the tool fails, under sanitizers
check-threads: ## several threads, pools and forks under the thread sanitizer, and with OpenMP
check-determinism: ## the same results from other compilers and on other machines
check-oom check-threads check-determinism:
	@LQ_CHECK=$(@:check-%=%) sh tests/$(@:check-%=%).sh

check-cross: export LQ_TESTS = $(if $(filter command line environment,$(origin TESTS)),$(TESTS))
check-cross: all ## library, tool and tests on other machines, under emulation
	@LQ_CHECK=cross sh tests/cross.sh

check-consumers: all amalgamation ## programs by pkg-config, CMake, meson, and with the one file
	@LQ_CHECK=consumers sh tests/consumers.sh

check-amalgamation: $(BUILD)/tests/test_subset amalgamation ## the one file: compilers, subsets of methods, tests
	@LQ_CHECK=amalgamation sh tests/amalgamation.sh

fuzz: ## a fuzzer on TARGET=name or all, for SECONDS=60 each; ENGINE=libfuzzer or afl (docs/fuzzing.md)
	@sh tests/fuzz/fuzz.sh "$(or $(TARGET),all)" "$(or $(SECONDS),60)" "$(or $(ENGINE),libfuzzer)"

fuzz-replay: all ## every fuzz target on its seeds and on past findings
	@sh tests/fuzz_replay.sh

check-analysis: ## what cppcheck, clang-tidy, gcc -fanalyzer, sanitizers for integers and memory, and valgrind find
coverage: ## tests in a build that counts lines and branches; a table in build/coverage
check-analysis coverage:
	@LQ_CHECK=$(@:check-%=%) sh tests/$(@:check-%=%).sh

bench: $(tool) ## measure kernels against the limits of this machine
	@$(tool) bench

docs: man $(BUILD)/docs/reference/README.md ## a page for each function, as Markdown too, in build/docs

man: $(BUILD)/docs/man3/libquant.3 $(BUILD)/docs/man1/quant.1 ## manual pages of the command and of each function

pages = docs/pages.sh docs/reference.awk include/libquant.h lib/libquant.sym

$(BUILD)/docs/man3/libquant.3: $(pages)
	$(Q)sh docs/pages.sh functions $(@D)

$(BUILD)/docs/reference/README.md: $(pages)
	$(Q)sh docs/pages.sh markdown $(@D)

$(BUILD)/docs/man1/quant.1: docs/pages.sh docs/command.awk docs/quant.1.in $(tool)
	$(Q)mkdir -p $(@D)
	$(Q)sh docs/pages.sh command $@ $(EMULATOR) $(tool)

install: all $(if $(filter 1,$(DOCS)),man) ## under DESTDIR, PREFIX
	install -d "$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(INCLUDEDIR)" "$(DESTDIR)$(LIBDIR)/pkgconfig"
	install -m 755 $(tool) "$(DESTDIR)$(BINDIR)/"
	install -m 644 include/libquant.h "$(DESTDIR)$(INCLUDEDIR)/libquant.h"
	install -m 644 $(BUILD)/libquant.a "$(DESTDIR)$(LIBDIR)/libquant.a"
ifdef windows
	install -m 755 $(BUILD)/$(so) "$(DESTDIR)$(BINDIR)/"
	install -m 644 $(BUILD)/libquant.dll.a "$(DESTDIR)$(LIBDIR)/"
else
	install -m 755 $(BUILD)/$(so_major) "$(DESTDIR)$(LIBDIR)/$(so_full)"
	ln -sf $(so_full) "$(DESTDIR)$(LIBDIR)/$(so_major)"
	ln -sf $(so_major) "$(DESTDIR)$(LIBDIR)/$(so)"
endif
	sed -e 's|@prefix@|$(PREFIX)|' -e 's|@libdir@|$(LIBDIR)|' -e 's|@includedir@|$(INCLUDEDIR)|' \
	  -e 's|@version@|$(version)|' -e 's|@libs_private@|$(strip -lm $(openmp))|' \
	  pkgconfig/libquant.pc.in >"$(DESTDIR)$(LIBDIR)/pkgconfig/libquant.pc"
ifeq ($(DOCS),1)
	install -d "$(DESTDIR)$(MANDIR)/man1" "$(DESTDIR)$(MANDIR)/man3"
	install -m 644 $(BUILD)/docs/man1/quant.1 "$(DESTDIR)$(MANDIR)/man1/"
	install -m 644 $(BUILD)/docs/man3/*.3 "$(DESTDIR)$(MANDIR)/man3/"
endif

uninstall: ## take away what install put there
	cd "$(DESTDIR)$(LIBDIR)" && rm -f libquant.a $(if $(windows),libquant.dll.a,$(so) $(so_major) $(so_full)) pkgconfig/libquant.pc
	rm -f "$(DESTDIR)$(BINDIR)/$(notdir $(tool))" $(if $(windows),"$(DESTDIR)$(BINDIR)/$(so)") "$(DESTDIR)$(INCLUDEDIR)/libquant.h"
	cd "$(DESTDIR)$(MANDIR)" 2>/dev/null && rm -f man1/quant.1 man3/libquant.3 $(shell awk '{ print "man3/" $$1 ".3" }' lib/libquant.sym) || :

clean: ## remove the build folder
	rm -rf $(BUILD)

sources = $(wildcard include/*.h lib/*/*.[ch] src/*.[ch] src/*/*.[ch] tests/*.[ch] tests/*/*.[ch] examples/*.[ch] \
            examples/*.cc examples/*/*.[ch])

format: ## lay out all C sources (clang-format 14)
	clang-format -i $(sources)

check-format: ## fail if `make format` would change anything
	clang-format --dry-run -Werror --ferror-limit=1 $(sources)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
