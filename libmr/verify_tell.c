/* verify_tell.c - what the parts of mr_verify tell the caller. */
#include "libmr/verify.h"

#include <stdarg.h>
#include <stdio.h>

void verify_tell(struct verify *v, struct mr_finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	if (f->damage) {
		v->r->damages++;
		v->seen[f->kind] = true;
	} else {
		v->r->notes++;
	}
	if (v->o->found)
		v->o->found(v->o->arg, f);
}

void verify_did(struct verify *v, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	v->r->changed = true;
	if (!v->o->did)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	v->o->did(v->o->arg, line);
}
