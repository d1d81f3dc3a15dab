/* printk.c - the messages of a Linux kernel, in its memory (printk.h). */
#include "formats/printk.h"

#include "formats/bytes.h"

/* Structures that are larger are not believed. */
#define STRUCT_MAX 4096u

/* A field of `bytes` bytes at key `at`, in one more field at key `in` or not,
 * of a structure whose size key `size` has. */
struct field {
	unsigned at, bytes, size;
};

/* Key i plus its bytes is within key size. */
static int check_field(const uint64_t *of, unsigned i, uint64_t bytes,
		       unsigned size, struct fault *f)
{
	if (of[size] > STRUCT_MAX)
		return fault_value(f, FAULT_BAD, size,
				   "a structure of the kernel is too large",
				   of[size]);
	if (of[i] > of[size] || bytes > of[size] - of[i])
		return fault_value(f, FAULT_BAD, i,
				   "a field of the kernel's is not within its "
				   "structure",
				   of[i]);
	return 0;
}

static int check_fields(const uint64_t *of, const struct field *fields,
			size_t n, struct fault *f)
{
	for (size_t i = 0; i < n; i++)
		if (check_field(of, fields[i].at, fields[i].bytes,
				fields[i].size, f))
			return -1;
	return 0;
}

/* ---- the ring ---- */

/* Bits of a state_var that are the id; above are two of the state. */
#define ID_MASK (UINT64_MAX >> 2)
enum { RESERVED, COMMITTED, FINALIZED, REUSABLE };

enum { BLOCK_ID = 8 }; /* bytes in front of a text */

const char *const printk_ring_keys[PRINTK_RING_KEYS] = {
	[PRINTK_RING_SIZE] = "SIZE(printk_ringbuffer)",
	[PRINTK_RING_DESC_RING] = "OFFSET(printk_ringbuffer.desc_ring)",
	[PRINTK_RING_DATA_RING] = "OFFSET(printk_ringbuffer.text_data_ring)",
	[PRINTK_DESC_RING_SIZE] = "SIZE(prb_desc_ring)",
	[PRINTK_DESC_RING_COUNT_BITS] = "OFFSET(prb_desc_ring.count_bits)",
	[PRINTK_DESC_RING_DESCS] = "OFFSET(prb_desc_ring.descs)",
	[PRINTK_DESC_RING_INFOS] = "OFFSET(prb_desc_ring.infos)",
	[PRINTK_DESC_RING_HEAD_ID] = "OFFSET(prb_desc_ring.head_id)",
	[PRINTK_DESC_RING_TAIL_ID] = "OFFSET(prb_desc_ring.tail_id)",
	[PRINTK_DESC_SIZE] = "SIZE(prb_desc)",
	[PRINTK_DESC_STATE_VAR] = "OFFSET(prb_desc.state_var)",
	[PRINTK_DESC_TEXT] = "OFFSET(prb_desc.text_blk_lpos)",
	[PRINTK_LPOS_SIZE] = "SIZE(prb_data_blk_lpos)",
	[PRINTK_LPOS_BEGIN] = "OFFSET(prb_data_blk_lpos.begin)",
	[PRINTK_LPOS_NEXT] = "OFFSET(prb_data_blk_lpos.next)",
	[PRINTK_INFO_SIZE] = "SIZE(printk_info)",
	[PRINTK_INFO_SEQ] = "OFFSET(printk_info.seq)",
	[PRINTK_INFO_TS_NSEC] = "OFFSET(printk_info.ts_nsec)",
	[PRINTK_INFO_TEXT_LEN] = "OFFSET(printk_info.text_len)",
	[PRINTK_DATA_RING_SIZE] = "SIZE(prb_data_ring)",
	[PRINTK_DATA_RING_SIZE_BITS] = "OFFSET(prb_data_ring.size_bits)",
	[PRINTK_DATA_RING_DATA] = "OFFSET(prb_data_ring.data)",
	[PRINTK_LONG_SIZE] = "SIZE(atomic_long_t)",
	[PRINTK_LONG_COUNTER] = "OFFSET(atomic_long_t.counter)",
};

