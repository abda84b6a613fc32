"""The API as one ASGI application, mounted at /api in front of the pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse
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
from billing_app.api.wire.routing import ExactRoute
from billing_app.database.migrations import is_current
from billing_app.runtime import current

Scope = MutableMapping[str, Any]
ASGIApp = Callable[[Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[None]]], Awaitable[None]]

# Requests are matched in this order, so the busiest resources come first.
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
    """Create the API. It answers every error with a problem document."""
    api = FastAPI(
        title="Tallybook",
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    problems.add_to(api)
    openapi.add_to(api)
    for router in ROUTERS:
        api.include_router(router, prefix="/api/v1")
    public = APIRouter(prefix="/api", route_class=ExactRoute)
    public.add_api_route(
        "/health",
        health,
        tags=["Health"],
        responses={503: {"model": Health, "description": "The database or its schema is not ready."}},
    )

    @public.get("/openapi.json", include_in_schema=False)
    def openapi_document() -> JSONResponse:
        """Return the OpenAPI document."""
        return JSONResponse(api.openapi())

    @public.get("/docs", include_in_schema=False)
    def docs_page() -> HTMLResponse:
        """Show the documentation page."""
        return HTMLResponse(docs.render(api.openapi()))

    api.include_router(public)
    return api


def before_pages(api: ASGIApp) -> Callable[[ASGIApp], ASGIApp]:
    """Send every request under /api to `api`, and the rest to the pages.

    This is not a Starlette mount: unknown API paths would fall through to the pages, and a
    catch-all route would answer 404 where 405 is right.
    """

    def transform(pages: ASGIApp) -> ASGIApp:
        async def dispatch(scope: Scope, receive: Any, send: Any) -> None:
            path = scope.get("path", "")
            is_api = scope["type"] == "http" and (path == "/api" or path.startswith("/api/"))
            await (api if is_api else pages)(scope, receive, send)

        return dispatch

    return transform


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok", "failing"]
    database: Literal["ok", "unreachable"]
    migrations: Literal["ok", "behind", "unknown"]


def health(response: Response) -> Health:
    """Check the server's health.

    Answers 200 if the database responds and its schema is up to date, and 503 otherwise.
    """
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
