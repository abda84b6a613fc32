from __future__ import annotations

import pytest

from billing_app.db import Database
from billing_app.domain.actor import Actor
from tests.billing.shop import Shop


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    return Shop(database, admin)
