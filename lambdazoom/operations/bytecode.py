"""Bytecode for the package, so that a cold start compiles nothing; what else is in the package is not looked at.

Lambda's disk is read-only: what one start compiles is lost to the next. Zappa packs the bytecode that pip left behind, but gives
every file the same date, so that Python takes it for stale. Ours is of the kind that is never compared with its source (PEP 552).
"""

import py_compile
import sys
from importlib.util import cache_from_source
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

DATE = (1980, 1, 1, 0, 0, 0)  # as Zappa dates all files


def add_bytecode(package: Path) -> int:
    """Compile every module in the zip at `package`, and put the bytecode in beside it; how many modules there are.

    A file that is not for this Python is left out: it would not be imported either.
    """
    with TemporaryDirectory() as scratch, ZipFile(package, "a", ZIP_DEFLATED) as archive:
        compiled = {name: _compiled(archive, name, Path(scratch)) for name in archive.namelist() if name.endswith(".py")}
        ready = {name: bytecode for name, bytecode in compiled.items() if bytecode}
        for name, bytecode in ready.items():
            entry = ZipInfo(cache_from_source(name, optimization=""), DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, bytecode, ZIP_DEFLATED)
        return len(ready)


def _compiled(archive: ZipFile, name: str, scratch: Path) -> bytes:
    source, target = scratch / "module.py", scratch / "module.pyc"
    source.write_bytes(archive.read(name))
    try:
        py_compile.compile(
            str(source), str(target), dfile=name, doraise=True, optimize=0, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    except py_compile.PyCompileError:
        return b""
    return target.read_bytes()


def is_of(python: str) -> bool:
    """Whether this Python makes the bytecode that the function's Python reads; `python` is such as "cpython-313"."""
    return sys.implementation.cache_tag == python