int printk_ring_check(const struct printk_ring_shape *s, struct fault *f)
{
	static const struct field plain[] = {
		{ PRINTK_DESC_RING_COUNT_BITS, 4, PRINTK_DESC_RING_SIZE },
		{ PRINTK_DESC_RING_DESCS, 8, PRINTK_DESC_RING_SIZE },
		{ PRINTK_DESC_RING_INFOS, 8, PRINTK_DESC_RING_SIZE },
		{ PRINTK_LPOS_BEGIN, 8, PRINTK_LPOS_SIZE },
		{ PRINTK_LPOS_NEXT, 8, PRINTK_LPOS_SIZE },
		{ PRINTK_INFO_SEQ, 8, PRINTK_INFO_SIZE },
		{ PRINTK_INFO_TS_NSEC, 8, PRINTK_INFO_SIZE },
		{ PRINTK_INFO_TEXT_LEN, 2, PRINTK_INFO_SIZE },
		{ PRINTK_DATA_RING_SIZE_BITS, 4, PRINTK_DATA_RING_SIZE },
		{ PRINTK_DATA_RING_DATA, 8, PRINTK_DATA_RING_SIZE },
		{ PRINTK_LONG_COUNTER, 8, PRINTK_LONG_SIZE },
	};
	/* Structures in structures: by the keys of both sizes. */
	static const struct field nested[] = {
		{ PRINTK_RING_DESC_RING, PRINTK_DESC_RING_SIZE,
		  PRINTK_RING_SIZE },
		{ PRINTK_RING_DATA_RING, PRINTK_DATA_RING_SIZE,
		  PRINTK_RING_SIZE },
		{ PRINTK_DESC_RING_HEAD_ID, PRINTK_LONG_SIZE,
		  PRINTK_DESC_RING_SIZE },
		{ PRINTK_DESC_RING_TAIL_ID, PRINTK_LONG_SIZE,
		  PRINTK_DESC_RING_SIZE },
		{ PRINTK_DESC_STATE_VAR, PRINTK_LONG_SIZE, PRINTK_DESC_SIZE },
		{ PRINTK_DESC_TEXT, PRINTK_LPOS_SIZE, PRINTK_DESC_SIZE },
	};

	if (check_fields(s->of, plain, sizeof(plain) / sizeof(plain[0]), f))
		return -1;
	for (size_t i = 0; i < sizeof(nested) / sizeof(nested[0]); i++)
		if (check_field(s->of, nested[i].at, s->of[nested[i].bytes],
				nested[i].size, f))
			return -1;
	return 0;
}

ssize_t printk_ring_decode(const struct printk_ring_shape *s,
			   const uint8_t *buf, size_t len,
			   struct printk_ring *out, struct fault *f)
{
	const uint64_t *of = s->of;
	const uint8_t *descs = buf + of[PRINTK_RING_DESC_RING];
	const uint8_t *data = buf + of[PRINTK_RING_DATA_RING];
	uint32_t count_bits, size_bits;
	uint64_t each;

	if (len < of[PRINTK_RING_SIZE])
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside a printk_ringbuffer");
	count_bits = get_le32(descs + of[PRINTK_DESC_RING_COUNT_BITS]);
	size_bits = get_le32(data + of[PRINTK_DATA_RING_SIZE_BITS]);
	if (count_bits > 31 || size_bits > 31)
		return fault_value(f, FAULT_BAD, 0,
				   "the printk_ringbuffer is too large",
				   count_bits > 31 ? count_bits : size_bits);
	*out = (struct printk_ring){
		.records = UINT64_C(1) << count_bits,
		.size = UINT64_C(1) << size_bits,
		.descs = get_le64(descs + of[PRINTK_DESC_RING_DESCS]),
		.infos = get_le64(descs + of[PRINTK_DESC_RING_INFOS]),
		.data = get_le64(data + of[PRINTK_DATA_RING_DATA]),
		.head_id = get_le64(descs + of[PRINTK_DESC_RING_HEAD_ID] +
				    of[PRINTK_LONG_COUNTER]),
		.tail_id = get_le64(descs + of[PRINTK_DESC_RING_TAIL_ID] +
				    of[PRINTK_LONG_COUNTER]),
	};
	/* None of them is more than 2^44. */
	each = of[PRINTK_DESC_SIZE] + of[PRINTK_INFO_SIZE];
	if (out->records * each + out->size > PRINTK_MAX)
		return fault_value(f, FAULT_BAD, 0,
				   "the printk_ringbuffer is too large",
				   out->records * each + out->size);
	out->ids = ((out->head_id - out->tail_id) & ID_MASK) + 1;
	if (out->ids > out->records)
		return fault_value(f, FAULT_BAD, 0,
				   "the printk_ringbuffer's ids are further "
				   "apart than it has records",
				   out->ids);
	return (ssize_t)of[PRINTK_RING_SIZE];
}

/* The block from logical position begin to next, which all grow for ever: a
 * block that would go over the end lies at the start of the data. */
static bool find_block(uint64_t size, uint64_t begin, uint64_t next,
		       uint64_t *at, uint64_t *len)
{
	*at = begin % size;
	*len = next - begin;
	if (!*len || *len > size)
		return false;
	if (*at + *len <= size)
		return true;
	*at = 0;
	*len = next % size;
	return true;
}

bool printk_ring_record(const struct printk_ring_shape *s,
			const struct printk_ring *r,
			const struct printk_arrays *a, uint64_t i,
			struct printk_record *out)
{
	const uint64_t *of = s->of;
	uint64_t id = (r->tail_id + i) & ID_MASK, place = id % r->records;
	const uint8_t *d = a->descs + place * of[PRINTK_DESC_SIZE];
	const uint8_t *info = a->infos + place * of[PRINTK_INFO_SIZE];
	const uint8_t *lpos = d + of[PRINTK_DESC_TEXT];
	uint64_t state, begin, next, at, len;
	size_t wanted;

