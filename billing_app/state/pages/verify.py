"""The proof: everything recomputed and compared, the last time and now."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.domain.periods import parse_period
from billing_app.errors import NotFound
from billing_app.runtime import current
from billing_app.services.audit import names as audit_names
from billing_app.services.audit.names import Named
from billing_app.services.customers import customers
from billing_app.services.verification import verifications
from billing_app.services.verification.verifications import VerificationRow
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, READY, loading
from billing_app.state.kit.lists import Listing, Pages, parse_listing
from billing_app.state.kit.live import poll_while_open
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.presenters import audit_entries
from billing_app.state.presenters.verify import Awaiting, Check, Difference, Running, Verdict
from billing_app.wording.refusals import reason_sentence

ROWS = 50
_OF_NOBODY = "rows of no customer"
_SUBJECT = re.compile(r"(?P<subject>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<rest>(?:,? .*)?)", re.ASCII)
# Numbers are in capitals; keys that look like one lead to the list of nothing at worst.
_INVOICE = re.compile(r"[A-Z0-9._-]+-[0-9]{4,}", re.ASCII)
_MONTH = re.compile(r"\b[12][0-9]{3}-(?:0[1-9]|1[0-2])\b", re.ASCII)


class VerifyState(rx.State):
    """What the last verification found, and how far the one under way is."""

    phase: str = LOADING
    problem: str = ""
    verdict: Verdict = Verdict()
    checks: rx.Field[list[Check]] = rx.field(default_factory=list)
    differences: rx.Field[list[Difference]] = rx.field(default_factory=list)
    differences_count: str = ""
    awaiting: rx.Field[list[Awaiting]] = rx.field(default_factory=list)
    awaiting_count: str = ""
    awaiting_more: str = ""
    pages: Pages = Pages()
    is_running: bool = False
    # Why the newest one came to no end.
    fault: str = ""
    running: Running = Running()
    _run: str = ""
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the last one, and go on showing the one under way."""
        listing = parse_listing(self, "/verify")
        async with loading(self):
            found = await call(self, _read)
            _show(self, found, listing)
        return VerifyState.watch if self.phase == READY and self.is_running else None

    @rx.event
    async def start(self) -> Any:
        """Start one, or join the one that is under way."""
        row = await call(self, verifications.start_verification)
        current().background.wake()
        self._run, self.is_running = row.public_id, True
        self.running = Running(caption="Starting")
        return VerifyState.watch

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show how far it is until it ends, then what it found."""
        async for _ in poll_while_open(self):
            at = await call(self, _progress, self._run)
            if at.row is None or at.row.status != "running":
                break
            async with self:
                self.running = _running(at)
        else:
            return None
        async with self:
            self.is_running = False
        return [_toast(at.row), VerifyState.load] if at.row else VerifyState.load


class _Progress(NamedTuple):
    row: VerificationRow | None
    customers: int
    names: dict[str, Named]


class _Found(NamedTuple):
    latest: VerificationRow | None
    under_way: _Progress | None
    given_up: VerificationRow | None
    names: dict[str, Named]


def _read(session: Any, actor: Any) -> _Found:
    try:
        latest = verifications.get_latest(session, actor)
    except NotFound:
        latest = None
    row = verifications.find_running(session, actor)
    names = audit_names.find_names(session, actor, [each.started_by for each in (latest, row) if each])
    under_way = _Progress(row, customers.count_customers(session, actor), names) if row else None
    return _Found(latest, under_way, verifications.find_given_up(session, actor), names)


def _progress(session: Any, actor: Any, run: str) -> _Progress:
    row = verifications.get_verification(session, actor, run) if run else None
    names = audit_names.find_names(session, actor, [row.started_by] if row else [])
    return _Progress(row, customers.count_customers(session, actor), names)


def _show(state: VerifyState, found: _Found, listing: Listing) -> None:
    state.is_running = found.under_way is not None
    state.fault = reason_sentence(found.given_up.fault) if found.given_up and found.given_up.fault else ""
    if found.under_way and found.under_way.row:
        state._run = found.under_way.row.public_id
        state.running = _running(found.under_way)
    state.verdict, state.checks = Verdict(), []
    state.differences, state.awaiting = [], []
    if found.latest is None:
        return
    report = found.latest.report
    state.verdict = _verdict(found.latest, found.names, viewer_zone(state))
    state.checks = _checks(report)
    count = _count(report, "difference_count")
    kept = report.get("differences", [])
    begin = _offset(listing)
    state.differences = [_difference(each) for each in kept[begin : begin + ROWS]]
    shown = f"{begin + 1:,}–{begin + len(state.differences):,} of {count:,}"
    state.differences_count = shown if count > ROWS else f"{count:,}"
    state.pages = listing.pages(str(begin + ROWS) if begin + ROWS < len(kept) else None)
    months = report.get("awaiting_invoice", [])
    state.awaiting = [_awaiting(each) for each in months[:ROWS]]
    state.awaiting_count = f"{len(months):,} {'month' if len(months) == 1 else 'months'}"
    state.awaiting_more = f"and {len(months) - ROWS:,} more" if len(months) > ROWS else ""


def _offset(listing: Listing) -> int:
    """Where a page of differences begins; a wrong one is the first."""
    cursor = listing.cursor or ""
    return int(cursor) if re.fullmatch(r"[0-9]{1,6}", cursor, re.ASCII) else 0


def _verdict(row: VerificationRow, names: dict[str, Named], zone: ZoneInfo) -> Verdict:
    assert row.finished_at
    count = _count(row.report, "difference_count")
    differs = f"{count:,} {'difference was' if count == 1 else 'differences were'} found"
    return Verdict(
        outcome="agrees" if row.ok else "differs",
        title="Everything agrees" if row.ok else differs,
        by=_starter(row, names),
        at=text.timestamp(row.started_at, zone),
        at_utc=text.timestamp_utc(row.started_at),
        took=_lasting(row.finished_at - row.started_at),
    )


def _starter(row: VerificationRow, names: dict[str, Named]) -> str:
    who = audit_entries.describe_actor_id(row.started_by, row.started_by, names)
    return f"{who.name}, {who.note}" if who.note else who.name


def _lasting(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 1:
        return "less than a second"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _count(report: dict[str, Any], name: str) -> int:
    return int(report.get(name, 0))


def _checks(report: dict[str, Any]) -> list[Check]:
    """What is compared, with how many of each; which of it differs is told by the differences alone."""
    mark = "" if _count(report, "difference_count") else "good"
    once, still = _count(report, "events_billed_once"), _count(report, "events_open")
    twice, missing = _count(report, "events_billed_twice"), _count(report, "events_missing")
    outcome = f"{once:,} on exactly one invoice, {still:,} still open"
    if twice or missing:
        outcome = f"{missing:,} on no invoice, {twice:,} on more than one"
    return [
        Check("Usage events", f"{_count(report, 'events'):,}",
              "Each is on exactly one invoice, or its month is still open.",
              outcome, "bad" if twice or missing else mark),
        Check("Invoices", f"{_count(report, 'invoices'):,}",
              "Lines, total, number sequence and hash chain come out the same from events and plans.",
              f"{_count(report, 'lines'):,} lines recomputed", mark),
        Check("Usage months", f"{_count(report, 'usage_months'):,}",
              "What all invoices charge for a month is its price, in whatever order its events arrived.",
              "Each of one customer", mark),
        Check("Payments", f"{_count(report, 'paid_invoices'):,}",
              "No invoice is paid beyond its total.", "Invoices with payments", mark),
        Check("Customers", f"{_count(report, 'customers'):,}",
              "No month was passed over, and no invoice number.", "All that there are", mark),
    ]  # fmt: skip


def _difference(words: str) -> Difference:
    """`acme 2026-10: closed` as the customer or invoice that it is of, and the rest in words."""
    of, separator, what = words.partition(": ")
    if not separator:
        return Difference(what=_in_words(words))
    if what.endswith(_OF_NOBODY):
        return Difference(of, "", _in_words(what))
    found = _SUBJECT.fullmatch(of)
    if not found:
        return Difference(of, "", _in_words(what))
    subject, rest = found["subject"], found["rest"].strip(", ")
    return Difference(subject, _href(subject), _in_words(f"{rest}: {what}" if rest else what))


def _in_words(said: str) -> str:
    """Months as people write them, beginning like a sentence."""
    said = _MONTH.sub(lambda found: text.month(parse_period(found[0])), said)
    return said[:1].upper() + said[1:]


def _href(subject: str) -> str:
    kind = "invoices" if _INVOICE.fullmatch(subject) else "customers"
    return address.link(f"/{kind}/{subject}")


def _awaiting(each: dict[str, Any]) -> Awaiting:
    key = str(each["customer_key"])
    return Awaiting(key, address.link(f"/customers/{key}"), text.month(parse_period(each["period"])))


def _running(at: _Progress) -> Running:
    assert at.row
    done, total = _count(at.row.report, "customers"), max(1, at.customers)
    return Running(
        done=min(done, total),
        total=total,
        caption=f"{done:,} of {at.customers:,} customers",
        by=f"Started by {_starter(at.row, at.names)}",
    )


def _toast(row: VerificationRow) -> Any:
    if row.fault:
        return rx.toast.error("The verification was given up", close_button=True)
    if row.ok:
        return rx.toast.success("Verified: everything agrees")
    count = _count(row.report, "difference_count")
    return rx.toast.error(
        f"Verified: {count:,} {'difference' if count == 1 else 'differences'}", close_button=True
    )
