/* devices.c - which description belongs to which device section. */
#include "libmr/devices/devices.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/image/image.h"

struct mr_devices {
	const struct mr_image *img;
	const struct vmdesc *desc; /* img's, or another image's */
	const struct vmdesc_device **sorted; /* desc's */
	size_t *given; /* how many of those equal to this one have a section */
	struct mr_error why; /* there is no description: because of this */
	size_t n;
	struct entry {
		const struct mr_section *section;
		const struct vmdesc_device *desc; /* NULL: not described */
	} * list;
};

/* What the caller gets, and what it points to. */
struct device {
	struct mr_device dev; /* first */
	uint8_t *payload;
};

/* Why an image has no description that can be used; OK if it has one. */
static struct mr_error why_not(const struct mr_image *img)
{
	struct mr_error why = img->desc_why;

	if (!img->desc.tokens)
		(void)error_set(&why, MR_UNSUPPORTED, MR_NO_OFFSET,
				"the image has no description");
	return why;
}

bool devices_are_virt(const struct mr_devices *d)
{
	return !strncmp(d->img->info.machine, "virt", 4);
}

static int compare(const char *name, uint32_t instance,
		   const struct vmdesc_device *d)
{
	int c = strcmp(name, d->name);

	return c ? c : (instance > d->instance) - (instance < d->instance);
}

/* Equal ones stay in their order. */
static int by_key(const void *pa, const void *pb)
{
	const struct vmdesc_device *a =
		*(const struct vmdesc_device *const *)pa;
	const struct vmdesc_device *b =
		*(const struct vmdesc_device *const *)pb;
	int c = compare(a->name, a->instance, b);

	return c ? c : (a > b) - (a < b);
}

/* Each description is for one section: of equals, one after the other. */
static const struct vmdesc_device *find(const struct mr_devices *d,
					const struct mr_section *s)
{
	const struct vmdesc_device *const *all = d->sorted;
	size_t low = 0, high = d->desc->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare(s->name, s->instance, all[mid]) > 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == d->desc->n || compare(s->name, s->instance, all[low]))
		return NULL;
	high = low + d->given[low]++;
	if (high >= d->desc->n || compare(s->name, s->instance, all[high]))
		return NULL;
	return all[high];
}

static int match(struct mr_devices *d, struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(d->img);
	size_t n = d->desc->n;

	d->list = calloc(info->n_sections + 1, sizeof(*d->list));
	d->given = calloc(n + 1, sizeof(*d->given));
	d->sorted = calloc(n + 1, sizeof(const void *));
	if (!d->list || !d->given || !d->sorted)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < n; i++)
		d->sorted[i] = &d->desc->devices[i];
	qsort(d->sorted, n, sizeof(const void *), by_key);
	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *s = &info->sections[i];

		if (s->type != MR_SECTION_FULL)
			continue;
		d->list[d->n].section = s;
		d->list[d->n++].desc = find(d, s);
	}
	return 0;
}

struct mr_devices *mr_devices_open(const struct mr_image *img,
				   const struct mr_image *from,
				   struct mr_error *err)
{
	struct mr_devices *d = calloc(1, sizeof(*d));

	if (!d) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	d->img = img;
	d->desc = from ? &from->desc : &img->desc;
	d->why = why_not(from ? from : img);
	if (!match(d, err))
		return d;
	mr_devices_free(d);
	return NULL;
}

void mr_devices_free(struct mr_devices *d)
{
	if (!d)
		return;
	free(d->list);
	free(d->given);
	free(d->sorted);
	free(d);
}

size_t mr_devices_count(const struct mr_devices *d)
{
	return d->n;
}

const struct mr_section *mr_devices_section(const struct mr_devices *d,
					    size_t i)
{
	return d->list[i].section;
}

static int read_payload(struct device *x, const struct mr_devices *d,
			struct mr_error *err)
{
	const struct mr_section *s = x->dev.section;

	x->dev.offset = s->offset + s->header;
	x->dev.size = s->payload;
	if (s->payload > DEVICE_PAYLOAD_LIMIT)
		return error_set(err, MR_UNSUPPORTED, x->dev.offset,
				 "section %.100s has %" PRIu64
				 " bytes: too many to be decoded",
				 s->name, s->payload);
	x->payload = malloc(s->payload ? (size_t)s->payload : 1);
	if (!x->payload)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	x->dev.bytes = x->payload;
	return io_read_full(d->img->io, x->payload, (size_t)s->payload,
			    x->dev.offset, err);
}

/* What goes wrong here is about the description, not about the caller. */
static void decode(struct mr_device *dev, const struct mr_devices *d,
		   const struct vmdesc_device *desc)
{
	bool borrowed = d->desc != &d->img->desc;

	if (desc)
		dev->decoded = !devices_decode(dev, d->desc->text, desc->token,
					       borrowed, &dev->why);
	else
		dev->why = d->why;
	if (!dev->decoded)
		(void)error_set(&dev->why, MR_UNSUPPORTED, MR_NO_OFFSET,
				"the description has no such device");
}

struct mr_device *mr_devices_read(const struct mr_devices *d, size_t i,
				  struct mr_error *err)
{
	struct device *x = calloc(1, sizeof(*x));

	if (!x) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	x->dev.section = d->list[i].section;
	x->dev.vmsd = "";
	x->dev.why = (struct mr_error)MR_ERROR_INIT;
	if (read_payload(x, d, err)) {
		mr_device_free(&x->dev);
		return NULL;
	}
	decode(&x->dev, d, d->list[i].desc);
	if (x->dev.why.code == MR_NOMEM) {
		*err = x->dev.why;
		mr_device_free(&x->dev);
		return NULL;
	}
	return &x->dev;
}

void mr_device_free(struct mr_device *dev)
{
	struct device *x = (struct device *)dev;

	if (!x)
		return;
	free(x->dev.fields);
	free(x->payload);
	free(x);
}

/* On one line; JSON would allow more. */
static int check_ascii(const char *text, size_t n, uint64_t offset,
		       struct mr_error *err)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] < ' ' || text[i] > '~')
			return error_set(
				err, MR_FORMAT, offset + i,
				"vmdescription: not one line of ASCII");
	return 0;
}

char *mr_image_description(const struct mr_image *img, struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(img);
	struct mr_error why = why_not(img);
	size_t n = (size_t)info->vmdesc_length;
	char *text;

	if (why.code != MR_OK) {
		*err = why;
		return NULL;
	}
	text = calloc(n + 1, 1);
	if (!text) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	if (!io_read_full(img->io, text, n, info->vmdesc_offset, err) &&
	    !check_ascii(text, n, info->vmdesc_offset, err))
		return text;
	free(text);
	return NULL;
}