	state = get_le64(d + of[PRINTK_DESC_STATE_VAR] +
			 of[PRINTK_LONG_COUNTER]);
	if ((state & ID_MASK) != id ||
	    (state >> 62 != COMMITTED && state >> 62 != FINALIZED))
		return false;
	*out = (struct printk_record){
		.seq = get_le64(info + of[PRINTK_INFO_SEQ]),
		.ns = get_le64(info + of[PRINTK_INFO_TS_NSEC]),
		.text = a->data,
	};
	wanted = info[of[PRINTK_INFO_TEXT_LEN]] |
		 (size_t)info[of[PRINTK_INFO_TEXT_LEN] + 1] << 8;
	begin = get_le64(lpos + of[PRINTK_LPOS_BEGIN]);
	next = get_le64(lpos + of[PRINTK_LPOS_NEXT]);
	/* Odd ones are no places: 3 is an empty line, 1 one that was lost. */
	if (begin & 1 && next & 1)
		return begin == 3 && next == 3;
	if (!find_block(r->size, begin, next, &at, &len) || len < BLOCK_ID ||
	    get_le64(a->data + at) != id)
		return false;
	out->text = a->data + at + BLOCK_ID;
	len -= BLOCK_ID;
	out->len = wanted < len ? wanted : (size_t)len;
	return true;
}

/* ---- the log ---- */

const char *const printk_log_keys[PRINTK_LOG_KEYS] = {
	[PRINTK_LOG_SIZE] = "SIZE(printk_log)",
	[PRINTK_LOG_TS_NSEC] = "OFFSET(printk_log.ts_nsec)",
	[PRINTK_LOG_LEN] = "OFFSET(printk_log.len)",
	[PRINTK_LOG_TEXT_LEN] = "OFFSET(printk_log.text_len)",
};
const char *const printk_log_old_keys[PRINTK_LOG_KEYS] = {
	[PRINTK_LOG_SIZE] = "SIZE(log)",
	[PRINTK_LOG_TS_NSEC] = "OFFSET(log.ts_nsec)",
	[PRINTK_LOG_LEN] = "OFFSET(log.len)",
	[PRINTK_LOG_TEXT_LEN] = "OFFSET(log.text_len)",
};

int printk_log_check(const struct printk_log_shape *s, struct fault *f)
{
	static const struct field fields[] = {
		{ PRINTK_LOG_TS_NSEC, 8, PRINTK_LOG_SIZE },
		{ PRINTK_LOG_LEN, 2, PRINTK_LOG_SIZE },
		{ PRINTK_LOG_TEXT_LEN, 2, PRINTK_LOG_SIZE },
	};

	return check_fields(s->of, fields, sizeof(fields) / sizeof(fields[0]),
			    f);
}

static size_t get_le16(const uint8_t *p)
{
	return p[0] | (size_t)p[1] << 8;
}

/* The record at r->at: its bytes; 0: the next one is at the start. */
static ssize_t log_record(const struct printk_log_shape *s, const uint8_t *buf,
			  size_t len, uint64_t at, struct printk_record *out,
			  struct fault *f)
{
	const uint64_t *of = s->of;
	const uint8_t *p = buf + at;
	size_t bytes, text;

	if (at > len || len - at < of[PRINTK_LOG_SIZE])
		return fault_value(f, FAULT_BAD, len,
				   "a record is not within the log", at);
	bytes = get_le16(p + of[PRINTK_LOG_LEN]);
	text = get_le16(p + of[PRINTK_LOG_TEXT_LEN]);
	if (!bytes)
		return 0;
	if (bytes < of[PRINTK_LOG_SIZE] || bytes > len - at ||
	    text > bytes - of[PRINTK_LOG_SIZE])
		return fault_value(f, FAULT_BAD, (size_t)at,
				   "a record of the log is too long or too "
				   "short",
				   bytes);
	*out = (struct printk_record){
		.ns = get_le64(p + of[PRINTK_LOG_TS_NSEC]),
		.text = p + of[PRINTK_LOG_SIZE],
		.len = text,
	};
	return (ssize_t)bytes;
}

int printk_log_next(const struct printk_log_shape *s, const uint8_t *buf,
		    size_t len, struct printk_log_reader *r,
		    struct printk_record *out, struct fault *f)
{
	bool behind = r->at > r->next;
	ssize_t n;

	if (r->at == r->next)
		return 0;
	n = log_record(s, buf, len, r->at, out, f);
	if (!n && behind && !r->wrapped) {
		r->at = 0;
		r->wrapped = true;
		if (r->at == r->next)
			return 0;
		behind = false;
		n = log_record(s, buf, len, 0, out, f);
	}
	if (n < 0)
		return -1;
	/* Past the end, or round once more. */
	if (!n || (r->wrapped && behind) ||
	    (!behind && (uint64_t)n > r->next - r->at))
		return fault_value(f, FAULT_BAD, (size_t)r->at,
				   "the log goes on behind its end", r->next);
	r->at += (uint64_t)n;
	return 1;
}
