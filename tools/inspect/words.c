/* words.c - what a file is, in words. */
#include "tools/inspect/show.h"

const char *show_kind(const struct mr_image_info *info)
{
	if (info->has_pack)
		return info->pack.increment ? "pack, an increment" : "pack";
	switch (info->kind) {
	case MR_IMAGE_FOREIGN:
		if (info->other)
			return info->other;
		return "neither a QEMU migration stream nor a libvirt save "
		       "image";
	case MR_IMAGE_MAPPED:
		return info->has_libvirt ? "libvirt save image, mapped-ram"
					 : "mapped-ram image";
	case MR_IMAGE_STREAM:
		return info->has_libvirt
			       ? "libvirt save image, plain migration stream"
			       : "plain migration stream";
	case MR_IMAGE_DEVICES:
		return "device state without memory";
	case MR_IMAGE_COMPRESSED:
		return info->compression ? "compressed file, no pack"
					 : "libvirt save image, compressed";
	}
	return "?";
}

const char *show_verdict(const struct mr_image_info *info,
			 enum mr_verdict verdict)
{
	switch (verdict) {
	case MR_VERDICT_SOUND:
		return info->kind == MR_IMAGE_COMPRESSED ? ", not looked into"
							 : ", complete";
	case MR_VERDICT_FOREIGN:
		return "";
	case MR_VERDICT_DAMAGED:
		return ", DAMAGED";
	case MR_VERDICT_UNKNOWN:
		return ", not understood to its end";
	case MR_VERDICT_INTERRUPTED:
		return ", of a save that was INTERRUPTED";
	case MR_VERDICT_BACKGROUND:
		return ", of a background-snapshot: BITMAPS EMPTY";
	case MR_VERDICT_BLANK:
		return ", BITMAPS EMPTY";
	}
	return "";
}

const char *show_advice(const struct mr_image_info *info,
			enum mr_verdict verdict)
{
	if (info->has_libvirt && info->libvirt.format &&
	    !info->libvirt.complete)
		return "libvirt had not finished this file";
	if (info->pack.alone[0] && verdict == MR_VERDICT_SOUND)
		return info->pack.alone;
	switch (verdict) {
	case MR_VERDICT_INTERRUPTED:
		return "pages were written, but no bitmap says which: it "
		       "cannot be loaded";
	case MR_VERDICT_BACKGROUND:
	case MR_VERDICT_BLANK:
		return "pages were written, but every bitmap is clear: QEMU "
		       "loads it without a word, to empty memory";
	case MR_VERDICT_SOUND:
	case MR_VERDICT_FOREIGN:
	case MR_VERDICT_DAMAGED:
		break;
	case MR_VERDICT_UNKNOWN:
		return "what follows was not looked at: this file may well be "
		       "sound";
	}
	return NULL;
}
