/* capture.h - mrverify of a folder: a migration that was kept. */
#ifndef TOOLS_VERIFY_CAPTURE_H
#define TOOLS_VERIFY_CAPTURE_H

#include <stdbool.h>

/* Says what is wrong with it, as a line or a JSON object: an exit status. *stop
 * if the user wants no more. */
int verify_capture(const char *path, bool *stop);

#endif
