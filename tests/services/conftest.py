from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _quick(fast_hashes: None) -> None:
    """Users are made in nearly every test here."""
