"""Files as numbered lines of text, whatever ends them; and what a file is that is no text."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from recommender.errors import SourceError
from recommender.messages import lookalikes

_CHUNK = 1 << 16
#: A line that is longer is none: the file has no lines, or is no text.
MAX_LINE = 1 << 20
#: How much of the beginning is examined where a file turns out not to be text.
_START = 4096

_ADVICE = {
    "gzip": "give it a name that ends in .gz",
    "a zip archive": "unpack it first",
    "text in UTF-16": "save it in UTF-8",
    "an Excel workbook (.xls)": "save it as CSV in UTF-8",
    "an Excel workbook (.xlsx)": "save it as CSV in UTF-8",
}


class Lines:
    """The lines of a file, numbered from 1, each with what ends it: LF, CR LF or, as on old Macs, CR.

    Parameters
    ----------
    path : Path
        What errors name.
    file : GzipFile or BufferedReader
        Read as far as lines are asked for.
    chunk : int
        How many bytes are read at once.
    """

    def __init__(self, path: Path, file: gzip.GzipFile | BufferedReader, chunk: int) -> None:
        self._path, self._file, self._chunk = path, file, chunk
        self._start = b""

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for number, raw in enumerate(self._pieces(), 1):
            # ASCII in UTF-16 is UTF-8 too, with a zero byte next to each character.
            if number == 1 and b"\x00" in raw and (kind := self.guessed_kind()):
                raise SourceError(f"{self._path} line 1: not UTF-8 text{kind}")
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"{self._path} line {number}: not UTF-8 text at byte {error.start}{self.guessed_kind()}"
                ) from None
            yield number, text.removeprefix("\ufeff") if number == 1 else text

    def guessed_kind(self) -> str:
        """A clause on what the file is instead of text; empty where that is not known."""
        what = lookalikes.of_file(self._start)
        return f": it looks like {what}; {_ADVICE.get(what, 'export it as CSV')}" if what else ""

    def _pieces(self) -> Iterator[bytes]:
        rest = b""
        number = 1
        while chunk := self._file.read1(self._chunk):
            if len(self._start) < _START:
                self._start += chunk[:_START]
            pieces = (rest + chunk).splitlines(keepends=True)
            # The last one may continue; a \r may be the first half of what ends it.
            rest = b"" if pieces[-1].endswith(b"\n") else pieces.pop()
            number += len(pieces)
            if len(rest) > MAX_LINE:
                raise SourceError(
                    f"{self._path} line {number} is longer than {MAX_LINE} bytes{self.guessed_kind()}"
                )
            yield from pieces
        if rest:
            yield rest


@contextmanager
def opened(path: Path, chunk: int = _CHUNK) -> Iterator[Lines]:
    """The lines of a file; one whose name ends in ``.gz`` is read through gzip.

    Raises
    ------
    SourceError
        The file cannot be read, while the context lasts.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield Lines(path, file, chunk)
    except EOFError:
        raise SourceError(f"{path} ends in the middle: the gzip file is incomplete") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{path} is not a sound gzip file: {error}") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from None
