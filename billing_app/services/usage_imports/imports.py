"""The records of usage files: stored, checked, imported chunk by chunk, and how each of them ended.

While a file is `checking` or `importing` its counts are of the lines up to `through_line`. They
move in the transaction that records those lines' events, and only from the line that was the last
one before: so whoever goes on with a file, and however often it was cut off, each line counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import delete, func, insert, select, text, true, tuple_, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Conflict, NotFound
from billing_app.models import UsageImport, UsageImportPart, UsageImportRefusal
from billing_app.services.shared import audit, faults
from billing_app.services.shared.ids import get_number, public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage.recording import BatchResult

COLUMNS = ("customer", "idempotency_key", "quantity", "occurred_at")
# Of a file's refused rows; the others are counted only.
REFUSALS_KEPT_MAX = 100_000
ROW_KEPT_CHARS_MAX = 2_000
# A file that was checked and that nobody starts is cancelled then.
STARTED_WITHIN = timedelta(days=7)

# What became of the rows of a file that was not started.
_NOTHING = {"row_count": 0, "recorded": 0, "duplicates": 0, "conflicts": 0, "rejected": 0}

Status = Literal["checking", "checked", "importing", "done", "cancelled", "failed"]
Phase = Literal["checking", "importing"]


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was not recorded: the line it begins on (the header is line 1), its cells as they
    came (bytes that are no UTF-8 as surrogates; none when it is no CSV or far too long), and why."""

    line: int
    row: tuple[str, ...]
    status: Literal["conflict", "rejected"]
    reason: Reason


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One of a file's first rows, for people: what would become of it, and why not `recorded`."""

    line: int
    row: tuple[str, ...]
    status: Literal["recorded", "duplicate", "conflict", "rejected"]
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """What became, or would become, of the lines after one up to another, of which it has the counts."""

    after_line: int
    through_line: int
    bytes_read: int
    outcome: BatchResult
    refused: Sequence[RefusedRow]
    preview: Sequence[PreviewRow] = ()


@dataclass(frozen=True, slots=True)
class UsageImportRow:
    """A file and how far it is: `bytes_read` of `size_bytes`.

    The counts are what would become of its rows until it is started, and then what became of them;
    `rows` is the sum of the others. `same_as` is the last import of the same content that was done
    before, and `same_as_at` when that was.
    """

    import_id: int
    file_name: str
    size_bytes: int
    sha256: str
    status: Status
    rows: int
    recorded: int
    duplicates: int
    conflicts: int
    rejected: int
    bytes_read: int
    through_line: int
    preview: tuple[PreviewRow, ...]
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    fault: Reason | None
    same_as: str | None
    same_as_at: datetime | None

    @property
    def public_id(self) -> str:
        """`imp_7`."""
        return public_id("imp", self.import_id)

    @property
    def refusals_kept(self) -> int:
        """How many of the refused rows can be looked at, the first ones."""
        return min(self.conflicts + self.rejected, REFUSALS_KEPT_MAX)


class Overtaken(Exception):
    """The import was cancelled, or somebody else went on with it: what was about to be done is not due."""


def get_import(session: Session, actor: Actor, usage_import: str) -> UsageImportRow:
    """An import by its id, `imp_7`. Raises NotFound (`import_not_found`)."""
    require(actor, Permission.READ)
    return row_of_import(session, get_import_number(usage_import))


def row_of_import(session: Session, import_id: int) -> UsageImportRow:
    """The import of this number. Raises NotFound (`import_not_found`)."""
    found = session.execute(_rows().where(col(UsageImport.import_id) == import_id)).one_or_none()
    if found is None:
        raise NotFound("import_not_found", named=public_id("imp", import_id))
    return _row_of(*found)


