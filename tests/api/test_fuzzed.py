"""Requests of every shape, made by schemathesis out of the OpenAPI document, as each kind of caller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from billing_app.api.app import create_api
from billing_app.database.embedded import cluster
from tests.api.world import CALLERS, World, founded

SCHEMA = schemathesis.openapi.from_asgi("/api/openapi.json", create_api())
# What the document promises of answers. The other checks ask that a request is refused when the
# schema says so, and only then: our services' rules say more than a schema can.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@schemathesis.serializer("text/csv", "application/gzip")
def file_of(context: Any, value: Any) -> bytes:
    """The bytes of a file, whatever they are."""
    made = getattr(value, "data", value)
    return made if isinstance(made, bytes) else str(made).encode(errors="replace")


@pytest.fixture(scope="module")
def world(server: cluster.Server) -> Iterator[World]:
    with founded(server) as made:
        yield made


@pytest.fixture(scope="module")
def signed_in() -> dict[str, dict[str, str]]:
    """The headers of each kind of caller, while they are good."""
    return {}


@pytest.mark.parametrize("caller", CALLERS)
@SCHEMA.parametrize()
@settings(
    max_examples=10,
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
        # Half of them at things that are there.
        case.path_parameters = {name: world.places[name] for name in case.path_parameters}
    headers = signed_in.get(caller) or world.headers(caller)
    answer = case.call(headers=headers)
    case.validate_response(answer, checks=CHECKS)
    # Of what is under /auth some ends the session that it came with.
    ended = answer.status_code == 401 or "/auth/" in case.path
    signed_in[caller] = {} if ended else headers
