"""The API as one ASGI application, mounted at /api in front of the pages."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

from billing_app.api import (
    audit,
    auth,
    corrections,
    credit,
    customers,
    discounts,
    events,
    invoices,
    issuer,
    meters,
    one_off_items,
    payments,
    plans,
    runs,
    simulations,
    tokens,
    usage,
    usage_imports,
    users,
    verifications,
)
from billing_app.api.health import health_router
from billing_app.api.wire import docs, openapi, problems
from billing_app.api.wire.routing import ExactRoute

VERSION_PREFIX = "/api/v1"

# Requests are matched in this order, so the busiest resources come first.
ROUTERS = (
    usage.router,
    corrections.router,
    usage_imports.router,
    events.router,
    auth.signing_in,
    auth.router,
    customers.router,
    discounts.router,
    credit.router,
    one_off_items.router,
    plans.router,
    meters.router,
    invoices.router,
    payments.router,
    runs.router,
    simulations.router,
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
    public.include_router(health_router())

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
