"""What must hold after every round: the database compared with the soak's books."""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field

import psycopg

from soak.ledger import Ledger
from soak.servers import ROOT, billing

_VERIFY_SECONDS_MAX = 300
_SHOWN = 5


@dataclass
class Found:
    """The result of a check. Everything is right if there are no problems."""

    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    discrepancies: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, what: str, keys: list[str]) -> int:
        """Note what is wrong with these keys, and return how many there are."""
        if keys:
            self.problems.append(f"{len(keys)} {what}: {', '.join(keys[:_SHOWN])}")
        return len(keys)


def check(ledger: Ledger, owner: psycopg.Connection) -> Found:
    """Compare the events and payments in the database with those that were sent and acknowledged."""
    found = Found(acknowledged=len(ledger.acknowledged))
    rows = owner.execute(
        "SELECT customer.key, e.idempotency_key, e.quantity"
        " FROM usage_event e JOIN customer USING (customer_id)"
    ).fetchall()
    recorded = defaultdict(list)
    for customer, key, quantity in rows:
        recorded[key].append((customer, quantity))
    found.lost = found.add("acknowledged events lost", sorted(ledger.acknowledged - recorded.keys()))
    found.duplicated = found.add(
        "events recorded twice", [key for key, rows in recorded.items() if len(rows) > 1]
    )
    found.add("events recorded that nobody sent", sorted(recorded.keys() - ledger.events.keys()))
    found.add(
        "events recorded with another customer or quantity",
        [key for key, rows in recorded.items() if key in ledger.events and not _is_sent(ledger, key, rows)],
    )
    found.add("batches recorded in part", _partial_batches(ledger, recorded.keys()))
    found.add(
        "customers with two invoices for a month",
        [
            str(row)
            for row in owner.execute(
                "SELECT customer_id, period_start, count(*) FROM invoice GROUP BY 1, 2 HAVING count(*) > 1"
            ).fetchall()
        ],
    )
    _check_payments(ledger, owner, found)
    return found


def verify(url: str, found: Found) -> None:
    """Run `billing verify` on the database."""
    environment = {**os.environ, "DATABASE_URL": url, "DATABASE_OWNER_URL": "", "BILLING_DEMO": "0"}
    done = subprocess.run(
        billing("verify", "--json"),
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_VERIFY_SECONDS_MAX,
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        found.problems.append(f"verify failed: {done.stderr.strip()[-400:]}")
        return
    found.discrepancies = report["discrepancy_count"]
    if not report["ok"] or done.returncode:
        found.problems.append(f"verify found discrepancies: {done.stdout[:1000]}")
    if report["awaiting_invoice"]:
        found.problems.append(f"closed and not invoiced: {report['awaiting_invoice'][:_SHOWN]}")


def _is_sent(ledger: Ledger, key: str, rows: list) -> bool:
    event = ledger.events[key]
    return all(customer == event.customer and ledger.is_same(event, quantity) for customer, quantity in rows)


def _partial_batches(ledger: Ledger, recorded) -> list[str]:
    """Return the batches of which some events are recorded, and some are not."""
    states = defaultdict(set)
    for event in list(ledger.events.values()):
        if event.batch:
            states[event.batch].add(event.key in recorded)
    return [batch for batch, state in states.items() if len(state) > 1]


def _check_payments(ledger: Ledger, owner: psycopg.Connection, found: Found) -> None:
    rows = owner.execute(
        "SELECT p.idempotency_key, count(*) FROM payment p WHERE p.idempotency_key = ANY(%s) GROUP BY 1",
        [list(ledger.payments)],
    ).fetchall()
    counts = dict(rows)
    found.lost += found.add("acknowledged payments lost", sorted(ledger.payments.keys() - counts.keys()))
    found.duplicated += found.add("payments recorded twice", [key for key, n in counts.items() if n > 1])
