"""What was sent and what was acknowledged: the soak's own books, which the database is compared with."""

from __future__ import annotations

import os
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import NamedTuple


class Event(NamedTuple):
    """A usage event as it was sent. `batch` names the request if all its events are recorded together."""

    customer: str
    key: str
    quantity: str
    batch: str = ""


class Payment(NamedTuple):
    """A payment as it was sent."""

    invoice: str
    key: str
    amount: str


class Ledger:
    """Keeps what was sent, and writes down what was acknowledged before anything else happens with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: dict[str, Event] = {}
        self.acknowledged: set[str] = set()
        self.payments: dict[str, Payment] = {}
        self.problems: list[str] = []
        self._lock = Lock()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def send(self, events: Iterable[Event]) -> None:
        """Note events before they are sent for the first time."""
        with self._lock:
            self.events.update((event.key, event) for event in events)

    def acknowledge(self, events: Iterable[Event]) -> None:
        """Note events that a server has answered as recorded or duplicate."""
        self._write(f"event\t{each.customer}\t{each.key}\t{each.quantity}\n" for each in events)
        with self._lock:
            self.acknowledged.update(each.key for each in events)

    def acknowledge_payment(self, payment: Payment) -> None:
        """Note a payment that a server has answered as recorded."""
        self._write([f"payment\t{payment.invoice}\t{payment.key}\t{payment.amount}\n"])
        with self._lock:
            self.payments[payment.key] = payment

    def report(self, problem: str) -> None:
        """Note something that must not happen."""
        with self._lock:
            self.problems.append(problem)
            if self.problems.count(problem) == 1:
                print(f"  PROBLEM: {problem}", flush=True)

    def is_same(self, event: Event, quantity: Decimal) -> bool:
        """Return whether a recorded quantity is the one that was sent."""
        return Decimal(event.quantity) == quantity

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, lines: Iterable[str]) -> None:
        os.write(self._file, "".join(lines).encode())
        os.fdatasync(self._file)
