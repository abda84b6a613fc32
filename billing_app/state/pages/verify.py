"""Verification: the result of the last one, the progress of a running one, and starting one."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import reflex as rx

from billing_app.domain.actor import Actor
from billing_app.errors import NotFound
from billing_app.runtime import current
from billing_app.services.audit.names import Named, find_names
from billing_app.services.customers import customers
from billing_app.services.verification import verifications
from billing_app.services.verification.report import Report
from billing_app.services.verification.verifications import VerificationRow
from billing_app.state.kit import text
from billing_app.state.kit.errors import LOADING, READY, loading
from billing_app.state.kit.lists import Listing, Pages, parse_listing
from billing_app.state.kit.live import poll_while_open
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.presenters.verify import (
    AwaitingItem,
    Check,
    DiscrepancyItem,
    GapItem,
    Progress,
    Verdict,
    awaiting_item,
    count_discrepancies,
    discrepancy_item,
    gap_item,
    list_checks,
    progress_of,
    verdict_of,
)
from billing_app.wording.refusals import reason_sentence

ROWS = 50


class VerifyState(rx.State):
    """The result of the last verification, and the progress of a running one."""

    phase: str = LOADING
    problem: str = ""
    verdict: Verdict = Verdict()
    checks: rx.Field[list[Check]] = rx.field(default_factory=list)
    discrepancies: rx.Field[list[DiscrepancyItem]] = rx.field(default_factory=list)
    discrepancies_count: str = ""
    awaiting: rx.Field[list[AwaitingItem]] = rx.field(default_factory=list)
    awaiting_count: str = ""
    awaiting_more: str = ""
    gaps: rx.Field[list[GapItem]] = rx.field(default_factory=list)
    gaps_count: str = ""
    pages: Pages = Pages()
    is_running: bool = False
    # Why the newest verification failed.
    fault: str = ""
    progress: Progress = Progress()
    _verification: str = ""
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the last result, and follow the progress of a running verification."""
        listing = parse_listing(self, "/verify")
        async with loading(self):
            _show(self, await call(self, _read), listing)
        return VerifyState.watch if self.phase == READY and self.is_running else None

    @rx.event
    async def start(self) -> Any:
        """Start a verification, or follow the one that is running."""
        row = await call(self, verifications.start_verification)
        current().background.wake()
        self._verification, self.is_running = row.public_id, True
        self.progress = Progress(caption="Starting")
        return VerifyState.watch

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show the progress until the verification ends, and then its result."""
        async for _ in poll_while_open(self):
            found = await call(self, _read_progress, self._verification)
            if found is None or found.row.status != "running":
                break
            async with self:
                self.progress = found.item
        else:
            return None
        async with self:
            self.is_running = False
        return [_toast(found.row), VerifyState.load] if found else VerifyState.load


class _Running(NamedTuple):
    row: VerificationRow
    item: Progress


class _Found(NamedTuple):
    latest: VerificationRow | None
    running: _Running | None
    failed: VerificationRow | None
    names: dict[str, Named]


def _read(session: Session, actor: Actor) -> _Found:
    try:
        latest = verifications.get_latest(session, actor)
    except NotFound:
        latest = None
    running = verifications.find_running(session, actor)
    return _Found(
        latest=latest,
        running=_read_progress(session, actor, running.public_id) if running else None,
        failed=verifications.find_failed(session, actor),
        names=find_names(session, actor, [latest.started_by] if latest else []),
    )


def _read_progress(session: Session, actor: Actor, verification: str) -> _Running | None:
    if not verification:
        return None
    row = verifications.get_verification(session, actor, verification)
    names = find_names(session, actor, [row.started_by])
    return _Running(row, progress_of(row, customers.count_customers(session, actor), names))


def _show(state: VerifyState, found: _Found, listing: Listing) -> None:
    state.is_running = found.running is not None
    state.fault = reason_sentence(found.failed.fault) if found.failed and found.failed.fault else ""
    if found.running:
        state._verification, state.progress = found.running.row.public_id, found.running.item
    report = found.latest.report if found.latest else Report()
    state.verdict = verdict_of(found.latest, found.names, viewer_zone(state)) if found.latest else Verdict()
    state.checks = list_checks(report) if found.latest else []
    _show_discrepancies(state, report, listing)
    _show_awaiting(state, report)


def _show_discrepancies(state: VerifyState, report: Report, listing: Listing) -> None:
    start = _parse_offset(listing)
    end = start + ROWS
    state.discrepancies = [discrepancy_item(each) for each in report.discrepancies[start:end]]
    count = report.discrepancy_count
    shown = f"{start + 1:,}–{start + len(state.discrepancies):,} of {count:,}"
    state.discrepancies_count = shown if count > ROWS else f"{count:,}"
    state.pages = listing.pages(str(end) if end < len(report.discrepancies) else None)


def _show_awaiting(state: VerifyState, report: Report) -> None:
    months = report.awaiting_invoice
    state.awaiting = [awaiting_item(each) for each in months[:ROWS]]
    state.awaiting_count = text.counted(len(months), "month")
    state.gaps = [gap_item(each) for each in report.number_gaps[:ROWS]]
    state.gaps_count = f"{len(report.number_gaps):,}"
    state.awaiting_more = f"and {len(months) - ROWS:,} more. " if len(months) > ROWS else ""


def _parse_offset(listing: Listing) -> int:
    """Return the position of the first discrepancy to show; 0 unless the address has a valid one."""
    cursor = listing.cursor or ""
    return int(cursor) if re.fullmatch(r"[0-9]{1,6}", cursor, re.ASCII) else 0


def _toast(row: VerificationRow) -> Any:
    if row.fault:
        return rx.toast.error("Verification failed", close_button=True)
    if row.ok:
        return rx.toast.success("Verification found no discrepancies")
    return rx.toast.error(f"Verification found {count_discrepancies(row.report)}", close_button=True)
