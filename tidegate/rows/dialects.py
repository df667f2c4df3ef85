"""Detection of a text file's encoding, and of the delimiter and the quotes of CSV."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tidegate.rows.row import UnreadableFile

# Characters of a line, or of a cell; a Kafka record holds a megabyte.
MAX_CHARACTERS = 4 * 2**20
DELIMITERS = {",": ",", ";": ";", "|": "|", "tab": "\t", "\t": "\t", "\\t": "\t"}
# Characters that, in a header of one column, are most likely its delimiter.
_OTHER_DELIMITERS = frozenset("^~:\x01\x1f\x1e§¦")
_SAMPLE_RECORDS = 50
_BLOCK = 2**20
# Byte order marks (Unicode 16, section 23.8); that of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATOR_LINE = "sep="  # the first line of files by Excel


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """The format of a CSV file. `skipped` is the number of lines before the header."""

    encoding: str
    delimiter: str = ","
    quote: str = '"'
    spaces: bool = False
    skipped: int = 0

    def records(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """The records of a CSV file, the header first, each with the number of its first line.

        Raises UnreadableFile.
        """
        with path.open(encoding=self.encoding, newline="") as file:
            yield from self.split(file, path)

    def split(self, file: io.TextIOBase, path: Path) -> Iterator[tuple[int, list[str]]]:
        """The records of an open file, each with the number of its first line. Raises UnreadableFile."""
        csv.field_size_limit(MAX_CHARACTERS)
        lines = islice(bounded_lines(file, path), self.skipped, None)
        reader = csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, skipinitialspace=self.spaces, strict=True)
        first = 1
        try:
            for cells in reader:
                if cells:
                    yield first + self.skipped, cells
                first = reader.line_num + 1
        except csv.Error as error:
            raise UnreadableFile(f"line {first + self.skipped} of {path} is not CSV: {error}", remedy="fix its quotes") from None


def bounded_lines(file: io.TextIOBase, path: Path) -> Iterator[str]:
    """The lines of a file. Raises UnreadableFile for a line that is longer than any event."""
    number = 0
    while line := file.readline(MAX_CHARACTERS + 1):
        number += 1
        if len(line) > MAX_CHARACTERS:
            raise UnreadableFile(f"line {number} of {path} has more than {MAX_CHARACTERS:,} characters; an event holds a quarter of that.")
        yield line


def encoding_of(path: Path, named: str | None) -> str:
    """The encoding: the named one, that of the byte order mark, or UTF-8; the whole file is decoded.

    Raises UnreadableFile.
    """
    with path.open("rb") as file:
        start = file.read(4)
    found = named or next((encoding for mark, encoding in _BYTE_ORDER_MARKS if start.startswith(mark)), "utf-8")
    try:
        decoder = codecs.getincrementaldecoder(found)()
        io.TextIOWrapper(io.BytesIO(), found)  # raises for codecs that are not text encodings
    except (LookupError, ValueError):
        raise UnreadableFile(f"unknown encoding {found!r}", remedy="name one such as utf-8, utf-16, latin-1 or windows-1252") from None
    _check_encoding(path, found, decoder, named)
    return found


def _check_encoding(path: Path, encoding: str, decoder: codecs.IncrementalDecoder, named: str | None) -> None:
    line, remedy = 1, "name the encoding by --encoding, such as windows-1252, or save the file as UTF-8"
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except ValueError as error:  # in most cases a UnicodeError
                line += block[: getattr(error, "start", 0)].count(b"\n")
                raise UnreadableFile(f"line {line} of {path} is not {encoding}", remedy=remedy) from None
            if "\0" in text:
                line += text[: text.index("\0")].count("\n")
                raise UnreadableFile(f"line {line} of {path} has a NUL character, like UTF-16 that is read as {encoding}", remedy=remedy)
            line += text.count("\n")
            if not block:
                return


def dialect_of(path: Path, encoding: str | None, delimiter: str | None) -> Dialect:
    """The dialect of a CSV file, by its first records. Raises UnreadableFile if it is ambiguous."""
    found = encoding_of(path, encoding)
    with path.open(encoding=found, newline="") as file:
        lines = list(islice(bounded_lines(file, path), 4 * _SAMPLE_RECORDS))
    first = lines[0].strip("\r\n\ufeff") if lines else ""
    skipped = int(first.lower().startswith(_SEPARATOR_LINE) and len(first) == len(_SEPARATOR_LINE) + 1)
    sample = "".join(lines[skipped:])
    if skipped and delimiter is None:
        delimiter = first[-1]
    if delimiter is not None:
        chosen = [Dialect(encoding=found, delimiter=_named(delimiter))]
    else:
        chosen = [Dialect(encoding=found, delimiter=character) for character in dict.fromkeys(DELIMITERS.values())]
    separated = _separated(chosen, sample, path, named=delimiter is not None)
    return _quoted(separated, sample, path, skipped)


def _named(delimiter: str) -> str:
    found = DELIMITERS.get(delimiter, delimiter)
    if len(found) != 1 or found in "\r\n\"'":
        raise UnreadableFile(f"{delimiter!r} is not a delimiter", remedy="name one character, or tab")
    return found


def _separated(dialects: Sequence[Dialect], sample: str, path: Path, *, named: bool) -> Dialect:
    """The dialect with the most columns in the header, preferably one in which all sample records have as many."""
    found = [(dialect, _records(dialect, sample, path)) for dialect in dialects]
    several = [(dialect, records) for dialect, records in found if records and len(records[0]) > 1]
    if not several:
        header = found[0][1][0] if found[0][1] else [""]
        if not named and _OTHER_DELIMITERS & set(header[0]):
            raise UnreadableFile(f"{path} has one column, {header[0][:60]!r}", remedy="if it has more, name their delimiter by --delimiter")
        return dialects[0]
    consistent = [(dialect, records) for dialect, records in several if len(set(map(len, records))) == 1] or several
    most = max(len(records[0]) for _, records in consistent)
    best = [dialect for dialect, records in consistent if len(records[0]) == most]
    if len(best) > 1:
        names = " or ".join(repr(dialect.delimiter) for dialect in best)
        raise UnreadableFile(f"the delimiter of {path} may be {names}", remedy="name one by --delimiter")
    return best[0]


def _records(dialect: Dialect, sample: str, path: Path) -> list[list[str]]:
    """The records of the sample, up to the first that cannot be read in this dialect."""
    found: list[list[str]] = []
    try:
        for _, cells in islice(dialect.split(io.StringIO(sample, newline=""), path), _SAMPLE_RECORDS):
            found.append(cells)
    except UnreadableFile:
        pass  # the records before it count
    return found


def _quoted(dialect: Dialect, sample: str, path: Path, skipped: int) -> Dialect:
    """The dialect with apostrophes as quotes, and with spaces after delimiters skipped, if the sample has them."""
    records = _records(dialect, sample, path)
    apostrophes = '"' not in sample and len(records) > 1 and all(any(map(_in_apostrophes, record)) for record in records[1:])
    spaces = any(len(record) > 1 for record in records) and all(cell.startswith(" ") for record in records[:1] for cell in record[1:])
    return Dialect(
        encoding=dialect.encoding,
        delimiter=dialect.delimiter,
        quote="'" if apostrophes else '"',
        spaces=spaces and dialect.delimiter != " ",
        skipped=skipped,
    )


def _in_apostrophes(cell: str) -> bool:
    cell = cell.strip(" ")
    return len(cell) > 1 and cell[0] == cell[-1] == "'"
