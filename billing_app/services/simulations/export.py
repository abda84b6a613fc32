"""Read the customers of a simulation for an export in chunks, so that they are never in memory all at once."""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Conflict
from billing_app.services.shared.permissions import require
from billing_app.services.simulations.rows import SimulatedRow
from billing_app.services.simulations.simulations import get_simulation

CHUNK_ROWS = 2_000
_ROWS = """
    SELECT s.customer_id, c.key, c.name, s.before_minor, s.after_minor, s.difference_minor
    FROM simulated_customer s JOIN customer c USING (customer_id)
    WHERE s.simulation_id = %s ORDER BY s.difference_minor DESC, s.customer_id DESC
"""


def read_simulated(session: Session, actor: Actor, simulation: str) -> Iterator[list[SimulatedRow]]:
    """Read every customer that `list_simulated` would list, the largest increase first.

    At most one chunk is held at a time. Read the chunks within the session's transaction.

    Raises:
        NotFound: `simulation_not_found`, when called.
        Conflict: `simulation_unfinished`, when called: some customers would be missing from the file.
    """
    require(actor, Permission.READ)
    row = get_simulation(session, actor, simulation)
    if row.status != "done":
        raise Conflict("simulation_unfinished", simulation=simulation)

    def chunks() -> Iterator[list[SimulatedRow]]:
        connection = driver_cursor(session).connection
        with connection.cursor("simulation_export") as db:
            db.execute(_ROWS, [row.simulation_id])
            while rows := db.fetchmany(CHUNK_ROWS):
                yield [SimulatedRow(*each[:3], *map(int, each[3:])) for each in rows]

    return chunks()
