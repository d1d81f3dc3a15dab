/* settings.c - what the common options said; a signal raises cli_cancel. */
#include "tools/common/cli.h"

struct cli cli = { .tool = "mrtools", .schema = 1, .progress_fd = -1 };

atomic_bool cli_cancel;
