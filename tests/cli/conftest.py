from __future__ import annotations

from tests.billing.conftest import shop

__all__ = ["shop"]
