/* Inits, headers of packets and of device state, messages of a destination. */
#include "formats/multifd.h"
#include "formats/return_path.h"
#include "tests/fuzz/fuzz.h"

enum { PAGE = 4096 };

static ssize_t run_init(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	return multifd_init_decode(buf, len, arg, f);
}

static ssize_t run_packet(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	return multifd_packet_decode(buf, len, PAGE, arg, f);
}

static ssize_t run_device(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	return multifd_device_decode(buf, len, arg, f);
}

static ssize_t run_message(void *arg, const uint8_t *buf, size_t len,
			   struct fault *f)
{
	return return_path_decode(buf, len, arg, f);
}

/* What was decoded and is encoded gives the same again. */
static void check_packet(const struct multifd_packet *p)
{
	static uint8_t back[1344];
	static struct multifd_packet again;
	struct fault f;

	must(p->normal + p->zero <= MULTIFD_PAGES_SIZE / PAGE);
	must(p->size <= multifd_data_max(PAGE));
	must(multifd_packet_encode(back, PAGE, p) == sizeof(back));
	must(multifd_packet_decode(back, sizeof(back), PAGE, &again, &f) ==
	     (ssize_t)sizeof(back));
	must(!memcmp(p, &again, sizeof(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct multifd_packet packet;
	struct input in = { data, size };
	struct return_path_message m;
	struct multifd_device device;
	struct multifd_init init;

	memset(&packet, 0, sizeof(packet));
	if (decode(&in, run_packet, &packet, 0) >= 0)
		check_packet(&packet);
	(void)decode(&in, run_init, &init, 0);
	(void)decode(&in, run_device, &device, 0);
	(void)decode(&in, run_message, &m, 0);
	return 0;
}
