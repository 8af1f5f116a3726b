"""A program that answers as exiftool does under -stay_open: what it tells of a file is the MD5 sum of its bytes.

Run by the model tests alone, where exiftool's own time would be the most of all. A file that ends in "unreadable" is one
that it can't read.
"""

import hashlib
import json
import sys
from pathlib import Path


def answer(arguments: list[str]) -> str:
    if arguments[0] == "-ver":
        return "13.00\n"
    data = Path(arguments[-1]).read_bytes()
    tags: dict[str, object] = {"SourceFile": arguments[-1], "ExifTool:ExifToolVersion": {"val": "13.00"}}
    if data.endswith(b"unreadable"):
        tags["ExifTool:Error"] = {"val": "File format error"}
    else:
        tags["File:Sum"] = {"val": hashlib.md5(data).hexdigest()}
    return json.dumps([tags]) + "\n"


def main() -> None:
    arguments: list[str] = []
    for line in sys.stdin:
        word = line.rstrip("\n")
        if not word.startswith("-execute"):
            arguments.append(word)
            continue
        mark = arguments.index("-echo4")
        sys.stdout.write(answer(arguments[:mark]) + "{ready" + word.removeprefix("-execute") + "}\n")
        sys.stderr.write(arguments[mark + 1] + "\n")
        sys.stdout.flush()
        sys.stderr.flush()
        arguments = []


if __name__ == "__main__":
    main()
