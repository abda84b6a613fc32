"""The OpenAPI document: what each endpoint may answer, said once for all of them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from billing_app.api.wire.codes import CODES
from billing_app.api.wire.examples import example_of
from billing_app.api.wire.problems import document

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. Some codes carry further members, named in their description.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people."},
        "code": {"type": "string", "description": "For programs; stable."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                    "index": {"type": "integer"},
                    "code": {"type": "string"},
                },
            },
        },
    },
}
_ANYWHERE = ("invalid", "internal_error", "unavailable")
_SIGNED_IN = ("invalid_token", "forbidden", "password_change_required")
_WITH_BODY = ("too_large", "unsupported_media_type", "request_timeout")
_DESCRIPTION = """
Usage in, invoices out. Money goes as decimal strings in major units with its currency,
quantities as decimal strings; neither ever passes through a float. Moments are RFC 3339 with an offset,
answered in UTC; a billing period is a calendar month in UTC, `2026-10`.

A customer is named by its id (`cus_12`) or its key, alike. Lists are paged by `limit` and `cursor`.
Every refusal is a problem document (RFC 9457) with a stable `code`, and has changed nothing.
"""
_TAGS = {
    "Authentication": "Signing in and out; one's own sessions and password.",
    "Usage": "Recording what customers used: each event counts once, however often it is sent.",
    "Customers": "Who is billed, and on which plan from which month.",
    "Plans": "Prices that never change once saved: a new price is a new version.",
    "Invoices": "What customers owe, immutable from the moment it exists; payments against it.",
    "Invoice runs": "A month's invoices for everyone, in the background.",
    "Verification": "Everything recomputed from events, plans and payments, and compared.",
    "Issuer": "Who bills.",
    "Users": "The people who may sign in.",
    "API tokens": "Credentials of machines.",
    "Audit": "Who did what, when, to what.",
    "Health": "",
}
# What stands in braces in a path.
_PATHS = {
    "customer": ("A customer's id or key.", "acme"),
    "plan": ("The id of one version of a plan.", "plan_1"),
    "number": ("An invoice's number, without case.", "ACME-0001"),
    "payment": ("A payment's id.", "pay_1"),
    "import": ("An import's id.", "imp_1"),
    "run": ("An invoice run's id.", "run_1"),
    "verification": ("A verification's id.", "ver_1"),
    "user": ("A user's id.", "usr_1"),
    "token": ("An API token's id.", "tok_1"),
    "session": ("The id of one of the caller's own sessions.", "c2Vzc2lvbg"),
}


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """For an endpoint's `responses`: what it refuses with, beyond what every endpoint does."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    return {status: {"x-codes": found} for status, found in by_status.items()}


def add_to(api: FastAPI) -> None:
    """Have `api` answer with the whole document, made once."""

    def whole() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _document(api)
        return api.openapi_schema

    api.openapi = whole  # type: ignore[method-assign]


def _document(api: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title="Tallybook",
        version=api.version,
        description=_DESCRIPTION.strip(),
        routes=api.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    for path in made["paths"].values():
        for method, operation in path.items():
            _complete(method, operation)
            _illustrate(operation, schemas)
            _name_places(operation)
    return made


def _illustrate(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Gives each body, in and out, an example."""
    for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in holder.get("content", {}).values():
            if "schema" in content and not content.keys() & {"example", "examples"}:
                content["example"] = example_of(content["schema"], schemas)


def _name_places(operation: dict[str, Any]) -> None:
    """Says what stands in each brace of the path."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["description"], parameter["example"] = _PATHS[parameter["name"]]


def _complete(method: str, operation: dict[str, Any]) -> None:
    """Adds what follows from how the endpoint is asked: by whom, with a body, with parameters."""
    codes = [*_ANYWHERE]
    responses: dict[str, Any] = operation["responses"]
    if responses.get("422", {}).get("description") == "Validation Error":
        del responses["422"]
    for response in responses.values():
        codes += response.pop("x-codes", [])
    if operation.get("security"):
        codes += _SIGNED_IN
        codes += [] if method == "get" else ["foreign_origin"]
    codes += _WITH_BODY if method in ("post", "put", "patch") else ()
    by_status: dict[str, list[str]] = {}
    for code in sorted(set(codes), key=lambda each: (CODES[each][0], each)):
        by_status.setdefault(str(CODES[code][0]), []).append(code)
    for status, found in by_status.items():
        if "content" not in responses.get(status, {}):
            responses[status] = _refusal(found) | _headers(status)
    operation["responses"] = dict(sorted(responses.items()))


def _refusal(codes: list[str]) -> dict[str, Any]:
    return {
        "description": "\n\n".join(f"`{code}`: {CODES[code][1]}" for code in codes),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"value": _example(code)} for code in codes},
            }
        },
    }


def _example(code: str) -> dict[str, Any]:
    status, sentence = CODES[code]
    members = {"errors": [{"field": "name", "message": "must not be empty"}]} if code == "invalid" else {}
    return document(status, code, sentence, **members)


def _headers(status: str) -> dict[str, Any]:
    """The headers that a status always comes with."""
    named = {
        "401": ("WWW-Authenticate", {"type": "string", "examples": ["Bearer"]}),
        "429": ("Retry-After", {"type": "integer", "description": "Seconds."}),
    }.get(status)
    return {"headers": {named[0]: {"schema": named[1]}}} if named else {}
