"""The API as one ASGI application, and where it stands before the pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from billing_app.api import (
    audit,
    auth,
    customers,
    events,
    invoices,
    issuer,
    payments,
    plans,
    runs,
    tokens,
    usage,
    usage_imports,
    users,
    verifications,
)
from billing_app.api.wire import docs, openapi, problems
from billing_app.database.migrations import is_current
from billing_app.runtime import current

Scope = MutableMapping[str, Any]
ASGIApp = Callable[[Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[None]]], Awaitable[None]]

# Looked through in this order: what is asked most comes first.
ROUTERS = (
    usage.router,
    usage_imports.router,
    events.router,
    auth.signing_in,
    auth.router,
    customers.router,
    plans.router,
    invoices.router,
    payments.router,
    runs.router,
    verifications.router,
    issuer.router,
    users.router,
    tokens.router,
    audit.router,
)


def create_api() -> FastAPI:
    """The API under /api, with every error answered as a problem document."""
    api = FastAPI(
        title="Tallybook",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    problems.add_to(api)
    openapi.add_to(api)
    for router in ROUTERS:
        api.include_router(router, prefix="/api/v1")
    api.add_api_route(
        "/api/health",
        health,
        methods=["GET"],
        tags=["Health"],
        summary="Whether the database answers and its schema is the newest",
        responses={503: {"model": Health, "description": "One of the two is not so."}},
    )

    @api.get("/api/docs", include_in_schema=False)
    def docs_page() -> HTMLResponse:
        return HTMLResponse(docs.render(api.openapi()))

    return api


def before_pages(api: ASGIApp) -> Callable[[ASGIApp], ASGIApp]:
    """Sends all of /api to `api` and the rest to the pages.

    Not a mount: below one, an unknown path of the API would fall through to the pages, and a
    catch-all would turn its 405s into 404s.
    """

    def transform(pages: ASGIApp) -> ASGIApp:
        async def dispatch(scope: Scope, receive: Any, send: Any) -> None:
            path = scope.get("path", "")
            ours = scope["type"] == "http" and (path == "/api" or path.startswith("/api/"))
            await (api if ours else pages)(scope, receive, send)

        return dispatch

    return transform


class Health(BaseModel):
    """What works, and what does not."""

    status: Literal["ok", "failing"]
    database: Literal["ok", "unreachable"]
    migrations: Literal["ok", "behind", "unknown"]


def health(response: Response) -> Health:
    """200 when the database answers and its schema is the newest, else 503 saying which is not."""
    found = _health()
    response.status_code = 200 if found.status == "ok" else 503
    return found


def _health() -> Health:
    try:
        with current().database.engine.connect() as connection:
            if is_current(connection):
                return Health(status="ok", database="ok", migrations="ok")
            return Health(status="failing", database="ok", migrations="behind")
    except (SQLAlchemyError, OSError):
        return Health(status="failing", database="unreachable", migrations="unknown")
