"""Translates violated constraints into refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import IntegrityError

from billing_app.errors import BillingError


@contextmanager
def refused_as(**refusals: BillingError) -> Iterator[None]:
    """Raise the refusal that is given for the name of the violated constraint.

    The database decides, so this is correct under concurrency. Other errors propagate. The transaction can't
    be used afterwards.
    """
    try:
        yield
    except IntegrityError as error:
        violated = error.orig.diag.constraint_name if isinstance(error.orig, psycopg.Error) else None
        if violated in refusals:
            raise refusals[violated] from error
        raise
