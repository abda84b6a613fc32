"""The load: single events, CloudEvents, batches, files, and a biller that closes months and records payments."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import httpx

from billing_app.domain.periods import label, next_period
from soak.ledger import Event, Payment
from soak.sending import Sender, Traffic

BATCH_SIZES = (2, 400)
FILE_SIZES = (50, 2_000)
# Of unanswered attempts: the sender never learns whether the event was recorded.
_ABANDONED = 0.05


class UsageSender(Sender):
    """Knows the customers, and invents events. Many occurred in months that are closed by now."""

    def __init__(
        self, number: int, traffic: Traffic, token: str, seed: int, customers: Sequence[str], first: date
    ) -> None:
        super().__init__(number, traffic, token, seed)
        self.customers = customers
        self._first = datetime(first.year, first.month, first.day, tzinfo=UTC)

    def new_event(self, batch: str = "") -> Event:
        """Invent an event."""
        quantity = f"{self.chance.randrange(1_000_000)}.{self.chance.randrange(1_000_000):06}"
        return Event(self.chance.choice(self.customers), self.new_key(), quantity, batch)

    def new_moment(self) -> str | None:
        """Invent when an event occurred. None means now."""
        if self.chance.random() < 0.3:
            return None
        span = (datetime.now(UTC) - timedelta(minutes=10) - self._first).total_seconds()
        return (self._first + timedelta(seconds=self.chance.random() * span)).isoformat()


class SingleSender(UsageSender):
    """Sends `POST /usage`. Sends some events twice, and some with another quantity."""

    def step(self) -> None:
        """Send one event."""
        event = self.new_event()
        body = {"customer": event.customer, "idempotency_key": event.key, "quantity": event.quantity}
        if moment := self.new_moment():
            body["occurred_at"] = moment
        self.traffic.ledger.send([event])
        answer = self.deliver("POST", "/usage", body, abandon=_ABANDONED)
        if answer is None or not self.expect("POST /usage", answer, 201, 200):
            return
        self.traffic.ledger.acknowledge([event])
        if self.chance.random() < 0.15:
            self.expect("duplicate", self.deliver("POST", "/usage", body), 200)
        if self.chance.random() < 0.05:
            other = self.deliver("POST", "/usage", body | {"quantity": "1e6"})
            self.expect("conflict", other, 409)


class CloudEventSender(UsageSender):
    """Sends `POST /events` with one CloudEvent."""

    def step(self) -> None:
        """Send one event, and sometimes again."""
        drawn = self.new_event()
        event = drawn._replace(key=f"soak {drawn.key}")
        body = {
            "specversion": "1.0",
            "type": "soak",
            "source": "soak",
            "id": drawn.key,
            "subject": event.customer,
            "time": self.new_moment(),
            "data": {"value": event.quantity},
        }
        self.traffic.ledger.send([event])
        media_type = "application/cloudevents+json"
        answer = self.deliver("POST", "/events", body, media_type=media_type, abandon=_ABANDONED)
        if answer is None or not self.expect("POST /events", answer, 204):
            return
        self.traffic.ledger.acknowledge([event])
        if self.chance.random() < 0.1:
            again = self.deliver("POST", "/events", body, media_type=media_type)
            self.expect("duplicate CloudEvent", again, 204)
            body["data"] = {"value": "1e6"}
            other = self.deliver("POST", "/events", body, media_type=media_type)
            self.expect("conflicting CloudEvent", other, 422)


class BatchSender(UsageSender):
    """Sends `POST /usage/batch`, each with a duplicate, a conflict and a row that is rejected."""

    def step(self) -> None:
        """Send one batch."""
        name = self.new_key()
        events = [self.new_event(name) for _ in range(self.chance.randint(*BATCH_SIZES))]
        rows = [
            {
                "customer": event.customer,
                "idempotency_key": event.key,
                "quantity": event.quantity,
                "occurred_at": self.new_moment(),
            }
            for event in events
        ]
        others = [dict(rows[0]), rows[0] | {"quantity": "1e6"}, rows[1] | {"customer": "nobody"}]
        self.traffic.ledger.send(events)
        answer = self.deliver("POST", "/usage/batch", {"events": rows + others}, abandon=_ABANDONED)
        if answer is None or not self.expect("POST /usage/batch", answer, 200):
            return
        found = answer.body
        is_right = (found["recorded"] + found["duplicates"], found["conflicts"], found["rejected"]) == (
            len(events) + 1, 1, 1,
        )  # fmt: skip
        if is_right:
            self.traffic.ledger.acknowledge(events)
        else:
            counts = {name: found[name] for name in ("recorded", "duplicates", "conflicts", "rejected")}
            self.traffic.ledger.report(f"a batch of {len(events)} and 3 more rows was answered with {counts}")


class FileSender(UsageSender):
    """Uploads files, starts their import, and waits for its end."""

    def step(self) -> None:
        """Import one file."""
        events = [self.new_event() for _ in range(self.chance.randint(*FILE_SIZES))]
        lines = [f"{each.customer},{each.key},{each.quantity},{self.new_moment() or ''}" for each in events]
        text = "\n".join(["customer,idempotency_key,quantity,occurred_at", *lines, ""])
        self.traffic.ledger.send(events)
        answer = self.deliver("POST", "/usage/imports", text.encode(), media_type="text/csv")
        if not self.expect("upload", answer, 202):
            return
        path = f"/usage/imports/{answer.body['id']}"
        checked = self.wait_for(path, "checked", "failed", "cancelled")
        if checked["status"] != "checked":
            self.traffic.ledger.report(f"the check of a file ended like this: {str(checked)[:300]}")
            return
        if not self.expect("import", self.deliver("POST", f"{path}/start"), 202):
            return
        done = self.wait_for(path, "done", "failed", "cancelled")
        if done["status"] == "done" and done["recorded"] + done["duplicates"] == len(events):
            self.traffic.ledger.acknowledge(events)
        else:
            self.traffic.ledger.report(f"an import of {len(events)} rows ended like this: {str(done)[:300]}")

    def wait_for(self, path: str, *statuses: str) -> dict:
        """Wait until the import has one of these statuses, and return it."""
        while True:
            answer = self.deliver("GET", path)
            if answer.status != 200 or answer.body["status"] in statuses:
                return answer.body
            self.traffic.over.wait(0.3)


class Biller(Sender):
    """Invoices one month after another, with single invoices and runs, and records payments."""

    def __init__(
        self, number: int, traffic: Traffic, token: str, seed: int, first: date, customers: Sequence[str]
    ) -> None:
        super().__init__(number, traffic, token, seed)
        self.period = first
        self.customers = customers

    def step(self) -> None:
        """Invoice a month, and record payments on some of its invoices."""
        today = datetime.now(UTC).date()
        if next_period(self.period) > today:
            self.period = date(today.year - 1, self.period.month, 1)
        period = label(self.period)
        for customer in self.chance.sample(self.customers, 2):
            body = {"customer": customer, "period": period}
            self.expect("POST /invoices", self.deliver("POST", "/invoices", body), 201, 409)
        if self.invoice_all(period):
            self.period = next_period(self.period)
            self.pay(period)

    def invoice_all(self, period: str) -> bool:
        """Run invoices for a month, and return whether all customers have theirs."""
        headers = {"Idempotency-Key": self.new_key()}
        answer = self.deliver("POST", "/invoice-runs", {"period": period}, headers=headers)
        if not self.expect("POST /invoice-runs", answer, 202):
            return False
        found = answer.body
        while found["status"] == "running":
            self.traffic.over.wait(0.2)
            found = self.deliver("GET", f"/invoice-runs/{answer.body['id']}").body
        if found["status"] != "done" or found["failed"]:
            self.traffic.ledger.report(f"a run of {period} ended like this: {str(found)[:400]}")
        return found["status"] == "done" and not found["failed"]

    def pay(self, period: str) -> None:
        """Record payments on some invoices of a month, each of them twice."""
        answer = self.deliver("GET", f"/invoices?period={period}&limit=20")
        if not self.expect("GET /invoices", answer, 200):
            return
        for invoice in self.chance.sample(answer.body["items"], min(4, len(answer.body["items"]))):
            payment = Payment(invoice["number"], self.new_key(), "0.01")
            body = {
                "amount": payment.amount,
                "received_on": datetime.now(UTC).date().isoformat(),
                "idempotency_key": payment.key,
            }
            path = f"/invoices/{payment.invoice}/payments"
            if self.expect("payment", self.deliver("POST", path, body), 201, 200):
                self.traffic.ledger.acknowledge_payment(payment)
                self.expect("payment again", self.deliver("POST", path, body), 200)

    def ask(self, port: int, path: str, body: object) -> int:
        """Send one POST to this server, from any thread. Return the status, or 0 without an answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": f"{self.name} {uuid4()}"}
        with suppress(httpx.HTTPError):
            return httpx.post(
                f"http://127.0.0.1:{port}/api/v1{path}", json=body, headers=headers, timeout=10
            ).status_code
        return 0
