/* drawing.c - mr_drawing_write: a small file through the gate of all. */
#include "libmr/base/error.h"
#include "libmr/file/output.h"

int mr_drawing_write(const char *path, const char *svg, size_t len,
		     struct mr_error *err)
{
	struct output o;

	if (output_create(&o, path, GATE_DRAWING, MR_DIRECT_OFF, err))
		return -1;
	if (!io_write_full(&o.file.io, svg, len, 0, err) &&
	    !output_publish(&o, err))
		return 0;
	output_discard(&o);
	return -1;
}
