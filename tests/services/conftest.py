from __future__ import annotations

from collections.abc import Iterator

import pytest

from billing_app.services import passwords


@pytest.fixture(autouse=True)
def fast_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """bcrypt at its lowest cost: the tests are about who is let in, not how long it takes."""
    monkeypatch.setattr(passwords, "COST", 4)
    passwords.hash_of_nothing.cache_clear()
    yield
    passwords.hash_of_nothing.cache_clear()
