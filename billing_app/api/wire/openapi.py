"""The OpenAPI document, completed with the responses that endpoints have in common."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from billing_app.api.wire.codes import CODES
from billing_app.api.wire.examples import example_of
from billing_app.api.wire.problems import document

_PROBLEM = {
    "type": "object",
    "description": "A problem document (RFC 9457). Some codes add fields, which their descriptions name.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "An explanation for people."},
        "code": {"type": "string", "description": "A stable code for programs."},
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
Record usage and generate invoices. Amounts of money are decimal strings in major units, with their currency.
Quantities are decimal strings. Both are exact. Timestamps are RFC 3339 with an offset and are returned in UTC.
A billing period is a calendar month in UTC, such as `2026-10`.

Wherever you name a customer, you can use its ID (`cus_12`) or its key. Lists are paginated with `limit` and
`cursor`. Unknown query parameters and unknown fields are rejected.

If you get no response, send the request again. Usage, corrections, payments, one-off items and refunds have a
key in the body that identifies them. Requests that create something else take the header `Idempotency-Key`. All
other requests have the same effect
when they are repeated; one with a `version` then returns 409 `stale` with the newer values.

Every error is a problem document (RFC 9457) with a stable `code`. A request that fails changes nothing, unless
its documentation says otherwise.
"""
_TAGS = {
    "Authentication": "Sign in and out, and manage your own sessions and password.",
    "Usage": "Record usage events and correct them. Each is counted once, however often you send it.",
    "Customers": "The customers you bill, and which plan each is on from which day.",
    "Meters": "What you meter, and how a month's events become one quantity.",
    "Plans": "Plans and their prices. A plan version never changes; a new price is a new version.",
    "Discounts": "Percentages and amounts that are taken off a customer's bills, month by month.",
    "One-off items": "What is charged or credited once, on the invoice of its month.",
    "Invoices": "Immutable invoices, and the payments recorded against them.",
    "Credit": "What invoices with a total below zero leave to apply to other invoices, or to refund.",
    "Invoice runs": "Generate the invoices of all customers for a month, in the background.",
    "Price simulations": "What a month would have cost under other prices.",
    "Verification": "Recompute every invoice from events, plans and discounts, and compare.",
    "Issuer": "Your company details, which invoices show.",
    "Users": "The people who can sign in.",
    "API tokens": "Credentials for programs.",
    "Audit": "A log of who did what, when, and to what.",
    "Health": "Whether the server and its database work.",
}
# The path parameters, with an example each.
_PATHS = {
    "customer": ("The ID or key of a customer.", "acme"),
    "plan": ("The ID of one version of a plan.", "plan_1"),
    "meter": ("The code of a meter.", "usage"),
    "number": ("The number of an invoice, in any case.", "ACME-0001"),
    "payment": ("The ID of a payment.", "pay_1"),
    "discount": ("The ID of a discount of the customer.", "disc_1"),
    "item": ("The ID of a one-off item.", "item_1"),
    "refund": ("The ID of a refund.", "ref_1"),
    "import": ("The ID of an import.", "imp_1"),
    "run": ("The ID of an invoice run.", "run_1"),
    "verification": ("The ID of a verification.", "ver_1"),
    "simulation": ("The ID of a price simulation.", "sim_1"),
    "user": ("The ID of a user.", "usr_1"),
    "token": ("The ID of an API token.", "tok_1"),
    "session": ("The ID of one of your own sessions.", "c2Vzc2lvbg"),
}


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return an endpoint's `responses` for these error codes, in addition to the common ones."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    return {status: {"x-codes": found} for status, found in by_status.items()}


def recorded_before(model: type[BaseModel], what: str) -> dict[int | str, dict[str, Any]]:
    """Return the response of an endpoint that records something once per idempotency key, to a retry."""
    description = f"The {what} was already recorded with this key. Nothing has changed."
    return {200: {"model": model, "description": description}}


def add_to(api: FastAPI) -> None:
    """Replace the OpenAPI document of `api` with the completed one, which is created once."""

    def completed() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _document(api)
        return api.openapi_schema

    api.openapi = completed  # type: ignore[method-assign]


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
            _add_examples(operation, schemas)
            _describe_path(operation)
    return made


def _add_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add an example to each request and response body."""
    for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in holder.get("content", {}).values():
            if "schema" in content and not content.keys() & {"example", "examples"}:
                content["example"] = example_of(content["schema"], schemas)


def _describe_path(operation: dict[str, Any]) -> None:
    """Describe the path parameters."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["description"], parameter["example"] = _PATHS[parameter["name"]]


def _complete(method: str, operation: dict[str, Any]) -> None:
    """Add the errors that follow from the endpoint's method, authentication and body."""
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
    """Return the headers that every response with this status has."""
    named = {
        "401": ("WWW-Authenticate", {"type": "string", "examples": ["Bearer"]}),
        "429": ("Retry-After", {"type": "integer", "description": "Seconds."}),
        "503": ("Retry-After", {"type": "integer", "description": "Seconds."}),
    }.get(status)
    return {"headers": {named[0]: {"schema": named[1]}}} if named else {}
