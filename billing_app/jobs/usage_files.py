"""Read the lines of a usage file: plain or gzip CSV in UTF-8, with a header that names its columns.

Quoting is strict, and a quoted value ends on the line that it starts on. A stray quote therefore
damages only its own row and never joins it with the rows below.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import IO, NamedTuple, cast

from billing_app.domain.rules import BrokenRule
from billing_app.errors import Invalid
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage_imports.rows import COLUMNS, METERED_COLUMNS

# Our exports have these columns too. They are ignored, so that exports can be imported unchanged.
IGNORED_COLUMNS = ("recorded_at", "billing_period", "recorded_by", "line", "code", "detail")
ROW_CHARS_MAX = 1_000_000
_PIECE = 1_000_000
# Nearly every line is shorter. Together they limit how much of a file with huge lines is in memory.
_PIECE_OF_LINE = 4_096
_LINES_AT_A_TIME = 1_000
_NAMES_MAX, _NAME_CHARS_MAX = 5, 50

_GZIP_START = b"\x1f\x8b"
# The name of the first file in a ZIP archive tells a workbook (Excel, OpenDocument, Numbers) from other archives.
_WORKBOOK = rb"PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|docProps/|xl/|mimetype|Index/)|\xd0\xcf\x11\xe0"
_START_BYTES = 64
_FOREIGN_FORMATS = (
    (re.compile(_WORKBOOK, re.DOTALL), BrokenRule("workbook")),
    (re.compile(rb"PK\x03\x04"), BrokenRule("compressed", format="ZIP")),
    (re.compile(rb"%PDF-|\x89PNG|\xff\xd8\xff|GIF8"), BrokenRule("not_a_text_file")),
    (re.compile(rb"\xff\xfe|\xfe\xff|(?:[^\0]\0){4}|(?:\0[^\0]){4}", re.DOTALL), BrokenRule("utf16")),
    (re.compile(rb"\x1f\x8b"), BrokenRule("compressed_twice")),
    (re.compile(rb"BZh[1-9]1AY"), BrokenRule("compressed", format="bzip2")),
    (re.compile(rb"\xfd7zXZ"), BrokenRule("compressed", format="xz")),
    (re.compile(rb"\x28\xb5\x2f\xfd"), BrokenRule("compressed", format="Zstandard")),
)
# The exceptions that reading a damaged or truncated gzip file raises.
_DAMAGE = (OSError, EOFError, zlib.error)
_OTHER_SEPARATORS = (";", "\t", "|")
# Excel reads the separator from such a first line, and nothing else does.
_SEPARATOR_LINE = re.compile('"?sep=."?', re.IGNORECASE)
_CONTROL = re.compile("[\0-\x08\x0e-\x1f]")
_QUOTED = '"([^"]*+(?:""[^"]*+)*+)"'
_CELL = re.compile(rf'(?:{_QUOTED}|([^",]*))(,|\Z)')
_CLOSED_QUOTE = re.compile(_QUOTED)
_SURROGATE = re.compile("[\udc80-\udcff]")


class Layout(NamedTuple):
    """The columns of one kind of file. A file that has one of the optional ones counts as having all."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def widths(self) -> tuple[int, int]:
        """How many cells of a row are kept, without and with the optional columns."""
        return len(self.required), len(self.required) + len(self.optional)


USAGE = Layout(COLUMNS, METERED_COLUMNS[len(COLUMNS) :])
CORRECTIONS = Layout(CorrectionReport._fields)


class Header(NamedTuple):
    """The number of columns in a file, and the position of each column that its layout has.

    A column that the file lacks has the position after the last cell, where readers add an empty one.
    """

    width: int
    positions: tuple[int, ...]
    columns: tuple[str, ...]
    layout: Layout

    @property
    def lacks_column(self) -> bool:
        """Whether readers add an empty cell to each row."""
        return self.width in self.positions