def list_imports(
    session: Session, actor: Actor, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[UsageImportRow]:
    """All imports, the newest first."""
    require(actor, Permission.READ)
    key = (col(UsageImport.started_at), col(UsageImport.import_id))
    query = _rows().order_by(*(column.desc() for column in key))
    if after := decode_cursor(cursor, datetime, int):
        query = query.where(tuple_(*key) < tuple_(*after))
    rows = [_row_of(*found) for found in session.execute(query.limit(check_limit(limit) + 1))]
    return page_of(rows, limit, lambda row: (row.started_at, row.import_id))


def find_due(session: Session, actor: Actor, phase: Phase) -> list[UsageImportRow]:
    """Those that are to be checked, or imported, the oldest first, whoever is at it or left it."""
    require(actor, Permission.RECORD_USAGE)
    query = _rows().where(col(UsageImport.status) == phase)
    query = query.order_by(col(UsageImport.started_at), col(UsageImport.import_id)).limit(100)
    return [_row_of(*found) for found in session.execute(query)]


def _rows() -> Any:
    """Imports, each with the last one of the same content that was done before it."""
    other = aliased(UsageImport)
    same = (
        select(col(other.import_id), col(other.finished_at))
        .where(
            col(other.sha256) == UsageImport.sha256,
            col(other.status) == "done",
            tuple_(col(other.finished_at), col(other.import_id))
            < tuple_(
                func.coalesce(col(UsageImport.finished_at), text("timestamptz 'infinity'")),
                UsageImport.import_id,
            ),
        )
        .order_by(col(other.finished_at).desc(), col(other.import_id).desc())
        .limit(1)
        .lateral()
    )
    return (
        select(UsageImport, same.c.import_id, same.c.finished_at)
        .outerjoin(same, true())
        .execution_options(populate_existing=True)
    )


def _row_of(found: UsageImport, same_as: int | None, same_as_at: datetime | None) -> UsageImportRow:
    assert found.import_id is not None
    return UsageImportRow(
        import_id=found.import_id,
        file_name=found.file_name,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        status=found.status,  # type: ignore[arg-type]
        rows=found.row_count,
        recorded=found.recorded,
        duplicates=found.duplicates,
        conflicts=found.conflicts,
        rejected=found.rejected,
        bytes_read=found.bytes_read,
        through_line=found.through_line,
        preview=tuple(
            PreviewRow(
                each["line"],
                tuple(each["row"]),
                each["status"],
                Reason.from_json(each["reason"]) if each["reason"] else None,
            )
            for each in found.preview or ()
        ),
        started_by=found.started_by,
        started_at=found.started_at,
        finished_at=found.finished_at,
        fault=Reason.from_json(found.fault) if found.fault else None,
        same_as=public_id("imp", same_as) if same_as else None,
        same_as_at=same_as_at,
    )


def start_import(session: Session, actor: Actor, usage_import: str) -> UsageImportRow:
    """Has a checked file imported, once: started again it is answered with as it is.

    Raises NotFound (`import_not_found`) and Conflict (`import_not_checked`).
    """
    require(actor, Permission.RECORD_USAGE)
    number = get_import_number(usage_import)
    if _reset(session, number, "checked", "importing"):
        audit.record(session, actor, "usage_import.started", usage_import)
    found = row_of_import(session, number)
    if found.status not in ("importing", "done"):
        raise Conflict("import_not_checked", named=usage_import, status=found.status)
    return found


def begin_check(session: Session, actor: Actor, import_id: int) -> None:
    """Forgets what an earlier, unfinished check found. Raises Overtaken when it is not being checked."""
    require(actor, Permission.RECORD_USAGE)
    if not _reset(session, import_id, "checking", "checking"):
        raise Overtaken


def _reset(session: Session, import_id: int, before: Status, after: Status) -> bool:
    """Moves from one status to another, with all counts at nothing; False when it is not in the first."""
    values: dict[str, Any] = {**_NOTHING, "bytes_read": 0, "through_line": 0}
    if before != after:
        values["attempts"] = 0
    change = _in_status(import_id, before).values(status=after, **values)
    if session.scalar(change.returning(col(UsageImport.import_id))) is None:
        return False
    session.execute(delete(UsageImportRefusal).where(col(UsageImportRefusal.import_id) == import_id))
    return True


def count_chunk(session: Session, actor: Actor, import_id: int, phase: Phase, chunk: Chunk) -> None:
    """Counts a chunk once, in the transaction that recorded it when one did.

    Raises Overtaken, which undoes that, unless the import is in this phase and at the chunk's first
    line: two that are at the same file count, and record, none of it twice.
    """
    require(actor, Permission.RECORD_USAGE)
    outcome = chunk.outcome
    values: dict[str, Any] = {
        "row_count": UsageImport.row_count
        + (outcome.recorded + outcome.duplicates + outcome.conflicts + outcome.rejected),
        "recorded": UsageImport.recorded + outcome.recorded,
        "duplicates": UsageImport.duplicates + outcome.duplicates,
        "conflicts": UsageImport.conflicts + outcome.conflicts,
        "rejected": UsageImport.rejected + outcome.rejected,
        "bytes_read": chunk.bytes_read,
        "through_line": chunk.through_line,
    }
    if phase == "importing":
        # A check begins again from the start, so that it did not get any further.
        values["attempts"] = 0
    if chunk.preview:
        values["preview"] = [
            {
                "line": each.line,
                "row": each.row,
                "status": each.status,
                "reason": each.reason.as_json() if each.reason else None,
            }
            for each in chunk.preview
        ]
    refused = session.scalar(
        _in_status(import_id, phase)
        .where(col(UsageImport.through_line) == chunk.after_line)
        .values(**values)
        .returning(col(UsageImport.conflicts) + UsageImport.rejected)
    )
    if refused is None:
        raise Overtaken
    kept = chunk.refused[: max(0, REFUSALS_KEPT_MAX - (refused - len(chunk.refused)))]
    rows: list[dict[str, Any]] = [
        {
            "import_id": import_id, "line": each.line, "status": each.status,
            "reason": each.reason.as_json(), "cells": _kept_cells(each.row),
        }
        for each in kept
    ]  # fmt: skip
    if rows:
        session.execute(insert(UsageImportRefusal), rows)


def _kept_cells(row: Sequence[str]) -> list[bytes]:
    """The bytes that the cells came as; of a row that is no usage by its length alone, none."""
    if sum(len(cell) for cell in row) > ROW_KEPT_CHARS_MAX:
        return []
    return [cell.encode("utf-8", "surrogateescape") for cell in row]


def end_check(session: Session, actor: Actor, import_id: int) -> None:
    """The file was read to its end and can be started."""
    require(actor, Permission.RECORD_USAGE)
    session.execute(
        _in_status(import_id, "checking").values(status="checked", bytes_read=UsageImport.size_bytes)
    )


def finish_import(
    session: Session,
    actor: Actor,
    import_id: int,
    status: Literal["done", "failed"],
    fault: Reason | None = None,
) -> None:
    """Ends an import that is `importing`, or `failed` in either phase; an ended one stays as it is."""
    require(actor, Permission.RECORD_USAGE)
    if status == "done":
        _end(session, actor, import_id, ("importing",), "done", bytes_read=UsageImport.size_bytes)
    else:
        stored = fault.as_json() if fault else None
        _end(session, actor, import_id, ("checking",), "failed", fault=stored, **_NOTHING)
        _end(session, actor, import_id, ("importing",), "failed", fault=stored)


def note_failed_attempt(session: Session, actor: Actor, usage_import: str, reason: Reason) -> bool:
    """Counts that its check, or its import, failed without getting any further; too often, and it is given
    up for the reason. What was recorded stays. Answers whether it is given up."""
    require(actor, Permission.RECORD_USAGE)
    number = get_import_number(usage_import)
    attempts = session.scalar(
        update(UsageImport)
        .where(col(UsageImport.import_id) == number, col(UsageImport.status).in_(("checking", "importing")))
        .values(attempts=UsageImport.attempts + 1)
        .returning(col(UsageImport.attempts))
    )
    if attempts is None or attempts < faults.ATTEMPTS_MAX:
        return False
    finish_import(session, actor, number, "failed", reason)
    return True


def cancel_import(session: Session, actor: Actor, usage_import: str) -> UsageImportRow:
    """Stops an import for good: what was recorded stays, and is counted; an ended one is as it was.

    Nothing became of a file that was not started: then all counts are nothing.

    Raises NotFound (`import_not_found`).
    """
    require(actor, Permission.RECORD_USAGE)
    number = get_import_number(usage_import)
    # In the order that it moves in, so that one that is started between the two is not missed.
    _end(session, actor, number, ("checking", "checked"), "cancelled", **_NOTHING)
    _end(session, actor, number, ("importing",), "cancelled")
    return row_of_import(session, number)


def cancel_forgotten(session: Session, actor: Actor) -> None:
    """Cancels what was checked a week ago and never started, so that no file stays for ever."""
    require(actor, Permission.RECORD_USAGE)
    forgotten = session.scalars(
        select(col(UsageImport.import_id)).where(
            col(UsageImport.status) == "checked", col(UsageImport.started_at) < now(session) - STARTED_WITHIN
        )
    )
    for import_id in forgotten.all():
        _end(session, actor, import_id or 0, ("checked",), "cancelled", **_NOTHING)


def _end(
    session: Session, actor: Actor, import_id: int, before: Sequence[Status], after: Status, **values: Any
) -> None:
    """Ends what is in one of these statuses, and lets the file go."""
    ended = session.execute(
        update(UsageImport)
        .where(col(UsageImport.import_id) == import_id, col(UsageImport.status).in_(before))
        .values(status=after, finished_at=now(session), **values)
        .returning(
            col(UsageImport.recorded), col(UsageImport.duplicates),
            col(UsageImport.conflicts), col(UsageImport.rejected),
        )
    ).one_or_none()  # fmt: skip
    if ended:
        session.execute(delete(UsageImportPart).where(col(UsageImportPart.import_id) == import_id))
        audit.record(session, actor, f"usage_import.{after}", public_id("imp", import_id), **ended._asdict())


def _in_status(import_id: int, status: Status) -> Any:
    return update(UsageImport).where(
        col(UsageImport.import_id) == import_id, col(UsageImport.status) == status
    )


def get_import_number(usage_import: str) -> int:
    """`imp_7` -> 7. Raises NotFound (`import_not_found`)."""
    return get_number("imp", usage_import, "import")
