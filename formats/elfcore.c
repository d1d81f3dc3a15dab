/* elfcore.c - a guest's memory as an ELF core (elfcore.h). */
#include "formats/elfcore.h"

#include <string.h>

#include "formats/bytes.h"

enum { CORE = 4, REGS = 112, NOTE_HEAD = 12 };

static void put_le16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static uint16_t get_le16(const uint8_t *p)
{
	return (uint16_t)((unsigned)p[1] << 8 | p[0]);
}

static const uint8_t ident[16] = { 0x7f, 'E', 'L', 'F', 2, 1, 1 };

size_t elfcore_header_encode(uint8_t *buf, const struct elfcore_header *h)
{
	memset(buf, 0, ELFCORE_HEADER_SIZE);
	memcpy(buf, ident, sizeof(ident));
	put_le16(buf + 16, CORE);
	put_le16(buf + 18, h->machine);
	put_le32(buf + 20, 1);
	put_le64(buf + 32, ELFCORE_HEADER_SIZE);
	put_le16(buf + 52, ELFCORE_HEADER_SIZE);
	put_le16(buf + 54, ELFCORE_PHDR_SIZE);
	put_le16(buf + 56, h->headers);
	return ELFCORE_HEADER_SIZE;
}

ssize_t elfcore_header_decode(const uint8_t *buf, size_t len,
			      struct elfcore_header *out, struct fault *f)
{
	if (len < ELFCORE_HEADER_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside the ELF header");
	if (memcmp(buf, ident, 7) != 0 || get_le16(buf + 16) != CORE)
		return fault_set(f, FAULT_BAD, 0,
				 "not a 64-bit little-endian ELF core");
	if (get_le64(buf + 32) != ELFCORE_HEADER_SIZE ||
	    get_le16(buf + 54) != ELFCORE_PHDR_SIZE)
		return fault_set(f, FAULT_UNSUPPORTED, 32,
				 "program headers are elsewhere");
	out->machine = get_le16(buf + 18);
	out->headers = get_le16(buf + 56);
	return ELFCORE_HEADER_SIZE;
}

size_t elfcore_phdr_encode(uint8_t *buf, const struct elfcore_phdr *p)
{
	memset(buf, 0, ELFCORE_PHDR_SIZE);
	put_le32(buf, p->type);
	put_le64(buf + 8, p->offset);
	put_le64(buf + 16, p->virtual);
	put_le64(buf + 24, p->physical);
	put_le64(buf + 32, p->length);
	put_le64(buf + 40, p->length);
	return ELFCORE_PHDR_SIZE;
}

ssize_t elfcore_phdr_decode(const uint8_t *buf, size_t len,
			    struct elfcore_phdr *out, struct fault *f)
{
	if (len < ELFCORE_PHDR_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside a program header");
	*out = (struct elfcore_phdr){
		.type = get_le32(buf),
		.offset = get_le64(buf + 8),
		.virtual = get_le64(buf + 16),
		.physical = get_le64(buf + 24),
		.length = get_le64(buf + 32),
	};
	if (get_le64(buf + 40) < out->length)
		return fault_value(f, FAULT_BAD, 40,
				   "less memory than there is in the file",
				   get_le64(buf + 40));
	if (out->length > UINT64_MAX - out->offset ||
	    out->length > UINT64_MAX - out->physical)
		return fault_value(f, FAULT_BAD, 32,
				   "a program header reaches beyond 64 bits",
				   out->length);
	return ELFCORE_PHDR_SIZE;
}

/* ---- notes ---- */

static size_t padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

size_t elfcore_note_size(const char *name, size_t len)
{
	return NOTE_HEAD + padded(strlen(name) + 1) + padded(len);
}

size_t elfcore_note_encode(uint8_t *buf, const char *name, uint32_t type,
			   const void *content, size_t len)
{
	size_t n = strlen(name) + 1, size = elfcore_note_size(name, len);

	memset(buf, 0, size);
	put_le32(buf, (uint32_t)n);
	put_le32(buf + 4, (uint32_t)len);
	put_le32(buf + 8, type);
	memcpy(buf + NOTE_HEAD, name, n);
	if (len)
		memcpy(buf + NOTE_HEAD + padded(n), content, len);
	return size;
}

ssize_t elfcore_note_decode(const uint8_t *buf, size_t len,
			    struct elfcore_note *out, struct fault *f)
{
	size_t name, content;

