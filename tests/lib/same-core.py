#!/usr/bin/env python3
# same-core.py OURS THEIRS: two ELF cores have the same notes and memory.
#
# Of THEIRS, QEMU's, memory of devices (above 3 GiB and below 4 GiB) may be
# missing, and floating-point registers are. Prints how much was compared; what
# differs is a failure.
import struct
import sys


def core(path):
    data = open(path, 'rb').read()
    at, = struct.unpack_from('<Q', data, 32)
    size, n = struct.unpack_from('<HH', data, 54)
    if n == 0xffff:
        sys.exit(path + ': too many headers')
    loads = []
    notes = []
    for i in range(n):
        kind, _, offset, _, gpa, length = struct.unpack_from(
            '<IIQQQQ', data, at + size * i)
        virtual, = struct.unpack_from('<Q', data, at + size * i + 16)
        if kind == 1 and virtual in (0, gpa):
            loads.append((gpa, offset, length))
        end = offset + length
        while kind == 4 and offset < end:
            name, content, which = struct.unpack_from('<III', data, offset)
            offset += 12
            text = data[offset:offset + name]
            offset += (name + 3) // 4 * 4
            notes.append((text.rstrip(b'\0').decode(), which,
                          data[offset:offset + content]))
            offset += (content + 3) // 4 * 4
    return data, loads, notes


def page(data, loads, gpa):
    for start, offset, length in loads:
        if start <= gpa < start + length:
            at = offset + gpa - start
            return data[at:at + 4096]
    return None


ours, our_loads, our_notes = core(sys.argv[1])
theirs, their_loads, their_notes = core(sys.argv[2])
known = [note for note in our_notes if note[0] != 'VMCOREINFO']
their_notes = [note for note in their_notes
               if note[0] != 'VMCOREINFO' and note[:2] != ('CORE', 2)]
if len(known) != len(their_notes):
    sys.exit('%d notes, %d of theirs' % (len(known), len(their_notes)))
for a, b in zip(known, their_notes):
    if a[:2] != b[:2] or len(a[2]) != len(b[2]):
        sys.exit('note %s: %s' % (a[:2], b[:2]))
    # aarch64: whether there are such registers comes last.
    for i in range(0, min(len(a[2]), 384 if len(a[2]) == 392 else 1 << 20), 4):
        if a[2][i:i + 4] != b[2][i:i + 4]:
            sys.exit('note %s differs at byte %d' % (a[0], i))
compared = 0
for start, _, length in their_loads:
    for gpa in range(start, start + length, 4096):
        a = page(ours, our_loads, gpa)
        # The window to the video memory, and that memory.
        if a is None and (0xa0000 <= gpa < 0xc0000 or
                          0xc0000000 <= gpa < 1 << 32):
            continue
        if a != page(theirs, their_loads, gpa):
            sys.exit('memory differs at 0x%x' % gpa)
        compared += 1
print('%d notes, %d pages' % (len(known), compared))
