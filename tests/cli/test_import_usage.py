"""`billing import-usage` on files as people have them."""

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
from billing_app.jobs.file_import import ImportSummary, import_usage
from tests.billing.shop import Shop
from tests.cli.command import run_billing

HEADER = "customer,idempotency_key,quantity,occurred_at\n"
Importer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def importer(shop: Shop, urls: Urls, tmp_path: Path) -> Importer:
    """Imports these bytes as a file, for a customer `acme` that began in September 2025."""
    shop.customer("acme", "2025-09")
    file = tmp_path / "usage.csv"

    def run(content: bytes | str, *options: str, command: str = "import-usage") -> Any:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return run_billing(urls, command, str(file), *options)

    return run


def counts(done: subprocess.CompletedProcess[str]) -> tuple[int, ...]:
    facts = json.loads(done.stdout)
    return tuple(facts[name] for name in ("rows", "recorded", "duplicates", "conflicts", "rejected"))


BAD_ROWS = (
    ("nobody,k1,1,2025-10-01T00:00:00Z", "customer_not_found", "customer: there is no such customer"),
    ("acme,k2,-1,2025-10-01T00:00:00Z", "invalid", "quantity: must be zero or more"),
    ("acme,k3,many,2025-10-01T00:00:00Z", "invalid", "quantity: must be a decimal number"),
    ("acme,k4,1e400,2025-10-01T00:00:00Z", "invalid", "quantity: must have at most 14 digits"),
    ("acme,k5,1,2025-08-31T23:59:59Z", "no_plan", "occurred_at: must be in a month in which"),
    ("acme,k6,1,2199-01-01T00:00:00Z", "occurred_in_future", "occurred_at: must not be more than 5"),
    ("acme,,1,2025-10-01T00:00:00Z", "invalid", "idempotency_key: must be text of 1 to 255"),
    ("acme,first,2,2025-10-01T00:00:00Z", "idempotency_conflict", "idempotency_key: was used before"),
    ("acme,k7,1", "invalid", "row: must have 4 columns, has 3"),
    ("acme,k8,1,2025-10-01T00:00:00Z,more", "invalid", "row: must have 4 columns, has 5"),
    ("acme,k9,1,yesterday", "invalid", "occurred_at: must be an RFC 3339 timestamp"),
    ("acme,k10,1.0000001,2025-10-01T00:00:00Z", "invalid", "quantity: must have at most 6 decimals"),
    ("acme,k11,,2025-10-01T00:00:00Z", "invalid", "quantity: must be a decimal number"),
)


def test_bad_rows_are_named_and_good_rows_recorded(importer: Importer, owner: psycopg.Connection) -> None:
    lines = [
        "acme,first,1,2025-10-01T00:00:00Z",
        *(row for row, *_ in BAD_ROWS),
        "acme,last,1,2025-10-01T00:00:00Z",
    ]
    done = importer(HEADER + "\n".join(lines) + "\n", "--json")
    assert done.returncode == 1
    assert counts(done) == (len(lines), 2, 0, 1, len(BAD_ROWS) - 1)
    refused = sorted(json.loads(done.stdout)["refused"], key=lambda each: each["line"])
    assert [each["line"] for each in refused] == list(range(3, 3 + len(BAD_ROWS)))
    for each, (_, code, reason) in zip(refused, BAD_ROWS, strict=True):
        assert each["code"] == code
        assert each["detail"].startswith(reason)
    keys = owner.execute("SELECT idempotency_key FROM usage_event ORDER BY 1").fetchall()
    assert keys == [("first",), ("last",)]


def test_for_people_the_summary_and_each_line_are_printed(importer: Importer) -> None:
    done = importer(HEADER + "acme,a,1,2025-10-01T00:00:00Z\nacme,b,-1,2025-10-01T00:00:00Z\n")
    assert done.returncode == 1
    assert done.stdout == "2 rows: 1 recorded, 0 duplicates, 0 conflicts, 1 rejected\n"
    assert done.stderr == "line 3: quantity: must be zero or more [invalid]\n"


def test_the_refused_rows_can_be_kept_in_a_file(importer: Importer, tmp_path: Path) -> None:
    kept = tmp_path / "refused.csv"
    importer(HEADER + "acme,b,-1,2025-10-01T00:00:00Z\n", "--refused", str(kept))
    assert kept.read_text().splitlines() == [
        "line,customer,idempotency_key,quantity,occurred_at,code,reason",
        "2,acme,b,-1,2025-10-01T00:00:00Z,invalid,quantity: must be zero or more",
    ]


def test_one_row_that_is_not_utf8(importer: Importer) -> None:
    body = HEADER.encode() + b"acme,caf\xe9,1,2025-10-01T00:00:00Z\nacme,caf\xc3\xa9,1,2025-10-01T00:00:00Z\n"
    done = importer(body, "--json")
    assert counts(done) == (2, 1, 0, 0, 1)
    assert json.loads(done.stdout)["refused"] == [
        {"line": 2, "code": "invalid", "detail": "idempotency_key: must be UTF-8"}
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "file: is empty"),
        (b"customer,quantity\nacme,1\n", "file: must have exactly the columns"),
        (HEADER.strip().encode() + b",extra\n", "file: must have exactly the columns"),
        (b"\xff\xfe\x00\x00", "file: must have exactly the columns"),
        (gzip.compress(HEADER.encode() * 2000)[:-20], "file: "),
    ],
)
def test_a_file_that_is_no_usage_at_all(importer: Importer, content: bytes, reason: str) -> None:
    done = importer(content)
    assert done.returncode == 1
    assert done.stderr.startswith(f"billing: {reason}")
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there(importer: Importer, urls: Urls) -> None:
    done = run_billing(urls, "import-usage", "missing.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "billing: file: can't be read: No such file or directory [invalid]\n"


def test_a_header_alone_is_fine_and_columns_come_in_any_order(importer: Importer) -> None:
    assert counts(importer(HEADER, "--json")) == (0, 0, 0, 0, 0)
    shuffled = "occurred_at,quantity,customer,idempotency_key\r\n2025-10-01T00:00:00Z,1,acme,a\r\n\r\n"
    assert counts(importer("\ufeff" + shuffled, "--json")) == (1, 1, 0, 0, 0)
    assert counts(importer(gzip.compress(shuffled.encode()), "--json")) == (1, 0, 1, 0, 0)


def test_a_file_of_many_batches_has_one_entry_in_the_audit_log(
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
        import_usage(database, SYSTEM, path, on_progress=kill_after_two)
    told = ("usage.file_imported", "november.csv")
    assert entries() == [told]
    assert import_usage(database, SYSTEM, path).recorded == 15
    assert entries() == [told, told]
    assert import_usage(database, SYSTEM, path).recorded == 0
    assert entries() == [told, told]


def test_acknowledged_and_then_killed_is_there(shop: Shop, urls: Urls, owner: psycopg.Connection) -> None:
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
    settings = dict(owner.execute("SELECT name, setting FROM pg_settings").fetchall())
    assert (settings["fsync"], settings["full_page_writes"]) == ("on", "on")
