"""Requests that schemathesis generates from the OpenAPI document, sent as each kind of caller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from billing_app.api.app import create_api
from billing_app.database.embedded import cluster
from tests.api.world import CALLERS, World, new_world

SCHEMA = schemathesis.openapi.from_asgi("/api/openapi.json", create_api())
# Checks of responses. The other checks require that exactly the requests that violate the schema are
# rejected, but our services have more rules than a schema can express.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@schemathesis.serializer("text/csv", "application/gzip")
def file_of(context: Any, value: Any) -> bytes:
    """Return random bytes as a file."""
    made = getattr(value, "data", value)
    return made if isinstance(made, bytes) else str(made).encode(errors="replace")


@pytest.fixture(scope="module")
def world(server: cluster.Server) -> Iterator[World]:
    with new_world(server) as made:
        yield made


@pytest.fixture(scope="module")
def signed_in() -> dict[str, dict[str, str]]:
    """The headers of each kind of caller, replaced when they become invalid."""
    return {}


@pytest.mark.parametrize("caller", CALLERS)
@SCHEMA.parametrize()
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_documented(
    case: Any, caller: str, world: World, signed_in: dict[str, dict[str, str]]
) -> None:
    if len(str(case.body)) % 2 == 0:
        # Half of the requests use things that exist.
        case.path_parameters = {name: world.places[name] for name in case.path_parameters}
    headers = signed_in.get(caller) or world.headers(caller)
    answer = case.call(headers=headers)
    case.validate_response(answer, checks=CHECKS)
    # Some requests under /auth end the session that they are sent with.
    ended = answer.status_code == 401 or "/auth/" in case.path
    signed_in[caller] = {} if ended else headers
