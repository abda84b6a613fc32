"""Expect an error by its code, which is what callers rely on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from billing_app.errors import BillingError


@contextmanager
def refused(code: str, *, field: str | None = None) -> Iterator[pytest.ExceptionInfo[BillingError]]:
    """Assert that the block raises an error with this code about this field."""
    with pytest.raises(BillingError) as caught:
        yield caught
    assert caught.value.code == code
    if field is not None:
        assert [error.field for error in caught.value.errors] == [field]
