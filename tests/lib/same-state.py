"""Compares mrinspect --json --device all with the JSON of QEMU's own
analyze-migration.py for the same file: same-state.py OURS THEIRS

Says each difference; the last line counts what was compared. Theirs has
integers as hexadecimal digits and bytes with blanks between them; ours has
signed integers as numbers (mrinspect(1), JSON).
"""

import json
import struct
import sys

values = 0
wrong = []


def number(text):
    """A signed integer: "0xff (-1)", "0x0f", or the bytes "ff 0f"."""
    word = text.split(" (")[0]
    digits = word[2:] if word.startswith("0x") else word.replace(" ", "")
    return int.from_bytes(bytes.fromhex(digits), "big", signed=True)


def same_value(theirs, ours):
    if ours is None:
        return theirs == "nullptr"
    if isinstance(ours, bool):
        return theirs is ours
    if isinstance(ours, int):
        return number(theirs) == ours
    if isinstance(ours, float):
        return struct.unpack(">d", bytes.fromhex(theirs))[0] == ours
    if ours.startswith("0x"):
        return theirs.split(" (")[0] == ours
    return theirs.replace(" ", "") == ours


def compare(path, theirs, ours):
    global values
    if isinstance(ours, list) and len(ours) == 1 and not isinstance(theirs, list):
        ours = ours[0]  # they cannot tell an array of one
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if list(ours) != list(theirs):
            wrong.append(f"{path}: {list(theirs)} or {list(ours)}")
        for key in theirs:
            if key in ours:
                compare(f"{path}.{key}", theirs[key], ours[key])
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            wrong.append(f"{path}: {len(theirs)} or {len(ours)} elements")
        for i, (a, b) in enumerate(zip(theirs, ours)):
            compare(f"{path}[{i}]", a, b)
    elif isinstance(ours, (dict, list)) or isinstance(theirs, (dict, list)):
        wrong.append(f"{path}: of another shape")
    else:
        values += 1
        if not same_value(theirs, ours):
            wrong.append(f"{path}: {theirs} or {ours}")


def main():
    ours = json.load(open(sys.argv[1]))["files"][0]
    theirs = json.load(open(sys.argv[2]))
    state = {}
    for s in ours["sections"]:
        if s["type"] == "start" and s["name"] == "ram":
            state[f"ram ({s['id']})"] = {
                "section sizes": {
                    b["name"]: f"0x{b['length']:016x}" for b in ours["blocks"]
                }
            }
    for d in ours["devices"]:
        if "fields" not in d:
            wrong.append(f"{d['name']}: {d['why']}")
        else:
            state[f"{d['name']} ({d['id']})"] = d["fields"]
    compare("", {k: theirs[k] for k in sorted(theirs)}, {k: state[k] for k in sorted(state)})
    for w in wrong:
        print(w)
    print(f"{len(theirs)} sections, {values} values, {len(wrong)} differ")
    return 1 if wrong or not values else 0


sys.exit(main())
