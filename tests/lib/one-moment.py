#!/usr/bin/env python3
# one-moment.py IMAGE: the pages from 10 to 16 MiB of a guest with tick=1 all say
# how far it has counted; it writes them one after the other. Of one moment they
# say no more than two numbers, in order. Prints the last.
import json
import struct
import subprocess
import sys

# The image may be a descriptor.
told = subprocess.run(["mrinspect", "--json", sys.argv[1]], check=True,
                      close_fds=False, stdout=subprocess.PIPE).stdout
blocks = json.loads(told)["files"][0]["blocks"]
at = next(b["pages_offset"] for b in blocks if b["name"] == "pc.ram")
said = []
with open(sys.argv[1], "rb") as f:
    for page in range(10 << 20, 16 << 20, 4096):
        f.seek(at + page)
        said.append(struct.unpack("<Q", f.read(8))[0])
assert said == sorted(said, reverse=True), said
assert said[0] - said[-1] <= 1, said
print(said[0])
