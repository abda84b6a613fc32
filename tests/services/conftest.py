from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _use_fast_hashes(fast_hashes: None) -> None:
    """Nearly every test here creates users."""
