"""How a text file is written: its encoding, and of CSV what separates and quotes the cells. Recognised, or refused with a sentence."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tidegate.rows.row import UnreadableFile

# Characters of a line, or a cell: an event of Kafka's holds a megabyte.
LONGEST_TEXT = 4 * 2**20
DELIMITERS = {",": ",", ";": ";", "|": "|", "tab": "\t", "\t": "\t", "\\t": "\t"}
# A header of one column that has one of these was separated by it, most likely.
_OTHER_DELIMITERS = frozenset("^~:\x01\x1f\x1e§¦")
_SAMPLE_RECORDS = 50
_BLOCK = 2**20
# The marks of byte order (Unicode 16, section 23.8) that stand before a text; that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATOR_LINE = "sep="  # what Excel writes first, and reads


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """`skipped` are the lines before the header."""

    encoding: str
    delimiter: str = ","
    quote: str = '"'
    spaces: bool = False
    skipped: int = 0

    def records(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """The records of a CSV file, the header first, each with the number of its first line. Raises UnreadableFile."""
        with path.open(encoding=self.encoding, newline="") as file:
            yield from self.split(file, path)

    def split(self, file: io.TextIOBase, path: Path) -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(LONGEST_TEXT)
        lines = islice(bounded_lines(file, path), self.skipped, None)
        reader = csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, skipinitialspace=self.spaces, strict=True)
        first = 1
        try:
            for cells in reader:
                if cells:
                    yield first + self.skipped, cells
                first = reader.line_num + 1
        except csv.Error as error:
            raise UnreadableFile(f"line {first + self.skipped} of {path} is not CSV: {error}; correct its quotes.") from None


def bounded_lines(file: io.TextIOBase, path: Path) -> Iterator[str]:
    """The lines of a text. Raises UnreadableFile for one that is longer than any event."""
    number = 0
    while line := file.readline(LONGEST_TEXT + 1):
        number += 1
        if len(line) > LONGEST_TEXT:
            raise UnreadableFile(f"line {number} of {path} has more than {LONGEST_TEXT:,} characters; an event holds a quarter of that.")
        yield line


def encoding_of(path: Path, named: str | None) -> str:
    """The encoding: the named one, that of the mark of byte order, or UTF-8; the whole file is tried. Raises UnreadableFile."""
    with path.open("rb") as file:
        start = file.read(4)
    found = named or next((encoding for mark, encoding in _MARKS if start.startswith(mark)), "utf-8")
    try:
        decoder = codecs.getincrementaldecoder(found)()
        io.TextIOWrapper(io.BytesIO(), found)  # refuses codecs that are no encodings of text
    except (LookupError, ValueError):
        raise UnreadableFile(f"there is no encoding {found!r}; name one such as utf-8, utf-16, latin-1 or windows-1252.") from None
    _try(path, found, decoder, named)
    return found


def _try(path: Path, encoding: str, decoder: codecs.IncrementalDecoder, named: str | None) -> None:
    line, remedy = 1, "name the encoding by --encoding, such as windows-1252, or save the file as UTF-8"
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except ValueError as error:  # a UnicodeError, most of them
                line += block[: getattr(error, "start", 0)].count(b"\n")
                raise UnreadableFile(f"line {line} of {path} is not {encoding}; {remedy}.") from None
            if "\0" in text:
                line += text[: text.index("\0")].count("\n")
                raise UnreadableFile(f"line {line} of {path} has a NUL character, as UTF-16 has when it is read as {encoding}; {remedy}.")
            line += text.count("\n")
            if not block:
                return


def dialect_of(path: Path, encoding: str | None, delimiter: str | None) -> Dialect:
    """How a CSV file is written, by its first records. Raises UnreadableFile where that cannot be told."""
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
        raise UnreadableFile(f"{delimiter!r} is not a delimiter; name one character, or tab.")
    return found


def _separated(dialects: Sequence[Dialect], sample: str, path: Path, *, named: bool) -> Dialect:
    """The dialect that divides the header into the most columns, and all of the sample's records alike if there is one."""
    found = [(dialect, _records(dialect, sample, path)) for dialect in dialects]
    several = [(dialect, records) for dialect, records in found if records and len(records[0]) > 1]
    if not several:
        header = found[0][1][0] if found[0][1] else [""]
        if not named and _OTHER_DELIMITERS & set(header[0]):
            raise UnreadableFile(f"{path} has one column, {header[0][:60]!r}; if it has more, name what separates them by --delimiter.")
        return dialects[0]
    alike = [(dialect, records) for dialect, records in several if len(set(map(len, records))) == 1] or several
    most = max(len(records[0]) for _, records in alike)
    best = [dialect for dialect, records in alike if len(records[0]) == most]
    if len(best) > 1:
        names = " or ".join(repr(dialect.delimiter) for dialect in best)
        raise UnreadableFile(f"{names} may separate the columns of {path}; name one by --delimiter.")
    return best[0]


def _records(dialect: Dialect, sample: str, path: Path) -> list[list[str]]:
    """The sample's records, but for the last, which may be cut off; none if it cannot be read so."""
    found: list[list[str]] = []
    try:
        for _, cells in islice(dialect.split(io.StringIO(sample, newline=""), path), _SAMPLE_RECORDS):
            found.append(cells)
    except UnreadableFile:
        pass  # what comes before it counts
    return found


def _quoted(dialect: Dialect, sample: str, path: Path, skipped: int) -> Dialect:
    """With apostrophes for quotes, and without the spaces behind delimiters, where the sample has them."""
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
