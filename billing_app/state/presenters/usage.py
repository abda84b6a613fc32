"""Rows of usage pages."""

from __future__ import annotations

from dataclasses import dataclass

from billing_app.errors import FieldError
from billing_app.services.shared.reasons import Reason
from billing_app.wording.refusals import reason_sentence
from billing_app.wording.rules import rule_text


@dataclass(frozen=True)
class UsageItem:
    """A usage event and where it is billed. `invoice` is empty until the invoice exists."""

    occurred: str = ""
    occurred_utc: str = ""
    customer: str = ""
    customer_key: str = ""
    customer_href: str = ""
    key: str = ""
    quantity: str = ""
    billed_in: str = ""
    invoice: str = ""
    invoice_href: str = ""
    is_late: bool = False
    late_reason: str = ""
    details: str = ""


@dataclass(frozen=True)
class ImportItem:
    """A file of usage, as it is listed."""

    href: str = ""
    file_name: str = ""
    size: str = ""
    status: str = ""
    outcome: str = ""
    started: str = ""
    started_utc: str = ""


@dataclass(frozen=True)
class ImportSheet:
    """A file of usage on its page. The byte counts only draw the bar; what is read is `caption`."""

    import_id: str = ""
    file_name: str = ""
    size: str = ""
    status: str = ""
    is_under_way: bool = False
    started: str = ""
    started_utc: str = ""
    finished: str = ""
    finished_utc: str = ""
    done_bytes: int = 0
    all_bytes: int = 1
    caption: str = ""
    said: str = ""
    # Whether the counts are of what would become of the rows, not of what became of them.
    is_check: bool = False
    rows: str = ""
    recorded: str = ""
    duplicates: str = ""
    refused: str = ""
    has_refused: bool = False
    refused_note: str = ""
    refused_href: str = ""
    # What the button says that imports it, while there is something to import; or to import again.
    start: str = ""
    start_again: str = ""
    same_as: str = ""
    same_as_href: str = ""


@dataclass(frozen=True)
class FileRow:
    """A row of a file: the line it begins on, its cells, and what became, or would become, of it."""

    line: str = ""
    customer: str = ""
    key: str = ""
    quantity: str = ""
    occurred: str = ""
    status: str = ""
    detail: str = ""


_COLUMN_NAMES = {
    "customer": "Customer",
    "idempotency_key": "Key",
    "quantity": "Quantity",
    "occurred_at": "Time",
}


def row_reason(reason: Reason | None) -> str:
    """Why a row of a file was not recorded, with the column's name as the page shows it."""
    if reason is None:
        return ""
    if not reason.rule:
        return reason_sentence(reason)
    column = _COLUMN_NAMES.get(reason.field, reason.field.capitalize())
    return f"{column} {rule_text(FieldError(reason.field, reason.rule, dict(reason.facts)))}"
