# mrtools: one Makefile, everything built under build/VARIANT/.
#   make [CC=clang] [SAN=address,undefined | SAN=thread]
comma := ,
O ?= build/$(if $(SAN),$(subst $(comma),-,$(SAN)),release)
prefix ?= /usr/local
bindir = $(prefix)/bin
libdir = $(prefix)/lib
includedir = $(prefix)/include
mandir = $(prefix)/share/man
libexecdir = $(prefix)/lib/mrtools
unitdir = $(prefix)/lib/systemd/system
compdir = $(prefix)/share/bash-completion/completions
VERSION := $(shell cat VERSION)
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
OBJCOPY ?= objcopy
# As pkg-config calls them; of libaio it knows nothing (Debian 12).
LIB_PKGS = jansson libxxhash libzstd zlib
PKGS = $(LIB_PKGS) popt
W = -Wall -Wextra -Wshadow -Wconversion -Wvla -Wundef -Wstrict-prototypes \
	-Wmissing-prototypes -Wformat=2 -Wcast-qual -Wwrite-strings \
	-Wswitch-enum -Werror
ALL_CPPFLAGS = -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	-DMR_VERSION='"$(VERSION)"' -DMR_LIBEXEC='"$(libexecdir)"' \
	$(if $(SAN),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2) \
	$(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS = -std=c11 -pthread $(W) $(CFLAGS) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
ALL_LDFLAGS = -pthread $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)
# Asked once, and when it is needed: then deps has installed them.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell \
	$(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $(shell \
	$(PKG_CONFIG) --libs $(PKGS) 2>/dev/null))$(PKG_LIBS)
# What is used where it is there.
MORE_LIBS = $(eval MORE_LIBS := $(foreach l,bzlib=bz2 lzma=lzma lzo/lzo1x=lzo2,\
	$(shell $(CC) $(CPPFLAGS) -E -include $(firstword $(subst =, ,$l)).h \
		-x c /dev/null >/dev/null 2>&1 && \
		echo -l$(lastword $(subst =, ,$l)))))$(MORE_LIBS)
# And a program that has QMP from libvirt, where its library is.
RELAY = $(wildcard tools/libvirt/relay.c)
LIBVIRT_PKGS = libvirt libvirt-qemu
HAS_LIBVIRT = $(eval HAS_LIBVIRT := $(if $(RELAY),$(shell $(PKG_CONFIG) --exists \
	'libvirt >= 8.2' libvirt-qemu 2>/dev/null && echo yes)))$(HAS_LIBVIRT)
LDLIBS = -laio $(MORE_LIBS) $(PKG_LIBS)
# Of the library only what the public headers declare is seen from outside,
# and it is machine code whatever the CFLAGS are.
LIB_CFLAGS = -fvisibility=hidden -fno-lto

# What comes before all else that is asked for with it, also with -j: deps, what
# check and demo need and, if it is named first, clean.
FIRST := $(filter deps,$(MAKECMDGOALS)) \
	$(if $(filter check demo,$(MAKECMDGOALS)),ready) \
	$(filter clean,$(firstword $(MAKECMDGOALS)))
ifneq ($(filter clean,$(MAKECMDGOALS)),$(filter clean,$(FIRST)))
.NOTPARALLEL:
endif

# Sources are found wherever they are: a folder more is no line here.
find = $(sort $(shell find $1 -name '$2'))
TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/mr*.c))
LIBOBJ := $(patsubst %.c,$O/%.o,$(call find,formats libmr,*.c))
UNITS := $(patsubst %.c,$O/%,$(call find,tests/formats tests/libmr \
	tests/tools,*_test.c))
