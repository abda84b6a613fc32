"""Map every error to a response of the API: a problem document (RFC 9457)."""

from __future__ import annotations

import json
import logging
import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_app.api.wire.codes import CODES, OF_STATUS
from billing_app.api.wire.values import wire_facts
from billing_app.database.session import is_read_only, is_unavailable
from billing_app.domain.rules import BrokenRule
from billing_app.errors import BillingError, FieldError
from billing_app.runtime import current
from billing_app.wording.refusals import refusal_sentence
from billing_app.wording.rules import rule_text

logger = logging.getLogger(__name__)

# How long a caller should wait before it tries again while the database is away.
OUTAGE_RETRY_SECONDS = 5


class Problem(JSONResponse):
    """A problem document. It never contains details of unexpected exceptions."""

    media_type = "application/problem+json"

    def __init__(
        self, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(document(status, code, detail, **members), status, headers)

    def render(self, content: Any) -> bytes:
        """Encode as ASCII, so that any input can be quoted, even an unpaired surrogate."""
        return json.dumps(content, allow_nan=False).encode()


def document(status: int, code: str, detail: str, **members: Any) -> dict[str, Any]:
    """Return the members of a problem document: the standard ones, then ours."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **members,
    }


def of_status(status: int, headers: dict[str, str] | None = None, *, detail: str | None = None) -> Problem:
    """Return the problem for an error of the HTTP layer, such as 404 or 405."""
    code = OF_STATUS.get(status, "bad_request")
    return Problem(status, code, detail or CODES[code][1], headers=headers)


def of_refusal(error: BillingError) -> Problem:
    """Return the problem for an error that a service raised, with the facts that callers may need."""
    headers: dict[str, str] = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    members = wire_facts({name: value for name, value in error.facts.items() if name != "reason"})
    if error.errors:
        members["errors"] = [{"field": each.field, "message": rule_text(each)} for each in error.errors]
    return Problem(error.status, error.code, refusal_sentence(error), headers=headers, **members)


def of_payload(error: RequestValidationError) -> Problem:
    """Return the problem for a malformed request, naming each field and its rule."""
    errors = [{"field": _field(each), "message": _message(each)} for each in error.errors()]
    return Problem(422, "invalid", "The request is invalid. See `errors`.", errors=errors)


def _field(fault: Any) -> str:
    # In a body that is not JSON, the location is a position in the text.
    parts = () if fault["type"] == "json_invalid" else fault["loc"][1:]
    return ".".join(str(part) for part in parts) or "body"


def _message(fault: Any) -> str:
    if fault["type"] == "json_invalid":
        return f"must be JSON: {fault['ctx']['error']}"
    if fault["type"] == "extra_forbidden":
        return "is not a field of this request"
    if isinstance(broken := fault.get("ctx", {}).get("error"), BrokenRule):
        return rule_text(FieldError("", broken.rule, broken.facts))
    return str(fault["msg"])


def of_unexpected_error(error: Exception) -> Problem:
    """Return the problem for an unexpected error, whose details are only logged.

    It is `forbidden` if the database rejected a write because the actor can only read.
    """
    code, headers = "internal_error", dict[str, str]()
    if is_unavailable(error):
        code, headers = "unavailable", {"Retry-After": str(OUTAGE_RETRY_SECONDS)}
    elif is_read_only(error):
        code = "forbidden"
    return Problem(CODES[code][0], code, CODES[code][1], headers=headers)


def report_unexpected_error(error: Exception) -> Problem:
    """Log an unexpected error of the request that is being answered, and return its problem."""
    if is_unavailable(error):
        current().database.outages.report("a request", error)
    else:
        # The line of the request names its route. An address contains names and keys.
        logger.error("Unexpected error in a request", exc_info=error)
    return of_unexpected_error(error)


def add_to(api: FastAPI) -> None:
    """Make `api` respond to every error with a problem document."""

    @api.exception_handler(BillingError)
    def refused(request: Request, error: BillingError) -> Problem:
        return of_refusal(error)

    @api.exception_handler(RequestValidationError)
    def wrong_payload(request: Request, error: RequestValidationError) -> Problem:
        return of_payload(error)

    @api.exception_handler(HTTPException)
    def refused_by_http(request: Request, error: HTTPException) -> Problem:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The router names the methods of only one of the routes at the address.
            headers["Allow"] = ", ".join(_methods_at(api, request.url.path)) or headers["Allow"]
        return of_status(error.status_code, headers)

    api.add_middleware(UnexpectedErrors)


def _methods_at(api: FastAPI, path: str) -> list[str]:
    """Return the methods that an address supports."""
    found = {
        method.upper()
        for template, methods in api.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path)
        for method in methods
    }
    return sorted(found)


class UnexpectedErrors:
    """ASGI middleware that logs unexpected errors and responds to them.

    This can't be an exception handler, because Starlette raises the exception again after the handler's
    response, and the server would log it a second time.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal is_started
            is_started = is_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:
            answer = report_unexpected_error(error)
            if is_started:
                # The response is incomplete. Breaking the connection signals that to the client.
                raise
            await answer(scope, receive, send)