	if (len < NOTE_HEAD)
		return fault_set(f, FAULT_SHORT, len, "ends inside a note");
	name = get_le32(buf);
	content = get_le32(buf + 4);
	if (!name || name > ELFCORE_NOTE_NAME_MAX)
		return fault_value(f, FAULT_BAD, 0,
				   "a note's name has another length", name);
	if (len - NOTE_HEAD < padded(name) ||
	    content > len - NOTE_HEAD - padded(name) ||
	    padded(content) > len - NOTE_HEAD - padded(name))
		return fault_value(f, FAULT_SHORT, 4, "ends inside a note",
				   content);
	if (buf[NOTE_HEAD + name - 1])
		return fault_set(f, FAULT_BAD, NOTE_HEAD + name - 1,
				 "a note's name does not end");
	*out = (struct elfcore_note){ .type = get_le32(buf + 8),
				      .at = NOTE_HEAD + padded(name),
				      .len = content };
	memcpy(out->name, buf + NOTE_HEAD, name);
	return (ssize_t)(out->at + padded(content));
}

/* ---- CPUs ---- */

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 };

static uint8_t *put(uint8_t *p, uint64_t v)
{
	put_le64(p, v);
	return p + 8;
}

size_t elfcore_x86_prstatus_encode(uint8_t *buf,
				   const struct elfcore_x86_cpu *c,
				   uint32_t index)
{
	static const uint8_t late[] = { RAX, RCX, RDX, RSI, RDI };
	static const uint8_t segs[] = { ELFCORE_DS, ELFCORE_ES, ELFCORE_FS,
					ELFCORE_GS };
	uint8_t *p = buf + REGS;

	memset(buf, 0, ELFCORE_X86_PRSTATUS_SIZE);
	put_le32(buf + 32, index + 1);
	for (unsigned r = 15; r >= 12; r--)
		p = put(p, c->regs[r]);
	p = put(p, c->regs[RBP]);
	p = put(p, c->regs[RBX]);
	for (unsigned r = 11; r >= R8; r--)
		p = put(p, c->regs[r]);
	for (size_t i = 0; i < sizeof(late); i++)
		p = put(p, c->regs[late[i]]);
	p = put(p, 0); /* orig_rax */
	p = put(p, c->rip);
	p = put(p, c->segs[ELFCORE_CS].selector);
	p = put(p, c->rflags);
	p = put(p, c->regs[RSP]);
	p = put(p, c->segs[ELFCORE_SS].selector);
	p = put(p, c->segs[ELFCORE_FS].base);
	p = put(p, c->segs[ELFCORE_GS].base);
	for (size_t i = 0; i < sizeof(segs); i++)
		p = put(p, c->segs[segs[i]].selector);
	return ELFCORE_X86_PRSTATUS_SIZE;
}

size_t elfcore_arm_prstatus_encode(uint8_t *buf,
				   const struct elfcore_arm_cpu *c,
				   uint32_t index)
{
	uint8_t *p = buf + REGS;

	memset(buf, 0, ELFCORE_ARM_PRSTATUS_SIZE);
	put_le32(buf + 32, index + 1);
	for (size_t i = 0; i < ELFCORE_ARM_REGS; i++)
		p = put(p, c->regs[i]);
	p = put(p, c->sp);
	p = put(p, c->pc);
	(void)put(p, c->pstate);
	return ELFCORE_ARM_PRSTATUS_SIZE;
}

size_t elfcore_qemu_encode(uint8_t *buf, const struct elfcore_x86_cpu *c)
{
	static const uint8_t regs[] = {
		RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP
	};
	uint8_t *p = buf + 8;

	put_le32(buf, 1);
	put_le32(buf + 4, ELFCORE_QEMU_SIZE);
	for (size_t i = 0; i < sizeof(regs); i++)
		p = put(p, c->regs[regs[i]]);
	for (unsigned r = R8; r < ELFCORE_X86_REGS; r++)
		p = put(p, c->regs[r]);
	p = put(p, c->rip);
	p = put(p, c->rflags);
	for (size_t i = 0; i < ELFCORE_SEGS; i++, p += 24) {
		put_le32(p, c->segs[i].selector);
		put_le32(p + 4, c->segs[i].limit);
		put_le32(p + 8, c->segs[i].flags);
		put_le32(p + 12, 0);
		put_le64(p + 16, c->segs[i].base);
	}
	for (size_t i = 0; i < 5; i++)
		p = put(p, c->cr[i]);
	(void)put(p, c->kernel_gs_base);
	return ELFCORE_QEMU_SIZE;
}
