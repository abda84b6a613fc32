"""Whole lists for files: read chunk by chunk, so that none is ever in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.services.shared.permissions import require
from billing_app.services.usage.filters import ALL_USAGE, UsageFilter
from billing_app.services.usage.recording import EVENT_COLUMNS, UsageEventRow
from billing_app.services.usage.selection import select_usage

CHUNK_ROWS = 2_000


def read_usage(
    session: Session, actor: Actor, wanted: UsageFilter = ALL_USAGE
) -> Iterator[list[UsageEventRow]]:
    """All events that `list_usage` would list, as of one moment; at most a chunk is held at a time.

    The chunks must be read within the session's transaction. Ordered by billing period, customer
    and moment, as an index has them. Raises NotFound (`customer_not_found`) when called.
    """
    require(actor, Permission.READ)
    condition, values = select_usage(session, wanted)
    query = (
        f"SELECT {EVENT_COLUMNS} FROM usage_event e JOIN customer c USING (customer_id) WHERE {condition}"
        " ORDER BY e.billing_period, e.customer_id, e.occurred_at, e.idempotency_key"
    )

    cursor = driver_cursor(session).connection.cursor("usage_export")
    # Here and not when the first chunk is asked for: what the database refuses is known before.
    cursor.execute(query, values)

    def chunks() -> Iterator[list[UsageEventRow]]:
        with cursor:
            while rows := cursor.fetchmany(CHUNK_ROWS):
                yield [UsageEventRow(*row) for row in rows]

    return chunks()
