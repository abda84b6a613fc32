"""`billing import-usage` with good, damaged and unusual files."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.jobs import usage_csv
from billing_app.jobs.file_import import ImportSummary, import_usage, open_checked_file
from tests.billing.shop import Shop
from tests.cli.command import run_billing
from tests.refusals import refused

HEADER = "customer,idempotency_key,quantity,occurred_at\n"
Importer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def importer(shop: Shop, urls: Urls, tmp_path: Path) -> Importer:
    """Import these bytes as a file, with a customer `acme` since September 2025."""
    shop.customer("acme", "2025-09")
    file = tmp_path / "usage.csv"

    def run(content: bytes | str, *options: str, command: str = "import-usage") -> Any:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return run_billing(urls, command, str(file), *options)

    return run


def counts(done: subprocess.CompletedProcess[str]) -> tuple[int, ...]:
    facts = json.loads(done.stdout)
    return tuple(facts[name] for name in ("rows", "recorded", "duplicates", "conflicts", "rejected"))


def import_path(
    database: Database, path: Path, on_progress: Callable[[ImportSummary], None] = lambda summary: None
) -> ImportSummary:
    with open_checked_file(path) as file:
        return import_usage(database, SYSTEM, file, on_progress=on_progress)


BAD_ROWS = (
    ("missing,k1,1,2025-10-01T00:00:00Z", "customer_not_found", "customer does not exist"),
    ("acme,k2,-1,2025-10-01T00:00:00Z", "invalid", "quantity must be zero or more"),
    ("acme,k3,many,2025-10-01T00:00:00Z", "invalid", "quantity must be a decimal number"),
    ("acme,k4,1e400,2025-10-01T00:00:00Z", "invalid", "quantity must have at most 14 digits"),
    ("acme,k5,1,2025-08-31T23:59:59Z", "no_plan", "occurred_at must be on a day on which"),
    ("acme,k6,1,2199-01-01T00:00:00Z", "occurred_in_future", "occurred_at must not be more than 5"),
    ("acme,,1,2025-10-01T00:00:00Z", "invalid", "idempotency_key must be 1 to 255"),
    ("acme,first,2,2025-10-01T00:00:00Z", "idempotency_conflict", "idempotency_key was already used"),
    ("acme,k7,1", "invalid", "row must have 4 columns, but has 3"),
    ("acme,k8,1,2025-10-01T00:00:00Z,more", "invalid", "row must have 4 columns, but has 5"),
    ("acme,k9,1,yesterday", "invalid", "occurred_at must be an RFC 3339 timestamp"),
    ("acme,k10,1.0000001,2025-10-01T00:00:00Z", "invalid", "quantity must have at most 6 decimals"),
    ("acme,k11,,2025-10-01T00:00:00Z", "invalid", "quantity must be a decimal number"),
)


def test_rejected_rows_are_named_and_good_rows_recorded(
    importer: Importer, owner: psycopg.Connection
) -> None:
    lines = [
        "acme,first,1,2025-10-01T00:00:00Z",
        *(row for row, *_ in BAD_ROWS),
        "acme,last,1,2025-10-01T00:00:00Z",
    ]
    done = importer(HEADER + "\n".join(lines) + "\n", "--json")
    assert done.returncode == 1
    assert counts(done) == (len(lines), 2, 0, 1, len(BAD_ROWS) - 1)
    rejected = sorted(json.loads(done.stdout)["rejected_rows"], key=lambda each: each["line"])
    assert [each["line"] for each in rejected] == list(range(3, 3 + len(BAD_ROWS)))
    for each, (_, code, reason) in zip(rejected, BAD_ROWS, strict=True):
        assert each["code"] == code
        assert each["detail"].startswith(reason)
    keys = owner.execute("SELECT idempotency_key FROM usage_event ORDER BY 1").fetchall()
    assert keys == [("first",), ("last",)]


def test_summary_and_each_rejected_row_are_printed(importer: Importer) -> None:
    done = importer(HEADER + "acme,a,1,2025-10-01T00:00:00Z\nacme,b,-1,2025-10-01T00:00:00Z\n")
    assert done.returncode == 1
    assert done.stdout == "2 rows: 1 recorded, 0 duplicates, 0 conflicts, 1 rejected\n"
    assert done.stderr == "line 3: quantity must be zero or more. [invalid]\n"


def test_rejected_rows_are_written_to_a_file(importer: Importer, tmp_path: Path) -> None:
    kept = tmp_path / "rejected.csv"
    importer(HEADER + "acme,b,-1,2025-10-01T00:00:00Z\n", "--rejected", str(kept))
    assert kept.read_text("utf-8-sig").splitlines() == [
        "line,customer,idempotency_key,quantity,occurred_at,code,detail",
        "2,acme,b,'-1,2025-10-01T00:00:00Z,invalid,quantity must be zero or more.",
    ]


def test_row_that_is_not_utf8_is_rejected_alone(importer: Importer) -> None:
    body = HEADER.encode() + b"acme,caf\xe9,1,2025-10-01T00:00:00Z\nacme,caf\xc3\xa9,1,2025-10-01T00:00:00Z\n"
    done = importer(body, "--json")
    assert counts(done) == (2, 1, 0, 0, 1)
    assert json.loads(done.stdout)["rejected_rows"] == [
        {"line": 2, "code": "invalid", "detail": "idempotency_key must be UTF-8 text."}
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "file is empty"),
        (b"customer,quantity\nacme,1\n", "header is missing the columns idempotency_key, occurred_at"),
        (HEADER.strip().encode() + b",extra\n", "header has an unknown column: extra"),
        (b"\xff\xfe\x00\x00", "file is UTF-16 text"),
        (gzip.compress(HEADER.encode() * 2000, mtime=0)[:-20], "file is damaged after line "),
    ],
)
def test_file_that_is_not_usage_says_why(importer: Importer, content: bytes, reason: str) -> None:
    done = importer(content)
    assert done.returncode == 1
    assert done.stderr.startswith(f"billing: {reason}")
    assert "Traceback" not in done.stderr


def test_missing_file_is_named(importer: Importer, urls: Urls) -> None:
    done = run_billing(urls, "import-usage", "missing.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "billing: file can't be read: No such file or directory. [invalid]\n"


def test_header_alone_is_valid_and_columns_are_in_any_order(importer: Importer) -> None:
    assert counts(importer(HEADER, "--json")) == (0, 0, 0, 0, 0)
    shuffled = "occurred_at,quantity,customer,idempotency_key\r\n2025-10-01T00:00:00Z,1,acme,a\r\n\r\n"
    assert counts(importer("\ufeff" + shuffled, "--json")) == (1, 1, 0, 0, 0)
    assert counts(importer(gzip.compress(shuffled.encode(), mtime=0), "--json")) == (1, 0, 1, 0, 0)


def test_file_of_many_batches_has_one_audit_entry(
    database: Database, shop: Shop, tmp_path: Path, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_csv, "BATCH_MAX", 10)
    shop.customer("acme", start="2026-10")
    path = tmp_path / "november.csv"
    header = "customer,idempotency_key,quantity,occurred_at\n"
    path.write_text(header + "".join(f"acme,k{n},1,2026-11-01T00:00:00Z\n" for n in range(35)))

    def kill_after_two(summary: ImportSummary) -> None:
        if summary.recorded == 20:
            raise KeyboardInterrupt

    def entries() -> list[tuple[object, ...]]:
        return owner.execute(
            "SELECT action, details->>'file_name' FROM audit_entry WHERE subject = 'usage'"
        ).fetchall()

    with pytest.raises(KeyboardInterrupt):
        import_path(database, path, on_progress=kill_after_two)
    entry = ("usage.file_imported", "november.csv")
    assert entries() == [entry]
    assert import_path(database, path).recorded == 15
    assert entries() == [entry, entry]
    assert import_path(database, path).recorded == 0
    assert entries() == [entry, entry]


def test_acknowledged_event_survives_kill(shop: Shop, urls: Urls, owner: psycopg.Connection) -> None:
    shop.customer("acme", "2025-09")
    script = f"""
