"""The API as one ASGI application, mounted at /api in front of the pages."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field
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
from billing_app.database.migrations import SchemaState, schema_state
from billing_app.database.outages import Outage, diagnose_outage
from billing_app.runtime import Runtime, current

VERSION_PREFIX = "/api/v1"

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
        api.include_router(router, prefix=VERSION_PREFIX)
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


class Health(BaseModel):
    """Whether the server can work."""

    status: Literal["ok", "failing"]
    database: Literal["ok", "unreachable"]
    migrations: Literal["ok", "behind", "ahead", "unknown"] = Field(
        description="`behind`: the schema is older than the server. `ahead`: the schema is newer."
    )
    detail: str | None = Field(description="What is wrong, or null when the status is `ok`.")


_OUTAGES = {
    Outage.STARTING: "The database server is starting or recovering.",
    Outage.DISK_FULL: "The database server is not running because its disk is full.",
    Outage.NOT_RUNNING: "The database server is not running or can't be reached.",
    Outage.REFUSING: "The database server refuses the connection.",
}
_SCHEMAS = {
    SchemaState.BEHIND: "The database's schema is older than this server. Run `billing migrate`.",
    SchemaState.UNKNOWN_REVISION: "The database's schema is newer than this server. Upgrade the server.",
}


def health(response: Response) -> Health:
    """Check the health of the server: 200, or 503 if the database is unreachable or its schema outdated."""
    found = _check_health(current())
    response.status_code = 200 if found.status == "ok" else 503
    return found


def _check_health(runtime: Runtime) -> Health:
    try:
        with runtime.database.engine.connect() as connection:
            schema = schema_state(connection)
    except (SQLAlchemyError, OSError):
        detail = _OUTAGES[diagnose_outage(runtime.database.url, runtime.settings.data_dir)]
        return Health(status="failing", database="unreachable", migrations="unknown", detail=detail)
    status: Literal["ok", "failing"] = "ok" if schema is SchemaState.CURRENT else "failing"
    return Health(status=status, database="ok", migrations=schema.value, detail=_SCHEMAS.get(schema))
