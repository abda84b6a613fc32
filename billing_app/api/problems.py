"""The one map from errors to answers of the API: RFC 9457 problem documents."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from billing_app.db import is_unavailable
from billing_app.errors import BillingError

logger = logging.getLogger(__name__)

_CODES = {
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take this method."),
    413: ("too_large", "The body is larger than 16 MiB."),
    415: ("unsupported_media_type", "The body must be application/json."),
}


class Problem(JSONResponse):
    """A problem document. Nothing in it comes from an exception that was not meant for callers."""

    media_type = "application/problem+json"

    def __init__(
        self, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        document = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
            **members,
        }
        super().__init__(document, status, headers)


def of_status(status: int, headers: dict[str, str] | None = None) -> Problem:
    """The problem for a plain HTTP refusal such as 404 or 405."""
    code, detail = _CODES.get(status, ("error", HTTPStatus(status).phrase))
    return Problem(status, code, detail, headers=headers)


def of_refusal(error: BillingError) -> Problem:
    """The problem for a refusal in the domain's words, with the facts to go on."""
    headers: dict[str, str] = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    members: dict[str, Any] = dict(error.facts)
    if error.errors:
        members["errors"] = [{"field": each.field, "message": each.message} for each in error.errors]
    return Problem(error.status, error.code, error.detail, headers=headers, **members)


def _of_payload(error: RequestValidationError) -> Problem:
    errors = [{"field": _field(each), "message": each["msg"]} for each in error.errors()]
    return Problem(422, "invalid", "The request is not as it should be.", errors=errors)


def _field(fault: Any) -> str:
    # For a body that is no JSON, the place is a position in its text.
    parts = () if fault["type"] == "json_invalid" else fault["loc"][1:]
    return ".".join(str(part) for part in parts) or "body"


def _of_bug(error: Exception) -> Problem:
    if is_unavailable(error):
        return Problem(503, "unavailable", "The database does not answer. Try again.")
    return Problem(500, "internal_error", "Something went wrong here; it has been logged.")


def add_to(api: FastAPI) -> None:
    """Have every error of `api` answered through this map."""

    @api.exception_handler(BillingError)
    def refused(request: Request, error: BillingError) -> Problem:
        return of_refusal(error)

    @api.exception_handler(RequestValidationError)
    def wrong_payload(request: Request, error: RequestValidationError) -> Problem:
        return _of_payload(error)

    @api.exception_handler(HTTPException)
    def refused_by_http(request: Request, error: HTTPException) -> Problem:
        return of_status(error.status_code, dict(error.headers or {}))

    @api.middleware("http")
    async def bug(request: Request, call_next: Any) -> Any:
        # A middleware and no handler for Exception: Starlette raises that one again after
        # answering, and the server would print the stack a second time.
        try:
            return await call_next(request)
        except Exception as error:
            logger.exception("unexpected error at %s %s", request.method, request.url.path)
            return _of_bug(error)
