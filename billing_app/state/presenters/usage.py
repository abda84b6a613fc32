"""Rows of usage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UsageItem:
    """An event of the log, and where it is billed: `invoice` is empty while there is none."""

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
    late_because: str = ""
    about: str = ""


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
