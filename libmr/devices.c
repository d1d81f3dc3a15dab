/* devices.c - which description belongs to which device section. */
#include "libmr/devices.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/error.h"
#include "libmr/image.h"
#include "libmr/vmdesc.h"

struct mr_devices {
	const struct mr_image *img;
	bool borrowed; /* the description is another image's */
	char *text; /* the description; NULL: there is none */
	size_t text_len;
	uint64_t text_offset; /* byte of its file */
	struct vmdesc desc; /* its devices, sorted */
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
	char *desc; /* the text that names are in */
};

/* A bad description is as none; only other trouble is a failure. */
static int read_desc(struct mr_devices *d, const struct mr_image *from,
		     struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(from);
	size_t len = (size_t)info->vmdesc_length;

	if (!info->has_vmdesc || info->vmdesc_length <= 2 ||
	    info->vmdesc_length > VMDESC_TEXT_LIMIT) {
		(void)mr_fail(&d->why, MR_UNSUPPORTED, MR_NO_OFFSET,
			      "the image has no description");
		return 0;
	}
	d->text = malloc(len);
	if (!d->text)
		return mr_fail(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	d->text_len = len;
	d->text_offset = info->vmdesc_offset;
	if (mr_io_read_full(from->io, d->text, len, d->text_offset, err))
		return -1;
	if (!vmdesc_read(&d->desc, d->text, len, d->text_offset, &d->why))
		return 0;
	vmdesc_release(&d->desc);
	if (d->why.code != MR_NOMEM)
		return 0;
	*err = d->why;
	return -1;
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
	const struct vmdesc_device *a = pa, *b = pb;
	int c = compare(a->name, a->instance, b);

	return c ? c : (a->text > b->text) - (a->text < b->text);
}

/* Each description is for one section: of equals, one after the other. */
static const struct vmdesc_device *find(const struct mr_devices *d,
					const struct mr_section *s)
{
	const struct vmdesc_device *all = d->desc.devices;
	size_t low = 0, high = d->desc.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare(s->name, s->instance, &all[mid]) > 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == d->desc.n || compare(s->name, s->instance, &all[low]))
		return NULL;
	high = low + d->given[low]++;
	if (high >= d->desc.n || compare(s->name, s->instance, &all[high]))
		return NULL;
	return &all[high];
}

static int match(struct mr_devices *d, struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(d->img);

	d->list = calloc(info->n_sections + 1, sizeof(*d->list));
	d->given = calloc(d->desc.n + 1, sizeof(*d->given));
	if (!d->list || !d->given)
		return mr_fail(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (d->desc.n)
		qsort(d->desc.devices, d->desc.n, sizeof(*d->desc.devices),
		      by_key);
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
		(void)mr_fail(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	d->img = img;
	d->borrowed = from && from != img;
	d->why = (struct mr_error)MR_ERROR_INIT;
	if (!read_desc(d, d->borrowed ? from : img, err) && !match(d, err))
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
	vmdesc_release(&d->desc);
	free(d->text);
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
		return mr_fail(err, MR_UNSUPPORTED, x->dev.offset,
			       "section %.100s has %" PRIu64
			       " bytes: too many to be decoded",
			       s->name, s->payload);
	x->payload = malloc(s->payload ? (size_t)s->payload : 1);
	if (!x->payload)
		return mr_fail(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	x->dev.bytes = x->payload;
	return mr_io_read_full(d->img->io, x->payload, (size_t)s->payload,
			       x->dev.offset, err);
}

/* What goes wrong here is about the description, not about the caller. */
static void decode(struct device *x, const struct mr_devices *d,
		   const struct vmdesc_device *desc)
{
	struct vmdesc_tokens t = { 0 };
	size_t used = 0;

	if (!desc) {
		x->dev.why = d->why;
		(void)mr_fail(&x->dev.why, MR_UNSUPPORTED, MR_NO_OFFSET,
			      "the description has no such device");
		return;
	}
	x->desc = malloc(desc->text_len + 1);
	if (!x->desc) {
		(void)mr_fail(&x->dev.why, MR_NOMEM, MR_NO_OFFSET,
			      "out of memory");
		return;
	}
	memcpy(x->desc, d->text + desc->text, desc->text_len);
	if (!vmdesc_cut(&t, x->desc, desc->text_len,
			d->text_offset + desc->text, &used, &x->dev.why) &&
	    !devices_decode(&x->dev, x->desc, t.list, t.n, d->borrowed,
			    &x->dev.why))
		x->dev.decoded = true;
	vmdesc_tokens_release(&t);
}

struct mr_device *mr_devices_read(const struct mr_devices *d, size_t i,
				  struct mr_error *err)
{
	struct device *x = calloc(1, sizeof(*x));

	if (!x) {
		(void)mr_fail(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	x->dev.section = d->list[i].section;
	x->dev.vmsd = "";
	x->dev.why = (struct mr_error)MR_ERROR_INIT;
	if (read_payload(x, d, err)) {
		mr_device_free(&x->dev);
		return NULL;
	}
	decode(x, d, d->list[i].desc);
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
	free(x->desc);
	free(x->payload);
	free(x);
}

/* On one line; JSON would allow more. */
static char *copy_ascii(const struct mr_devices *d, size_t len,
			struct mr_error *err)
{
	char *text = strndup(d->text, len);
	size_t i = 0;

	if (!text) {
		(void)mr_fail(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	while (text[i] >= ' ' && text[i] < 0x7f)
		i++;
	if (i == len)
		return text;
	(void)mr_fail(err, MR_FORMAT, d->text_offset + i,
		      "vmdescription: not one line of ASCII");
	free(text);
	return NULL;
}

char *mr_image_description(const struct mr_image *img, struct mr_error *err)
{
	struct mr_devices d = { .why = MR_ERROR_INIT };
	char *text = NULL;

	if (!read_desc(&d, img, err)) {
		if (d.why.code != MR_OK)
			*err = d.why;
		else
			text = copy_ascii(&d, d.text_len, err);
	}
	vmdesc_release(&d.desc);
	free(d.text);
	return text;
}
