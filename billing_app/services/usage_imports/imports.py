"""Use cases of imports: list, read, start and cancel them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import tuple_
from sqlmodel import Session, col

from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Conflict
from billing_app.models import UsageImport
from billing_app.services.shared import audit
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.usage_imports.queries import (
    get_row,
    import_not_found,
    parse_import_id,
    select_imports,
    to_row,
)
from billing_app.services.usage_imports.rows import PERMISSIONS, UsageImportRow
from billing_app.services.usage_imports.status_changes import NO_ROWS, end, restart


def get_import(session: Session, actor: Actor, usage_import: str) -> UsageImportRow:
    """Return an import by its ID, `imp_7`. Raises NotFound (`import_not_found`)."""
    require(actor, Permission.READ)
    return get_row(session, parse_import_id(usage_import))


def list_imports(
    session: Session, actor: Actor, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[UsageImportRow]:
    """List all imports, newest first."""
    require(actor, Permission.READ)
    key = (col(UsageImport.uploaded_at), col(UsageImport.import_id))
    query = select_imports().order_by(*(column.desc() for column in key))
    if after := decode_cursor(cursor, datetime, int):
        query = query.where(tuple_(*key) < tuple_(*after))
    rows = [to_row(*found) for found in session.execute(query.limit(check_limit(limit) + 1))]
    return page_of(rows, limit, lambda row: (row.uploaded_at, row.import_id))


def start_import(session: Session, actor: Actor, usage_import: str) -> UsageImportRow:
    """Start the import of a checked file. Starting it again changes nothing.

    Raises:
        NotFound: (`import_not_found`) Also if someone else uploaded it and the actor can't read.
        Conflict: (`import_not_checked`) Its check has not finished, or it was cancelled or failed.
    """
    import_id = _require_access(session, actor, usage_import)
    if restart(session, import_id, "checked", "importing"):
        audit.record(session, actor, "usage_import.started", usage_import)
    row = get_row(session, import_id)
    if row.status not in ("importing", "done"):
        raise Conflict("import_not_checked", named=usage_import, import_status=row.status)
    return hide_other_imports(row, actor)


def cancel_import(session: Session, actor: Actor, usage_import: str) -> UsageImportRow:
    """Cancel an import. Cancelling one that has ended changes nothing.

    Rows recorded so far are kept and counted. Once this is committed, no more rows are recorded and the
    counts are final. If the import was not started, all counts are zero. Raises NotFound
    (`import_not_found`), as `start_import` does.
    """
    import_id = _require_access(session, actor, usage_import)
    # In the order of the statuses, so that an import is also cancelled if it is started in between.
    end(session, import_id, ("checking", "checked"), "cancelled", by=actor, **NO_ROWS)
    end(session, import_id, ("importing",), "cancelled", by=actor)
    return hide_other_imports(get_row(session, import_id), actor)


def hide_other_imports(row: UsageImportRow, actor: Actor) -> UsageImportRow:
    """Return the row without its references to imports that the actor may not read."""
    return row if actor.may(Permission.READ) else replace(row, same_as=None, waits_for=None)


def _require_access(session: Session, actor: Actor, usage_import: str) -> int:
    """Return the number of an import. Raises NotFound unless the actor may read it or uploaded it.

    Raises Forbidden unless the actor may import files of its kind.
    """
    if not actor.may(Permission.CORRECT_USAGE):
        require(actor, Permission.RECORD_USAGE)
    import_id = parse_import_id(usage_import)
    row = get_row(session, import_id)
    if not actor.may(Permission.READ) and row.uploaded_by != actor.id:
        raise import_not_found(import_id)
    require(actor, PERMISSIONS[row.kind])
    return import_id
