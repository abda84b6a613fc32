"""The one map from errors to answers of the API: RFC 9457 problem documents."""

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


class Problem(JSONResponse):
    """A problem document. Nothing in it comes from an exception that was not meant for callers."""

    media_type = "application/problem+json"

    def __init__(
        self, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(document(status, code, detail, **members), status, headers)

    def render(self, content: Any) -> bytes:
        """As ASCII: what a caller sent, half a surrogate pair even, can be told back."""
        return json.dumps(content, allow_nan=False).encode()


def document(status: int, code: str, detail: str, **members: Any) -> dict[str, Any]:
    """The members of a problem document (RFC 9457), ours after the standard's."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **members,
    }


def of_status(status: int, headers: dict[str, str] | None = None, *, detail: str | None = None) -> Problem:
    """The problem for a plain HTTP refusal such as 404 or 405."""
    code = OF_STATUS.get(status, "bad_request")
    return Problem(status, code, detail or CODES[code][1], headers=headers)


def of_refusal(error: BillingError) -> Problem:
    """The problem for a refusal in the domain's words, with the facts to go on."""
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
    """The problem for a request of the wrong shape, naming each field and its rule."""
    errors = [{"field": _field(each), "message": _message(each)} for each in error.errors()]
    return Problem(422, "invalid", "The request is not as it should be.", errors=errors)


def _field(fault: Any) -> str:
    # For a body that is no JSON, the place is a position in its text.
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


def of_bug(error: Exception) -> Problem:
    """The problem for whatever nobody expected; what it was is in the log only.

    A service that forgot to ask whether the actor may write is one: the database has refused.
    """
    code = "internal_error"
    if is_unavailable(error):
        code = "unavailable"
    elif is_read_only(error):
        code = "forbidden"
    return Problem(CODES[code][0], code, CODES[code][1])


def add_to(api: FastAPI) -> None:
    """Have every error of `api` answered through this map."""

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
            # The router names the methods of the first route that fits, of several at an address.
            headers["Allow"] = ", ".join(_methods_at(api, request.url.path)) or headers["Allow"]
        return of_status(error.status_code, headers)

    api.add_middleware(Bugs)


def _methods_at(api: FastAPI, path: str) -> list[str]:
    """The methods that an address takes."""
    found = {
        method.upper()
        for template, methods in api.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path)
        for method in methods
    }
    return sorted(found)


class Bugs:
    """ASGI middleware: answers what nobody expected.

    A middleware and no handler for Exception: Starlette raises that one again after answering,
    and the server would print the stack a second time.
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
            if is_unavailable(error):
                current().database.outages.report("a request", error)
            else:
                logger.exception("unexpected error at %s %s", scope.get("method"), scope.get("path"))
            if is_started:
                # Half an answer can't be taken back: the connection breaks, and the client knows.
                raise
            await of_bug(error)(scope, receive, send)