class UsageText:
    """A usage file that is read line by line. `header` is its first line.

    Lines have no line break. Of a line with more than ROW_CHARS_MAX characters, only the beginning is
    kept, which still exceeds that length.
    """

    def __init__(self, text: IO[str], layout: Layout) -> None:
        self._text, self._line_number = text, 0
        # As an iterator that reads without interpreting any Python code.
        self._pieces = iter(partial(text.readline, _PIECE_OF_LINE), "")
        self._unfinished = ""
        self.header = _parse_header(next(self._read_lines(1), [None])[0], layout)

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the lines after the header, many at a time."""
        return self._read_lines(_LINES_AT_A_TIME)

    def skip_to_end(self) -> None:
        """Read the rest without parsing its rows. Raises Invalid if the file is damaged."""
        try:
            while piece := self._text.read(_PIECE):
                self._line_number += piece.count("\n")
        except _DAMAGE as error:
            raise _damaged(self._line_number) from error

    def _read_lines(self, pieces_max: int) -> Iterator[list[str]]:
        is_damaged_by = None
        while not is_damaged_by:
            pieces: list[str] = []
            try:
                pieces.extend(islice(self._pieces, pieces_max))
            except _DAMAGE as error:
                # The lines before the damage have been added nevertheless.
                is_damaged_by = error
            is_at_end = len(pieces) < pieces_max
            if lines := self._finish_lines(pieces, is_at_end=is_at_end and not is_damaged_by):
                self._line_number += len(lines)
                yield lines
            if is_at_end:
                break
        if is_damaged_by:
            raise _damaged(self._line_number) from is_damaged_by

    def _finish_lines(self, pieces: list[str], *, is_at_end: bool) -> list[str]:
        """Return the lines that these pieces complete."""
        text = "".join(pieces)
        if not self._unfinished and text.endswith("\n") and text.count("\n") == len(pieces):
            return text[:-1].split("\n")
        lines = []
        for piece in pieces:
            if len(self._unfinished) <= ROW_CHARS_MAX:
                self._unfinished += piece
            if piece.endswith("\n"):
                lines.append(self._unfinished.removesuffix("\n"))
                self._unfinished = ""
        if is_at_end and self._unfinished:
            lines.append(self._unfinished)
            self._unfinished = ""
        return lines


@contextmanager
def open_usage_text(raw: io.BufferedReader, layout: Layout = USAGE) -> Iterator[UsageText]:
    """Open a file for reading line by line. Closing it leaves `raw` open.

    Bytes that are not UTF-8 are read as surrogates, so that only their row is rejected.

    Raises:
        Invalid: (`file`, `header`) The file is not CSV with the right columns, or it is damaged.
    """
    text = io.TextIOWrapper(_unpack(raw), "utf-8-sig", errors="surrogateescape", newline=None)
    try:
        yield UsageText(text, layout)
    finally:
        # Otherwise the wrapper would close `raw` when it is garbage collected.
        text.detach()


def check_integrity(raw: io.BufferedReader, layout: Layout = USAGE) -> Header:
    """Read a file to its end, including checksums. Raises Invalid if it can't be imported as a whole."""
    with open_usage_text(raw, layout) as text:
        text.skip_to_end()
        return text.header


def is_too_long(line: str) -> bool:
    """Return whether a line that was read is too long to be a row."""
    return len(line) > ROW_CHARS_MAX


def split_row(line: str) -> list[str]:
    """Return the cells of a line. Raises BrokenRule if its quoting is not valid CSV."""
    if '"' not in line:
        return line.split(",")
    cells, position = [], 0
    while match := _CELL.match(line, position):
        quoted, plain, separator = match.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        position = match.end()
        if not separator:
            return cells
    if not line.startswith('"', position):
        raise BrokenRule("stray_quote")
    raise BrokenRule("text_after_quote" if _CLOSED_QUOTE.match(line, position) else "unclosed_quote")


def is_utf8(text: str) -> bool:
    """Return whether the bytes that `text` was read from are UTF-8."""
    return text.isascii() or not _SURROGATE.search(text)


def _damaged(line_number: int) -> Invalid:
    return Invalid("file", "damaged", line=line_number)


def _unpack(raw: io.BufferedReader) -> IO[bytes]:
    packed = raw.peek(2).startswith(_GZIP_START)
    data = cast(io.BufferedReader, gzip.GzipFile(fileobj=raw) if packed else raw)
    try:
        start = data.peek(_START_BYTES)
    except _DAMAGE as error:
        raise _damaged(0) from error
    for pattern, broken in _FOREIGN_FORMATS:
        if pattern.match(start):
            raise Invalid.from_rule("file", broken)
    return data


def _parse_header(line: str | None, layout: Layout) -> Header:
    if line is None or not line.strip():
        raise Invalid("file", "no_header", columns=layout.required)
    if _CONTROL.search(line):
        raise Invalid("file", "not_a_text_file")
    if not is_utf8(line):
        raise Invalid("file", "not_utf8")
    if is_too_long(line):
        raise Invalid("header", "row_too_long", at_most=ROW_CHARS_MAX)
    if _SEPARATOR_LINE.fullmatch(line):
        raise Invalid("file", "separator_line")
    for separator in _OTHER_SEPARATORS:
        if separator in line and "," not in line:
            raise Invalid("file", "wrong_separator", separator=separator)
    try:
        names = [name.strip().lower() for name in split_row(line)]
    except BrokenRule as broken:
        raise Invalid.from_rule("header", broken) from None
    _check_names(names, layout)
    columns = layout.required + (layout.optional if set(layout.optional) & set(names) else ())
    positions = (names.index(column) if column in names else len(names) for column in columns)
    return Header(len(names), tuple(positions), columns, layout)


def _check_names(names: list[str], layout: Layout) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1 and name]
    if repeated:
        raise Invalid("header", "repeated_columns", repeated=_shorten(repeated))
    missing = [column for column in layout.required if column not in names]
    if missing:
        raise Invalid("header", "missing_columns", missing=missing, columns=layout.required)
    if "" in names:
        raise Invalid("header", "unnamed_column", number=names.index("") + 1)
    known = (*layout.required, *layout.optional, *IGNORED_COLUMNS)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Invalid("header", "unknown_columns", unknown=_shorten(unknown), columns=layout.required)


def _shorten(names: list[str]) -> list[str]:
    return [name[:_NAME_CHARS_MAX] for name in names[:_NAMES_MAX]]
