"""Distributing usage over the servers of a Citus cluster, by customer.

Only usage outgrows one server: an event is a row, while all events of a customer's month are one invoice. So
the events and their corrections are split by `customer_id`, all rows of a customer on one server, and
everything else stays on the coordinator with all of its keys and triggers. `docs/scaling.md` says what that
changes.
"""

from __future__ import annotations

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from billing_app.database import locks
from billing_app.database.errors import DatabaseUnusable
from billing_app.database.migrations import SchemaState, schema_state

# The second refers to the first.
DISTRIBUTED_TABLES = ("usage_event", "usage_correction")
# These compare new rows with tables that only the coordinator has. The code that records usage makes the same
# comparisons while it holds the gate, and verification makes them again.
_TRIGGERS_OF_THE_COORDINATOR = {
    "usage_event": "customer_exists_and_period_open",
    "usage_correction": "follows_its_event",
}

_HAS_EXTENSION = text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')")
_IS_DISTRIBUTED = text(
    "SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'usage_event'::regclass)"
)
# The triggers that stay refuse every change, and read nothing.
_ALLOW_TRIGGERS = text("SELECT set_config('citus.enable_unsafe_triggers', 'on', true)")
_DROP_KEY = text("ALTER TABLE usage_correction DROP CONSTRAINT fk_usage_correction_usage_event")
_ADD_KEY = text("""
    ALTER TABLE usage_correction ADD CONSTRAINT fk_usage_correction_usage_event
    FOREIGN KEY (customer_id, idempotency_key) REFERENCES usage_event (customer_id, idempotency_key)
""")
_REMOVE_ORIGINALS = text("SELECT truncate_local_data_after_distributing_table(:table)")
_DISTRIBUTE = text("SELECT create_distributed_table(:table, 'customer_id', colocate_with => :with_table)")


def distribute(owner_url: str) -> bool:
    """Distribute the usage, as the owner of the tables. Return False if it is distributed already.

    Everything happens in one transaction. Until it ends, no usage can be recorded.

    Raises:
        DatabaseUnusable: The database has no Citus, or not the schema of this version. Nothing was changed.
    """
    engine = create_engine(owner_url, poolclass=NullPool)
    with engine.begin() as connection:
        if not connection.scalar(_HAS_EXTENSION):
            raise DatabaseUnusable(
                "The database doesn't have the extension citus, so it can't be distributed. Nothing was changed."
            )
        if schema_state(connection) is not SchemaState.CURRENT:
            raise DatabaseUnusable(
                "The database's schema is not that of this version of Tallybook. Run `billing migrate` first."
            )
        # Of two at once, the second waits and then finds nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.MIGRATING})
        if connection.scalar(_IS_DISTRIBUTED):
            return False
        _distribute(connection)
    return True


def _distribute(connection: Connection) -> None:
    connection.execute(_ALLOW_TRIGGERS)
    for table, trigger in _TRIGGERS_OF_THE_COORDINATOR.items():
        connection.execute(text(f"DROP TRIGGER {trigger} ON {table}"))
    # A table can't be distributed while one refers to it that isn't.
    connection.execute(_DROP_KEY)
    for table, with_table in zip(DISTRIBUTED_TABLES, ("none", *DISTRIBUTED_TABLES), strict=False):
        connection.execute(_DISTRIBUTE, {"table": table, "with_table": with_table})
        # The rows stay behind, hidden. Only the coordinator has a trigger that refuses to remove them.
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER append_only"))
        connection.execute(_REMOVE_ORIGINALS, {"table": table})
        connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER append_only"))
    connection.execute(_ADD_KEY)
