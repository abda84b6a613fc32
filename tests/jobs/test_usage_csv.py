"""Reading the rows of usage files: strict quotes, invalid headers, and our own exports."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing_app.documents.csv_rows import BYTE_ORDER_MARK, encode_rows
from billing_app.domain.spreadsheets import FORMULA_STARTS, escape_cell, unescape_cell
from billing_app.errors import Invalid
from billing_app.jobs import usage_files
from billing_app.jobs.usage_csv import Batch, read_batches
from billing_app.jobs.usage_files import check_integrity
from billing_app.services.usage.recording import UnreadableReport, UsageReport
from billing_app.wording.refusals import refusal_sentence

HEADER = "customer,idempotency_key,quantity,occurred_at\n"
TIME = "2026-10-01T00:00:00Z"


def read(content: str | bytes) -> list[Batch]:
    data = content.encode() if isinstance(content, str) else content
    return list(read_batches(io.BufferedReader(io.BytesIO(data))))  # type: ignore[arg-type]


def outcomes(content: str | bytes) -> dict[int, str]:
    """Return, by line number, the idempotency key of each well-formed row, or the rule that a row breaks."""
    return {
        line: str(report.idempotency_key) if isinstance(report, UsageReport) else report.rule
        for batch in read(content)
        for line, report in zip(batch.lines, batch.reports, strict=True)
    }


def fault(content: bytes) -> tuple[str, str, str]:
    """Return the field, the rule and the sentence of the error for a file that can't be imported."""
    with pytest.raises(Invalid) as caught:
        read(content)
    with pytest.raises(Invalid) as checked:
        check_integrity(io.BufferedReader(io.BytesIO(content)))  # type: ignore[arg-type]
    assert checked.value.errors == caught.value.errors
    [error] = caught.value.errors
    return error.field, error.rule, refusal_sentence(caught.value)


