"""What the files of the schema share: column types, checks, and what a subject consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa
from alembic import op

TIMESTAMP = sa.DateTime(timezone=True)
# Numbers that Tallybook computes have a fixed precision. Numbers that a caller enters don't: a
# column with a scale would round extra decimals before any CHECK could reject them.
ENTERED_NUMBER = sa.Numeric()
MINOR_UNITS = sa.Numeric(38, 0)
QUANTITY = sa.Numeric(38, 6)
EXACT_AMOUNT = sa.Numeric(60, 18)

# Every function sets its search path, so that a temporary table with the name of one of our tables is never
# read instead.
PLPGSQL = "LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp"


@dataclass(frozen=True, slots=True)
class Subject:
    """Tables that belong together, with their indexes, functions and triggers."""

    tables: tuple[str, ...] = ()
    """In an order in which every table follows the tables that it refers to."""

    steps: tuple[Callable[[], None], ...] = ()
    """Create the tables, and then their indexes."""

    functions: Mapping[str, str] = field(default_factory=dict)
    """Definitions by signature, which is what DROP FUNCTION needs."""

    triggers: tuple[str, ...] = ()

    def create(self) -> None:
        """Create everything, after the subjects that the tables refer to."""
        for step in self.steps:
            step()
        for definition in (*self.functions.values(), *self.triggers):
            op.execute(definition)

    def drop(self) -> None:
        """Drop everything, before the subjects that the tables refer to."""
        for table in reversed(self.tables):
            op.drop_table(table)
        for signature in self.functions:
            op.execute(f"DROP FUNCTION {signature}")


def checks(rules: Mapping[str, str]) -> list[sa.CheckConstraint]:
    """Return the constraints with these names and rules."""
    return [sa.CheckConstraint(rule, name=op.f(name)) for name, rule in rules.items()]


def digits(column: str, integer_digits: int, decimals: int) -> str:
    """Return the rule for a number of zero or more that fits these digits. NaN and infinity do not."""
    return f"{column} >= 0 AND {column} < 1e{integer_digits} AND scale({column}) <= {decimals}"