import os, signal
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.usage.recording import UsageReport, record_usage
database = Database({urls.application!r})
with database.transaction(SYSTEM) as session:
    record_usage(session, SYSTEM, UsageReport("acme", "a", 7, "2025-10-01T00:00:00Z"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert owner.execute("SELECT quantity FROM usage_event").fetchall() == [(7,)]


def overwrite(content: bytes, position: int) -> bytes:
    return content[:position] + bytes(4) + content[position + 4 :]


PACKED = gzip.compress(
    (HEADER + "".join(f"acme,k{n},{n},2025-10-01T00:00:00Z\n" for n in range(40_000))).encode(), mtime=0
)


@pytest.mark.parametrize(
    "content",
    [
        overwrite(PACKED, len(PACKED) // 2),
        overwrite(PACKED, len(PACKED) - 8),
        PACKED[:-100],
        PACKED + b"garbage",
    ],
    ids=["damaged in the middle", "wrong checksum", "truncated", "trailing garbage"],
)
def test_nothing_is_recorded_from_a_damaged_file(
    importer: Importer, owner: psycopg.Connection, tmp_path: Path, content: bytes
) -> None:
    kept = tmp_path / "rejected.csv"
    kept.write_text("from an earlier import")
    done = importer(content, "--rejected", str(kept))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("billing: file is damaged after line ")
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (0,)
    assert kept.read_text() == "from an earlier import"


def test_nothing_more_is_recorded_once_the_file_changes(
    database: Database, shop: Shop, tmp_path: Path, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_csv, "BATCH_MAX", 10)
    shop.customer("acme", start="2026-10")
    path = tmp_path / "growing.csv"
    path.write_text(HEADER + "".join(f"acme,k{n},1,2026-11-01T00:00:00Z\n" for n in range(35)))

    def append(summary: ImportSummary) -> None:
        with path.open("a") as file:
            file.write("acme,late,1,2026-11-01T00:00:00Z\n")

    with refused("invalid", field="file"):
        import_path(database, path, on_progress=append)
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (10,)


def test_stray_quote_rejects_its_row_and_no_other(
    importer: Importer, shop: Shop, owner: psycopg.Connection
) -> None:
    for key in ("beta", "gamma"):
        shop.customer(key, "2025-09")
    time = "2025-10-01T00:00:00Z"
    done = importer(f'{HEADER}acme,"k1,5,{time}\nbeta,k2,6,{time}\ngamma,"k3",7,{time}\n', "--json")
    assert (done.returncode, counts(done)) == (1, (3, 2, 0, 0, 1))
    [rejected] = json.loads(done.stdout)["rejected_rows"]
    assert rejected["line"] == 2
    found = owner.execute("SELECT idempotency_key, quantity FROM usage_event ORDER BY 1").fetchall()
    assert found == [("k2", 6), ("k3", 7)]


class TestFileOfRejectedRows:
    """If `--rejected` names the imported file, the command fails before it reads or writes anything."""

    CONTENT = HEADER + "acme,a,1,2025-10-01T00:00:00Z\nacme,b,-1,2025-10-01T00:00:00Z\n"

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        (tmp_path / "folder").mkdir()
        (tmp_path / "link.csv").symlink_to(tmp_path / "usage.csv")
        file = tmp_path / "usage.csv"
        file.write_text(self.CONTENT)
        (tmp_path / "hard-link.csv").hardlink_to(file)
        return file

    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            ("usage.csv", "must not name the file to import"),
            ("folder/../usage.csv", "must not name the file to import"),
            ("link.csv", "must not name the file to import"),
            ("hard-link.csv", "must not name the file to import"),
            ("folder", "is a directory"),
            ("missing/rejected.csv", "an existing directory"),
        ],
    )
    def test_wrong_file_is_refused_by_name(
        self, importer: Importer, owner: psycopg.Connection, file: Path, name: str, fault: str
    ) -> None:
        rejected = file.parent / name
        done = importer(self.CONTENT, "--rejected", str(rejected))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("billing: --rejected must")
        assert fault in done.stderr
        assert str(rejected) in done.stderr
        assert file.read_text() == self.CONTENT
        assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (0,)

    def test_written_rows_are_corrected_and_imported(
        self, importer: Importer, file: Path, tmp_path: Path
    ) -> None:
        kept = tmp_path / "rejected.csv"
        kept.write_text("from an earlier import")
        done = importer(HEADER + "acme,=1+1,-5,2025-10-01T00:00:00Z\n", "--rejected", str(kept))
        assert done.returncode == 1
        content = kept.read_bytes()
        assert content.startswith(b"\xef\xbb\xbfline,")
        assert b",'=1+1,'-5," in content
        assert counts(importer(content.replace(b"'-5", b"5"), "--json")) == (1, 1, 0, 0, 0)
        assert counts(importer(HEADER + "acme,'=1+1,5,2025-10-01T00:00:00Z\n", "--json")) == (1, 0, 1, 0, 0)