class TestQuotes:
    def test_stray_quote_damages_only_its_own_row(self) -> None:
        rows = f'acme,"k1,5,{TIME}\nbeta,k2,6,{TIME}\ngamma,"k3",7,{TIME}\n'
        assert outcomes(HEADER + rows) == {2: "unclosed_quote", 3: "k2", 4: "k3"}

    def test_two_stray_quotes_do_not_join_the_rows_between_them(self) -> None:
        rows = f'acme,"k1,5,{TIME}\nbeta,k2,6,{TIME}\ngamma,k3",7,{TIME}\n'
        assert outcomes(HEADER + rows) == {2: "unclosed_quote", 3: "k2", 4: "stray_quote"}

    @pytest.mark.parametrize(
        ("row", "outcome"),
        [
            (f'acme,k"1,5,{TIME}', "stray_quote"),
            (f'acme, "k1",5,{TIME}', "stray_quote"),
            (f'acme,"k"1,5,{TIME}', "text_after_quote"),
            (f'acme,"k1" ,5,{TIME}', "text_after_quote"),
            (f'acme,"k1"",5,{TIME}', "unclosed_quote"),
            (f'acme,k1,5,"{TIME}', "unclosed_quote"),
            (f'acme,k1,5,{TIME}"', "stray_quote"),
            (f'acme,"k""1",5,{TIME}', 'k"1'),
            (f'acme,"k,1",5,{TIME}', "k,1"),
            (f'"acme","k1","5","{TIME}"', "k1"),
            (f'acme,"""",5,{TIME}', '"'),
        ],
    )
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
    def test_each_row_is_judged_by_itself(self, row: str, outcome: str, end: str) -> None:
        assert outcomes(f"{HEADER}{row}{end}") == {2: outcome}
        if end:
            assert outcomes(f"{HEADER}{row}{end}acme,last,1,{end}") == {2: outcome, 3: "last"}

    def test_line_break_in_a_quoted_key_is_rejected_on_both_lines(self) -> None:
        rows = f'acme,"k\n1",5,{TIME}\nacme,k2,6,{TIME}\n'
        assert outcomes(HEADER + rows) == {2: "unclosed_quote", 3: "stray_quote", 4: "k2"}

    def test_row_with_broken_quotes_is_kept_as_its_whole_text(self) -> None:
        [batch] = read(HEADER + f'acme,"k1,5,{TIME}\n')
        assert batch.cells == [[f'acme,"k1,5,{TIME}']]

    @given(
        st.lists(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")), min_size=4, max_size=4)
    )
    def test_every_row_that_csv_writes_is_read_back(self, cells: list[str]) -> None:
        [batch] = read((HEADER.encode()) + encode_rows([cells]))
        assert batch.cells == [cells]


class TestLongRows:
    @pytest.fixture(autouse=True)
    def short_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(usage_files, "ROW_CHARS_MAX", 1_000)
        monkeypatch.setattr(usage_files, "_PIECE", 700)

    @pytest.mark.parametrize("length", [1_001, 1_400, 1_701, 5_000])
    def test_row_that_is_too_long_is_rejected_by_its_line(self, length: int) -> None:
        content = f"{HEADER}acme,a,1,\r\n{'x' * length}\r\nacme,b,1,\r\n"
        assert outcomes(content) == {2: "a", 3: "row_too_long", 4: "b"}
        assert outcomes(gzip.compress(content.encode(), mtime=0)) == {2: "a", 3: "row_too_long", 4: "b"}
        assert read(content)[0].cells[1] == []

    def test_longest_row_is_read(self) -> None:
        key = "x" * (1_000 - len("acme,,1,"))
        assert outcomes(f"{HEADER}acme,{key},1,\nacme,b,1,\n") == {2: key, 3: "b"}

    def test_last_row_that_is_too_long_needs_no_line_end(self) -> None:
        assert outcomes(HEADER + "x" * 3_000) == {2: "row_too_long"}


@pytest.mark.parametrize(
    "header",
    [
        "Customer,IDEMPOTENCY_KEY, quantity ,occurred_at",
        "\ufeffcustomer,idempotency_key,quantity,occurred_at",
        '"customer","idempotency_key","quantity","occurred_at"',
        "customer,idempotency_key,quantity,occurred_at\r",
    ],
)
def test_header_is_compared_without_case_and_blanks(header: str) -> None:
    assert outcomes(f"{header}\nacme,a,1,\n") == {2: "a"}


def archive(*names: str) -> bytes:
    """Return a ZIP archive with files of these names."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as written:
        for name in names:
            written.writestr(zipfile.ZipInfo(name), HEADER)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "field", "rule", "words"),
    [
        (b"", "file", "no_header", "is empty"),
        (b"\n\n", "file", "no_header", "is empty"),
        (b"customer;idempotency_key;quantity;occurred_at\n", "file", "wrong_separator", "semicolons"),
        (b"customer\tidempotency_key\tquantity\toccurred_at\n", "file", "wrong_separator", "tabs"),
        (HEADER.encode("utf-16"), "file", "utf16", "UTF-16"),
        (HEADER.encode("utf-16-le"), "file", "utf16", "UTF-16"),
        (HEADER.encode("utf-16-be"), "file", "utf16", "UTF-16"),
        (archive("[Content_Types].xml", "xl/workbook.xml"), "file", "workbook", "Excel workbook"),
        (archive("docProps/app.xml", "xl/workbook.xml"), "file", "workbook", "Excel workbook"),
        (archive("mimetype", "content.xml"), "file", "workbook", "Excel workbook"),
        (gzip.compress(archive("_rels/.rels"), mtime=0), "file", "workbook", "Excel workbook"),
        (archive("usage.csv"), "file", "compressed", "is compressed with ZIP"),
        (b"sep=,\n" + HEADER.encode(), "file", "separator_line", "Remove that line"),
        (b'"sep=;"\r\n' + HEADER.encode(), "file", "separator_line", "Remove that line"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "file", "workbook", "Excel workbook"),
        (
            gzip.compress(gzip.compress(HEADER.encode(), mtime=0), mtime=0),
            "file",
            "compressed_twice",
            "twice",
        ),
        (bz2.compress(HEADER.encode()), "file", "compressed", "bzip2"),
        (lzma.compress(HEADER.encode()), "file", "compressed", "xz"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "file", "not_a_text_file", "not a text file"),
        (b"%PDF-1.7\n", "file", "not_a_text_file", "not a text file"),
        (bytes(range(1, 256)), "file", "not_a_text_file", "not a text file"),
        ("kunde,schlüssel\n".encode("latin-1"), "file", "not_utf8", "UTF-8"),
        (b"customer,quantity\n", "header", "missing_columns", "idempotency_key, occurred_at"),
        (b"acme,k1,5,2026-10-01T00:00:00Z\n", "header", "missing_columns", "customer"),
        (HEADER.strip().encode() + b",Quantity\n", "header", "repeated_columns", "quantity"),
        (HEADER.strip().encode() + b",unit\n", "header", "unknown_columns", "unit"),
        (HEADER.strip().encode() + b",\n", "header", "unnamed_column", "column 5"),
        (b'customer,"idempotency_key,quantity,occurred_at\n', "header", "unclosed_quote", "quote"),
        (b"c" * 1_000_001, "header", "row_too_long", "1,000,000"),
    ],
)
def test_file_that_is_not_usage_says_what_is_wrong(content: bytes, field: str, rule: str, words: str) -> None:
    found_field, found_rule, sentence = fault(content)
    assert (found_field, found_rule) == (field, rule)
    assert words in sentence


PACKED = gzip.compress(HEADER.encode() + b"".join(b"acme,key-%d,1,\n" % n for n in range(40_000)), mtime=0)


def overwrite(content: bytes, position: int) -> bytes:
    return content[:position] + bytes(4) + content[position + 4 :]


@pytest.mark.parametrize(
    "content",
    [
        overwrite(PACKED, len(PACKED) // 2),
        overwrite(PACKED, len(PACKED) - 8),
        overwrite(PACKED, len(PACKED) - 4),
        overwrite(PACKED, 4 + 8),
        PACKED[: len(PACKED) // 2],
        PACKED[:-1],
        PACKED[:12],
        PACKED + b"trailing garbage",
    ],
    ids=[
        "middle",
        "checksum",
        "length",
        "start",
        "half",
        "one byte short",
        "header only",
        "trailing garbage",
    ],
)
def test_damaged_gzip_file_fails_the_integrity_check(content: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        check_integrity(io.BufferedReader(io.BytesIO(content)))  # type: ignore[arg-type]
    assert caught.value.errors[0].rule == "damaged"


@pytest.mark.parametrize(
    "content", [PACKED, gzip.compress(HEADER.encode(), mtime=0) + gzip.compress(b"acme,a,1,\n", mtime=0)]
)
def test_intact_file_is_read_to_its_end_and_stays_open(content: bytes) -> None:
    raw = io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]
    check_integrity(raw)
    assert (raw.closed, raw.read()) == (False, b"")


KEYS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
LEADING = st.sampled_from(["", "'", "''", *FORMULA_STARTS[:4], "'=", "''-", '"', ",", " "])


@given(st.lists(st.builds(str.__add__, LEADING, KEYS), min_size=1, max_size=30))
@example(["-42", "=k", "'", "''", "'=x", "'a", "+1", "@a", '"', "a,b", "'-1", " =x"])
def test_every_key_that_is_exported_is_imported_unchanged(keys: Sequence[str]) -> None:
    columns = (
        "customer",
        "idempotency_key",
        "quantity",
        "occurred_at",
        "meter",
        "item",
        "recorded_at",
        "billing_period",
        "recorded_by",
    )
    rows = [("acme", key, "1", TIME, "usage", "", TIME, "2026-10", "usr_1") for key in keys]
    content = BYTE_ORDER_MARK + encode_rows([columns, *rows])
    reports = [report for batch in read(content) for report in batch.reports]
    assert reports == [("acme", key, "1", TIME, "usage", None) for key in keys]


@given(st.text())
def test_no_escaped_cell_starts_a_formula_and_each_is_restored(text: str) -> None:
    assert not escape_cell(text).startswith(FORMULA_STARTS)
    assert unescape_cell(escape_cell(text)) == text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("'a", "'a"),
        ("'", "'"),
        ("'5", "'5"),
        ("'=a", "=a"),
        ("'-5", "-5"),
        ("''a", "'a"),
        ("''", "'"),
        ("a'=b", "a'=b"),
    ],
)
def test_only_an_escaping_apostrophe_of_a_handwritten_file_is_dropped(cell: str, text: str) -> None:
    assert unescape_cell(cell) == text


def test_columns_of_our_own_exports_are_ignored_and_others_are_not() -> None:
    usage = "customer,idempotency_key,quantity,occurred_at,meter,item,recorded_at,billing_period,recorded_by"
    assert outcomes(f"{usage}\nacme,a,1,{TIME},usage,,{TIME},2026-10,usr_1\n") == {2: "a"}
    rejected_rows = "line,customer,idempotency_key,quantity,occurred_at,code,detail"
    assert outcomes(f"{rejected_rows}\n7,acme,a,1,{TIME},invalid,why\n") == {2: "a"}


def test_bytes_that_are_not_utf8_matter_only_in_the_columns_of_usage() -> None:
    header = "customer,idempotency_key,quantity,occurred_at,detail\n"
    rows = b"acme,caf\xe9,1,,\nacme,a,1,,caf\xe9\n"
    assert outcomes(header.encode() + rows) == {2: "not_utf8", 3: "a"}


def test_rows_are_numbered_by_their_line_whatever_is_between() -> None:
    assert outcomes(f"{HEADER}\n\nacme,a,1,\n\nacme,short\n") == {4: "a", 6: "wrong_width"}
    [batch] = read(f"{HEADER}acme,short\n")
    assert batch.reports == [UnreadableReport("row", "wrong_width", {"expected": 4, "found": 2})]