HELPERS := $(patsubst %.c,$O/%,$(wildcard tests/helpers/*.c))
FUZZERS := $(patsubst %.c,$O/%,$(wildcard tests/fuzz/*.c))
SOURCES = $(call find,formats libmr tools tests,*.[ch])

all: $(TOOLS:%=$O/%) relay
unit-tests: $(UNITS)
helpers: $(HELPERS) $O/guest.img

# The compiler line, rewritten only when it changes: flags are dependencies.
FLAGS = $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LIB_CFLAGS) $(ALL_LDFLAGS) \
	$(LDLIBS)
# What is not there, in Debian's words.
DEBIAN_zlib = zlib1g
LACKING = $(if $(shell $(PKG_CONFIG) --version 2>/dev/null),\
	$(foreach p,$(PKGS),$(shell \
		$(PKG_CONFIG) --exists $p || \
		echo $(or $(DEBIAN_$p),lib$(p:lib%=%))-dev)),\
	pkg-config) \
	$(shell $(CC) $(CPPFLAGS) -E -include libaio.h -x c /dev/null \
		>/dev/null 2>&1 || echo libaio-dev)
$O/flags: FORCE $(FIRST)
	$(if $(strip $(LACKING)),$(error missing: $(strip $(LACKING)) (see \
		make deps)))
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(FLAGS))' >$@

$O/%.o: %.c $O/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -MT '$$O/$*.o' -c -o $@ $<
$(LIBOBJ): private ALL_CFLAGS += $(LIB_CFLAGS)
$O/libmr.a: $(LIBOBJ)
	@rm -f $@
	$(AR) rcs $@ $^
# The same for others: one object, in which what is not public is local.
$O/lib/libmr.a: $(LIBOBJ)
	@mkdir -p $(@D)
	$(CC) -r -nostdlib -o $O/lib/libmr.o $^
	$(OBJCOPY) --localize-hidden $O/lib/libmr.o
	@rm -f $@
	$(AR) rcs $@ $O/lib/libmr.o
# What tools share; each takes what it needs.
$O/tools.a: $(patsubst %.c,$O/%.o,$(filter-out $(TOOLS:%=tools/%.c),\
	$(filter-out tools/libvirt/%,$(call find,tools,*.c))))
	@rm -f $@
	$(AR) rcs $@ $^
$(TOOLS:%=$O/%): $O/%: $O/tools/%.o $O/tools.a $O/libmr.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)
# libvirt is nobody's but this one's.
relay: $(if $(HAS_LIBVIRT),$O/mrtools-libvirt)
$O/tools/libvirt/relay.o: private ALL_CPPFLAGS += \
	$(shell $(PKG_CONFIG) --cflags $(LIBVIRT_PKGS) 2>/dev/null)
$O/mrtools-libvirt: $O/tools/libvirt/relay.o
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $$($(PKG_CONFIG) --libs \
		$(LIBVIRT_PKGS) jansson)
# The calls that a unit test stands in for (tests/libmr/fail.h).
WRAP_libmr/base/inflate = inflateInit_
WRAP_libmr/file/io = pread64
WRAP_libmr/file/expand = malloc
WRAP_libmr/file/queue = io_setup io_submit io_getevents io_destroy
WRAP_libmr/file/output = open64 __open64_2 openat64 close readlinkat fstat64 \
	fstatat64 faccessat fstatvfs64 statx getrandom strdup fchmod \
	ftruncate64 pwrite64 fsync dup linkat renameat
WRAP_libmr/image/index = calloc malloc realloc mmap64
WRAP_libmr/image/writer = calloc realloc mmap64 munmap ftruncate64 pwrite64
WRAP_libmr/diff/diff = calloc malloc realloc mmap64 pread64
WRAP_libmr/diff/fields = calloc malloc realloc pread64
WRAP_libmr/vm/pause = socketpair fork
WRAP_tools/common/cli = poptGetNextOpt
WRAP_libmr/engine/crew = $(WRAP_libmr/file/queue) calloc mmap64 munmap \
	pthread_create pthread_cond_signal clock_gettime nanosleep
WRAP_libmr/verify/verify = io_setup io_getevents pread64 pwrite64 ftruncate64 fsync fallocate64
WRAP_libmr/memory/image_sink = fallocate64
WRAP_libmr/checkpoint/keeper = copy_file_range fcntl64 renameat2
WRAP_libmr/checkpoint/power = fcntl64 pwrite64 ftruncate64 fallocate64 \
	copy_file_range ioctl fsync openat64 linkat renameat renameat2 \
	unlinkat io_setup
WRAP_libmr/recv/colo = fsync ftruncate64 pwrite64 linkat renameat2
WRAP_libmr/memory/pack_sink = malloc calloc mmap64
WRAP_libmr/convert/convert = malloc calloc realloc mmap64 pread64 pwrite64 \
	write pwritev64v2 poll ftruncate64 fsync fstat64 renameat
WRAP_libmr/load/memory = fallocate64 calloc ftruncate64 fsync lseek64 fstat64 \
	fstatfs64 madvise mmap64 pwrite64 pread64 io_setup io_getevents
$(UNITS): $O/%: $O/%.o $O/tools.a $O/libmr.a
	$(CC) $(ALL_LDFLAGS) $(WRAP_$(@:$O/tests/%_test=%):%=-Wl,--wrap=%) \
		-o $@ $^ $(LDLIBS) -lcmocka
$(HELPERS): $O/%: $O/%.o $O/libmr.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

# Saves that are disturbed at random moments: make storm ROUNDS=200 SEED=1; and
# checkpoints (COLO) that end so, for which a QEMU of 11.0 or later has to be
# first in PATH.
storm storm-colo: all helpers
	O=$O tests/qemu/$@ $(or $(ROUNDS),200) $(SEED)

# The tools beside QEMU and the machine's limits; ROWS="save-anon live" for some.
# Those of COLO take COLO_CHECKPOINTS=60 each time, one every COLO_DELAY=200 ms,
# and a QEMU of 11.0 or later: PATH=$PWD/build/qemu-newest:$PATH.
BENCH := $(addprefix $O/tests/bench/,bench bare decode page)
$O/tests/bench/bench: $(patsubst %.c,$O/%.o,$(filter-out \
	%/bare.c %/decode.c %/page.c,$(wildcard tests/bench/*.c))) $O/libmr.a
$O/tests/bench/bare: $O/tests/bench/bare.o
$O/tests/bench/decode: $O/tests/bench/decode.o $O/libmr.a
$O/tests/bench/page: $O/tests/bench/page.o $O/libmr.a
$(BENCH):
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)
bench bench-quick: all $(BENCH) $O/guest.img $O/tests/helpers/colo-null
	$O/tests/bench/bench $(if $(filter %-quick,$@),-q) -b $O \
		-o build/bench.json $(if $(BENCH_DIR),-d $(BENCH_DIR)) $(ROWS)

# Fuzzers are clang's, so they have a build of their own.
$(FUZZERS): $O/%: $O/%.o $O/libmr.a
	$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LDLIBS)
fuzzers: $(FUZZERS)
fuzz:
	tests/fuzz/run

# The guest that the tests boot: a program for the bare machine.
GUEST = $(addprefix tests/guest/,boot.S guest.c)
$O/guest.img: $(GUEST) tests/guest/guest.ld $O/flags
	$(CC) -std=c11 -O2 $(W) -ffreestanding -fno-pie -fno-stack-protector \
		-fcf-protection=none -mno-red-zone -mgeneral-regs-only \
		-static -nostdlib -Wl,-T,tests/guest/guest.ld,--oformat=binary \
		-Wl,--build-id=none -o $@ $(GUEST)

# Installs what is missing, after saying what; nothing when all is there.
deps: $(filter clean,$(FIRST))
	.ci/deps
# Says what is missing.
ready: $(filter-out ready,$(FIRST))
	@CC='$(CC)' .ci/deps -n

# All tests, or those with a word of T in their name: make check T="save crew"
check: all unit-tests helpers
	@O=$O tests/check $(T)

check-layers: all
	tests/check-layers $O

# Format, clang-tidy at zero, man pages: make -j2 lint
$O/%.tidy: %.c $(filter %.h,$(SOURCES)) .clang-tidy | $(FIRST)
	@mkdir -p $(@D)
	clang-tidy --quiet $< -- -std=c11 $(ALL_CPPFLAGS)
	@touch $@
lint: $(patsubst %.c,$O/%.tidy,$(filter-out \
	$(if $(HAS_LIBVIRT),,$(RELAY)),$(filter %.c,$(SOURCES))))
	clang-format --dry-run -Werror $(SOURCES)
	mandoc -T lint -W warning $(wildcard man/*.[1-8])

# The main job on a real QEMU, to look at.
demo: all helpers
	@O=$O tests/demo

install: all $O/lib/libmr.a
	install -d $(addprefix $(DESTDIR),$(bindir) $(mandir)/man1 \
		$(mandir)/man5 $(mandir)/man7 $(compdir) $(libdir)/pkgconfig \
		$(includedir)/libmr/mr)
	install -m 755 $(TOOLS:%=$O/%) $(DESTDIR)$(bindir)
	install -m 644 $(wildcard man/*.1) $(DESTDIR)$(mandir)/man1
	install -m 644 $(wildcard man/*.5) $(DESTDIR)$(mandir)/man5
	install -m 644 $(wildcard man/*.7) $(DESTDIR)$(mandir)/man7
	for t in $(TOOLS); do install -m 644 tools/completion.bash \
		$(DESTDIR)$(compdir)/$$t || exit; done
	install -d $(DESTDIR)$(unitdir) $(DESTDIR)$(libexecdir)
	install -m 755 tools/systemd/mrsave-nightly $(DESTDIR)$(libexecdir)
	$(if $(HAS_LIBVIRT),install -m 755 $O/mrtools-libvirt $(DESTDIR)$(libexecdir))
	install -m 644 tools/systemd/mrsave@.timer $(DESTDIR)$(unitdir)
	sed -e 's|@prefix@|$(prefix)|; s|@bindir@|$(bindir)|' \
		tools/systemd/mrsave@.service.in >$O/lib/mrsave@.service
	install -m 644 $O/lib/mrsave@.service $(DESTDIR)$(unitdir)
	install -m 644 $O/lib/libmr.a $(DESTDIR)$(libdir)
	install -m 644 libmr/mr.h $(DESTDIR)$(includedir)/libmr
	install -m 644 $(wildcard libmr/mr/*.h) $(DESTDIR)$(includedir)/libmr/mr
	sed -e 's|@prefix@|$(prefix)|' \
		-e 's|@libdir@|$(libdir:$(prefix)/%=$${prefix}/%)|' \
		-e 's|@includedir@|$(includedir:$(prefix)/%=$${prefix}/%)|' \
		-e 's|@requires@|$(LIB_PKGS)|; s|@version@|$(VERSION)|' \
		-e 's|@more@|$(strip $(MORE_LIBS))|' \
		libmr/libmr.pc.in >$O/lib/libmr.pc
	install -m 644 $O/lib/libmr.pc $(DESTDIR)$(libdir)/pkgconfig

dist: | $(FIRST)
	@mkdir -p build
	git archive --prefix=mrtools-$(VERSION)/ HEAD | gzip -9n \
		>build/mrtools-$(VERSION).tar.gz

clean:
	rm -rf build
FORCE:
.PHONY: all bench bench-quick check check-layers clean demo deps dist fuzz \
	fuzzers helpers install lint ready relay storm storm-colo unit-tests \
	FORCE
-include $(shell find $O -name '*.d' 2>/dev/null)
