"""Unique violations in the domain's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import IntegrityError

from billing_app.errors import BillingError


@contextmanager
def refused_as(**refusals: BillingError) -> Iterator[None]:
    """Raises the refusal that is named after the violated constraint, any other error as it is.

    The database judges, so it holds under races too. The transaction is over afterwards.
    """
    try:
        yield
    except IntegrityError as error:
        violated = error.orig.diag.constraint_name if isinstance(error.orig, psycopg.Error) else None
        if violated in refusals:
            raise refusals[violated] from error
        raise
