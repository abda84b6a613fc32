"""The soak itself: a short one finds nothing wrong, and its checks find what is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.usage import recording
from soak.checks import Found, check
from soak.ledger import Event, Ledger, Payment
from tests.factories import make_customer

ROOT = Path(__file__).parents[2]
FAULTS = "kill-server,kill-database,cut-database"


def test_short_soak_finds_nothing_wrong() -> None:
    command = [sys.executable, "-m", "soak", "--rounds=3", "--seconds=4", "--seed=7", f"--faults={FAULTS}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("3 rounds in ")
    assert " 0 lost, 0 duplicated; " in last
    assert last.endswith(" 0 discrepancies; 0 problems")


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Ledger:
    """Return the books of a sender that was answered for the events `a`, `b-1` and `b-2`."""
    make_customer(database, key="acme")
    made = Ledger(tmp_path / "acknowledged.txt")
    events = [Event("acme", "a", "1.50"), Event("acme", "b-1", "2", "b"), Event("acme", "b-2", "3", "b")]
    made.send(events)
    made.acknowledge(events)
    return made


def record(database: Database, **quantities: str) -> None:
    for key, quantity in quantities.items():
        report = recording.UsageReport("acme", key.replace("_", "-"), quantity)
        with database.transaction(SYSTEM) as session:
            recording.record_usage(session, SYSTEM, report)


def test_check_accepts_what_was_acknowledged(
    ledger: Ledger, database: Database, owner: psycopg.Connection
) -> None:
    record(database, a="1.5", b_1="2", b_2="3")
    assert check(ledger, owner) == Found(acknowledged=3)
    assert ledger.path.read_text().splitlines() == [
        "event\tacme\ta\t1.50", "event\tacme\tb-1\t2", "event\tacme\tb-2\t3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("recorded", "problem", "lost"),
    [
        ({"b_1": "2", "b_2": "3"}, "1 acknowledged events lost: a", 1),
        ({"a": "9", "b_1": "2", "b_2": "3"}, "1 events recorded with another customer or quantity: a", 0),
        ({"a": "1.5", "b_1": "2", "b_2": "3", "c": "1"}, "1 events recorded that nobody sent: c", 0),
        ({"a": "1.5", "b_1": "2"}, "1 batches recorded in part: b", 1),
    ],
)
def test_check_finds_what_is_wrong(
    ledger: Ledger,
    database: Database,
    owner: psycopg.Connection,
    recorded: dict[str, str],
    problem: str,
    lost: int,
) -> None:
    record(database, **recorded)
    found = check(ledger, owner)
    assert problem in found.problems
    assert found.lost == lost


def test_check_finds_a_lost_payment(ledger: Ledger, database: Database, owner: psycopg.Connection) -> None:
    record(database, a="1.5", b_1="2", b_2="3")
    ledger.acknowledge_payment(Payment("ACME-0001", "bank-1", "0.01"))
    found = check(ledger, owner)
    assert (found.problems, found.lost) == (["1 acknowledged payments lost: bank-1"], 1)
