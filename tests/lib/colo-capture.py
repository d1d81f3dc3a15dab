"""colo-capture.py FOLDER CHANNELS CHECKPOINTS: a capture of a COLO primary.

Its first migration is FOLDER/main, made by `mkimage --plain`, with --flush if
there are channels. Checkpoint K comes K seconds later: page K of pc.ram and
page 40 are full of byte K, page 41 + K is zero. The index is written, and where
each checkpoint ends in main is told, a number a line.
"""
import json
import struct
import subprocess
import sys

folder, channels, checkpoints = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
main = open(folder + "/main", "rb").read()
info = json.loads(subprocess.run(
    ["mrinspect", "--json", folder + "/main"], check=True,
    stdout=subprocess.PIPE).stdout)["files"][0]
full = next(s["offset"] for s in info["sections"] if s["type"] == "full")
# sections, EOF, and behind that type and length of the description's text
state = main[full:main.index(b'\x06', main.index(b'\x7e', full) + 5)]
assert state[-1] == 0

FLUSH, EOS = struct.pack(">QQ", 0x200, 0x10), struct.pack(">Q", 0x10)
files = {0: bytearray(main)}
index = bytearray(b"\x8bmrcapt\n" + struct.pack(">II", 1, 0))
packets, last = 0, channels - 1


def note(connection, n, seconds):
    global index
    index += struct.pack(">HHIQ", 1, connection, n, int(seconds * 1e9))


def send(connection, data, seconds):
    files[connection] += data
    note(connection, len(data), seconds)


def word(page, flag, named, data):
    w = struct.pack(">Q", page << 12 | flag | (0 if named else 0x20))
    return w + (b"\x06pc.ram" if named else b"") + data


def packet(flags=0, normal=(), zero=(), data=b""):
    global packets
    offsets = [p << 12 for p in (*normal, *zero)]
    head = struct.pack(">IIIIIIQI28x256s", 0x11223344, 1, flags,
                       128 if offsets else 0, len(normal), len(data), packets,
                       len(zero), b"pc.ram" if offsets else b"")
    packets += 1
    return head + struct.pack(">128Q", *offsets, *[0] * (128 - len(offsets)))\
        + data


note(0, len(main), 0.5)
for c in range(channels):
    files[1 + c] = bytearray()
    send(1 + c, struct.pack(">II16xB39x", 0x11223344, 1, c), 0.5)
# the first one is at START's EOS, as no FLUSH has come then
for _ in range(info["flushes"] + 1):
    for c in range(channels):
        send(1 + c, packet(1), 0.5)
for k in range(1, checkpoints + 1):
    send(0, struct.pack(">I", 1), k)
    send(0, struct.pack(">I", 3), k + 0.25)
    section = b"\x03\0\0\0\2"
    if channels:
        for c in range(channels):
            normal = ([k] if c == 0 else []) + ([40] if c == last else [])
            zero = [41 + k] if c == last else []
            if normal:
                send(1 + c, packet(0, normal, zero,
                                   bytes([k]) * 4096 * len(normal)), k + 0.5)
            send(1 + c, packet(1), k + 0.5)
        section += FLUSH
    else:
        # from the second one on a page continues the one before's block
        section += word(k, 8, k == 1, bytes([k]) * 4096)
        section += word(40, 8, False, bytes([k]) * 4096)
        section += word(41 + k, 2, False, b"\0") + EOS
    section += b"\x7e\0\0\0\2\0"
    send(0, section, k + 0.5)
    send(0, struct.pack(">IQ", 4, len(state)), k + 0.75)
    send(0, state, k + 0.75)
    print(len(files[0]))
for n, data in files.items():
    name = "/main" if n == 0 else "/channel-%d" % (n - 1)
    open(folder + name, "wb").write(data)
open(folder + "/index", "wb").write(index)
