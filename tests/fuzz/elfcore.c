/* Headers and notes of ELF cores. */
#include "formats/elfcore.h"
#include "tests/fuzz/fuzz.h"

static ssize_t run_header(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	return elfcore_header_decode(buf, len, arg, f);
}

static ssize_t run_phdr(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	return elfcore_phdr_decode(buf, len, arg, f);
}

static ssize_t run_note(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	return elfcore_note_decode(buf, len, arg, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elfcore_header h;
	struct elfcore_phdr p;
	struct elfcore_note n;
	struct fault f;

	(void)decode_exact(run_header, &h, data, size, &f);
	if (decode_exact(run_phdr, &p, data, size, &f) >= 0)
		must(p.offset + p.length >= p.offset);
	if (decode_exact(run_note, &n, data, size, &f) >= 0)
		must(n.at + n.len <= size &&
		     strlen(n.name) < ELFCORE_NOTE_NAME_MAX);
	return 0;
}
