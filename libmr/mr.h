/*
 * mr.h - libmr, whole: one header for each noun and verb, all public.
 *
 * No call here prints, exits or keeps global state. A call that can fail
 * returns 0 or -1 (or a pointer or NULL) and fills the struct mr_error that
 * the caller passed; start it as MR_ERROR_INIT. Strings that a call hands out
 * belong to the handle they came from unless the declaration says otherwise.
 *
 * Before version 1.0 any release may change any of it: the library is linked
 * in (libmr.a), and a program is built anew for another version.
 */
#ifndef LIBMR_MR_H
#define LIBMR_MR_H

#include "libmr/mr/error.h"
#include "libmr/mr/watch.h"
#include "libmr/mr/ram.h"
#include "libmr/mr/range.h"
#include "libmr/mr/vm.h"
#include "libmr/mr/image.h"
#include "libmr/mr/devices.h"
#include "libmr/mr/layout.h"
#include "libmr/mr/virtual.h"
#include "libmr/mr/maps.h"
#include "libmr/mr/save.h"
#include "libmr/mr/recv.h"
#include "libmr/mr/send.h"
#include "libmr/mr/convert.h"
#include "libmr/mr/packets.h"
#include "libmr/mr/capture.h"
#include "libmr/mr/load.h"
#include "libmr/mr/instant.h"
#include "libmr/mr/find.h"
#include "libmr/mr/log.h"
#include "libmr/mr/verify.h"
#include "libmr/mr/diff.h"
#include "libmr/mr/drawing.h"

#endif
