"""Regular files of a bounded size: what readers of foreign data open, so that no pipe hangs them and no size fills
the memory."""

import errno
import gzip
import os
import stat
from io import BufferedReader
from pathlib import Path

LARGEST_TEXT = 64 * 2**20
"""Bytes of the largest list, table or manifest that is read; the longest published list has 3 MB."""


def open_regular(path: str | Path, *, limit: int) -> BufferedReader:
    """Open a file for reading, links followed.

    Raises `OSError` naming the file if it is not there, is a folder, pipe or device, or holds more than `limit` bytes.
    """
    # without O_NONBLOCK, opening a pipe that nobody writes to waits for ever
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file but a folder, pipe or device", str(path))
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"{status.st_size} bytes, more than the {limit} that are read", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | Path, *, limit: int = LARGEST_TEXT) -> bytes:
    """The content of a file. Raises `OSError` as `open_regular` does."""
    with open_regular(path, limit=limit) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # no more: reading allocates what it is asked for


def read_gzip(path: str | Path, *, limit: int = LARGEST_TEXT) -> bytes:
    """The decompressed content of a gzip file; at most `limit` bytes of it are ever held in memory.

    Raises `OSError` as `open_regular` does and for more content than `limit`, and `OSError`, `EOFError` or `zlib.error`
    for a damaged file.
    """
    with open_regular(path, limit=limit) as file, gzip.GzipFile(fileobj=file) as packed:
        content = packed.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"more than the {limit} bytes that are read, once decompressed", str(path))
    return content


def printable(text: str) -> str:
    """A name or message as a terminal and a text file can hold it: line ends stay, and other control characters, such
    as ESC, and bytes of file names that are no text become escapes such as \\x1b and \\udcff."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
