"""Idempotency keys with control characters are rejected everywhere that events are recorded.

The API is covered in `tests/api`, and the page in `tests/e2e/test_usage_page.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.errors import Invalid
from billing_app.jobs.file_import import import_usage, open_checked_file
from billing_app.jobs.recorder import UsageRecorder
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage.recording import (
    BatchResult,
    UsageReport,
    dry_run_usage_batch,
    record_usage,
    record_usage_batch,
)
from billing_app.telemetry.metrics import Metrics
from tests.billing.shop import Shop
from tests.loops import in_a_loop

TIME = "2026-11-10T00:00:00Z"


def record_single(database: Database, actor: Actor, key: str, folder: Path) -> Reason | None:
    try:
        database.call(actor, record_usage, UsageReport("acme", key, 1, TIME))
    except Invalid as refusal:
        return Reason.of(refusal)
    return None


def record_in_a_round(database: Database, actor: Actor, key: str, folder: Path) -> Reason | None:
    try:
        in_a_loop(UsageRecorder(database, Metrics()).record(actor, UsageReport("acme", key, 1, TIME)))
    except Invalid as refusal:
        return Reason.of(refusal)
    return None


def record_in_a_batch(database: Database, actor: Actor, key: str, folder: Path) -> Reason | None:
    return only_reason(database.call(actor, record_usage_batch, [UsageReport("acme", key, 1, TIME)]))


def check_a_batch(database: Database, actor: Actor, key: str, folder: Path) -> Reason | None:
    return only_reason(database.call(actor, dry_run_usage_batch, [UsageReport("acme", key, 1, TIME)]))


def import_a_file(database: Database, actor: Actor, key: str, folder: Path) -> Reason | None:
    path = folder / "usage.csv"
    header = b"customer,idempotency_key,quantity,occurred_at\n"
    path.write_bytes(header + f'acme,"{key}",1,{TIME}\n'.encode())
    rejected: list[Reason] = []
    with open_checked_file(path) as file:
        import_usage(database, actor, file, on_rejected=lambda row: rejected.append(row.reason))
    return rejected[0] if rejected else None


def only_reason(outcome: BatchResult) -> Reason | None:
    return outcome.results[0].reason if outcome.results else None


Way = Callable[[Database, Actor, str, Path], Reason | None]
WAYS: list[Way] = [record_single, record_in_a_round, record_in_a_batch, check_a_batch, import_a_file]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_key_with_a_control_character_is_rejected_in_every_way_in(
    shop: Shop, owner: psycopg.Connection, tmp_path: Path, way: Way
) -> None:
    shop.customer("acme", "2026-10")
    expected = Reason("invalid", "idempotency_key", "control_characters")
    for key in ("a\tb", "a\x1bb", "a\x7fb", "a\x85b", "a\u2028b", "a\u2029", "\x01", "a\0b"):
        assert way(shop.database, shop.actor, key, tmp_path) == expected, repr(key)
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (0,)


@pytest.mark.parametrize("key", ["a\nb", "a\rb", "a\r\n", "\na"])
def test_key_with_a_line_break_is_rejected_in_every_way_in(
    shop: Shop, owner: psycopg.Connection, tmp_path: Path, key: str
) -> None:
    shop.customer("acme", "2026-10")
    reasons = [way(shop.database, shop.actor, key, tmp_path) for way in WAYS]
    # In a file, the row ends at the line break, so its quote is not closed.
    assert [reason.rule if reason else None for reason in reasons[:-1]] == ["control_characters"] * 4
    assert reasons[-1] is not None
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (0,)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_key_of_printable_characters_is_accepted_in_every_way_in(
    shop: Shop, tmp_path: Path, way: Way
) -> None:
    shop.customer("acme", "2026-10")
    for key in ("2026-10-31/meter-7 42", "Zähler/№ 7", "メーター"):
        assert way(shop.database, shop.actor, key, tmp_path) is None
