/* target_test.c - what QEMU emulates, from its refusals. */
#include "tests/libmr/unit.h"

#include <pthread.h>
#include <sys/socket.h>

#include "libmr/vm/qmp.h"
#include "libmr/vm/target.h"

enum manner { USUAL, ACCEPTS, OTHER_WORDS, NO_LIMIT, HANGS_UP };

/* A QEMU, as far as this goes. */
struct vm {
	int fd;
	const char *arch;
	uint32_t page_size;
	enum manner manner;
	unsigned asked;
};

static const char *answer_parameters(const struct vm *vm, const char *line)
{
	const char *size = strstr(line, "cache-size\":");

	assert_non_null(size);
	assert_non_null(strstr(line, "announce-initial"));
	if (vm->manner == ACCEPTS)
		return "\"return\": {}";
	if (vm->manner == OTHER_WORDS)
		return "\"error\": {\"class\": \"GenericError\", \"desc\": "
		       "\"not now\"}";
	size += strcspn(size, "0123456789");
	if (vm->manner != NO_LIMIT && strtoul(size, NULL, 10) < vm->page_size)
		return "\"error\": {\"class\": \"GenericError\", \"desc\": "
		       "\"Parameter 'xbzrle_cache_size' expects a power of "
		       "two no less than the target page size\"}";
	return "\"error\": {\"class\": \"GenericError\", \"desc\": "
	       "\"Parameter 'announce_initial' expects a value between 0 and "
	       "100000\"}";
}

static void *serve(void *arg)
{
	struct vm *vm = arg;
	FILE *in = fdopen(vm->fd, "r+"), *out = fdopen(dup(vm->fd), "w");
	char line[4096];

	(void)fputs("{\"QMP\": {\"version\": {\"qemu\": {\"major\": 10, "
		    "\"minor\": 0, \"micro\": 2}, \"package\": \"\"}, "
		    "\"capabilities\": []}}\n",
		    out);
	(void)fflush(out);
	while (fgets(line, sizeof(line), in)) {
		const char *id = strstr(line, "\"id\":");
		const char *answer = "\"return\": {}";
		char arch[64];

		id += strcspn(id, "0123456789");
		if (strstr(line, "query-target")) {
			(void)snprintf(arch, sizeof(arch),
				       "\"return\": {\"arch\": \"%s\"}",
				       vm->arch);
			answer = arch;
		} else if (strstr(line, "migrate-set-parameters")) {
			vm->asked++;
			if (vm->manner == HANGS_UP)
				break;
			answer = answer_parameters(vm, line);
		}
		(void)fprintf(out, "{%s, \"id\": %lu}\n", answer,
			      strtoul(id, NULL, 10));
		(void)fflush(out);
	}
	(void)fclose(in);
	(void)fclose(out);
	return NULL;
}

/* What target_ask makes of it. */
static int ask(struct vm *vm, struct vm_target *t, struct mr_error *err)
{
	int fds[2], rc;
	struct qmp *q;
	pthread_t server;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	vm->fd = fds[0];
	vm->asked = 0;
	assert_int_equal(pthread_create(&server, NULL, serve, vm), 0);
	q = qmp_attach(fds[1], 10000, err);
	assert_non_null(q);
	rc = target_ask(t, q, err);
	qmp_free(q);
	assert_int_equal(pthread_join(server, NULL), 0);
	return rc;
}

static void page_sizes(void **state)
{
	static const struct {
		const char *arch;
		uint32_t size, least;
		unsigned int bits; /* in a stream */
	} all[] = {
		{ "x86_64", 4096, 4096, 0 },	{ "aarch64", 4096, 1024, 12 },
		{ "arm", 1024, 1024, 0 },	{ "avr", 256, 256, 0 },
		{ "alpha", 8192, 8192, 0 },	{ "tricore", 16384, 16384, 0 },
		{ "aarch64", 65536, 1024, 16 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct vm vm = { .arch = all[i].arch,
				 .page_size = all[i].size };
		struct mr_error err = MR_ERROR_INIT;
		struct vm_target t;

		assert_int_equal(ask(&vm, &t, &err), 0);
		assert_string_equal(t.arch, all[i].arch);
		assert_int_equal(t.page_size, all[i].size);
		assert_int_equal(t.page_least, all[i].least);
		assert_int_equal(t.state, VM_TARGET_PLAIN);
		assert_int_equal(target_page_bits(&t), all[i].bits);
		assert_in_range(vm.asked, 2, 7);
	}
}

/* Answers that say nothing are not taken for one. */
static void not_told(void **state)
{
	static const enum manner manners[] = { ACCEPTS, OTHER_WORDS, NO_LIMIT };
	struct mr_error err = MR_ERROR_INIT;
	struct vm_target t;
	struct vm vm = { .arch = "x86_64", .page_size = 1 << 20 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(manners); i++) {
		vm.manner = manners[i];
		assert_int_equal(ask(&vm, &t, &err), 0);
		assert_int_equal(t.page_size, 0);
		assert_int_equal(target_page_bits(&t), 0);
	}
	vm.manner = USUAL; /* pages that are larger than any */
	assert_int_equal(ask(&vm, &t, &err), 0);
	assert_int_equal(t.page_size, 0);
	assert_int_equal(err.code, MR_OK);
}

static void strange_target(void **state)
{
	struct vm vm = { .arch = "hexagon", .page_size = 4096 };
	struct mr_error err = MR_ERROR_INIT;
	struct vm_target t;

	(void)state;
	assert_int_equal(ask(&vm, &t, &err), 0);
	assert_int_equal(t.page_size, 4096);
	assert_int_equal(t.page_least, 0);
	assert_int_equal(t.state, VM_TARGET_OTHER);
	vm.arch = "s390x";
	assert_int_equal(ask(&vm, &t, &err), 0);
	assert_int_equal(t.page_least, 4096);
	assert_int_equal(t.state, VM_TARGET_OTHER);
	vm.arch = "hppa";
	assert_int_equal(ask(&vm, &t, &err), 0);
	assert_int_equal(t.state, VM_TARGET_FATAL);
	vm.manner = HANGS_UP;
	assert_int_equal(ask(&vm, &t, &err), -1);
	assert_int_equal(err.code, MR_QMP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_sizes),
		cmocka_unit_test(not_told),
		cmocka_unit_test(strange_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
