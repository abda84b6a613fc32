"""The composition root: combines the pages, their states, the API and the runtime into a server
application."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import reflex as rx
from reflex.app import default_error_boundary
from reflex.utils.prerequisites import get_web_dir
from starlette.types import ASGIApp

from billing_app.api.app import create_api
from billing_app.server.lifespan import finish_application, running
from billing_app.server.middleware.stack import ApiBeforePages, wrap_pages
from billing_app.server.page_build import DEV_BACKEND
from billing_app.state.kit.errors import on_page_error
from billing_app.state.kit.session import SessionState
from billing_app.state.pages.account import AccountState
from billing_app.state.pages.audit import AuditState
from billing_app.state.pages.customer import CustomerState
from billing_app.state.pages.customers import CustomersState
from billing_app.state.pages.dashboard import DashboardState
from billing_app.state.pages.getting_started import GettingStartedState
from billing_app.state.pages.invoice import InvoiceState
from billing_app.state.pages.invoice_runs import InvoiceRunsState
from billing_app.state.pages.invoices import InvoicesState
from billing_app.state.pages.issuer import IssuerState
from billing_app.state.pages.login import LoginState
from billing_app.state.pages.meters import MetersState
from billing_app.state.pages.password import PasswordState
from billing_app.state.pages.plans import PlansState
from billing_app.state.pages.simulate import SimulateState
from billing_app.state.pages.tokens import TokensState
from billing_app.state.pages.usage import UsageState
from billing_app.state.pages.usage_imports import UsageImportsState, UsageImportState
from billing_app.state.pages.users import UsersState
from billing_app.state.pages.verify import VerifyState
from billing_app.ui.kit.layout import toaster
from billing_app.ui.pages.account import account
from billing_app.ui.pages.audit import audit
from billing_app.ui.pages.customer import customer
from billing_app.ui.pages.customers import customers
from billing_app.ui.pages.dashboard import dashboard
from billing_app.ui.pages.invoice import invoice
from billing_app.ui.pages.invoices import invoices
from billing_app.ui.pages.login import login
from billing_app.ui.pages.lost import not_found
from billing_app.ui.pages.meters import meters
from billing_app.ui.pages.password import password
from billing_app.ui.pages.plans import plans
from billing_app.ui.pages.settings import settings
from billing_app.ui.pages.simulate import simulate
from billing_app.ui.pages.tokens import tokens
from billing_app.ui.pages.usage import usage
from billing_app.ui.pages.usage_import import usage_import
from billing_app.ui.pages.usage_imports import usage_imports
from billing_app.ui.pages.users import users
from billing_app.ui.pages.verify import verify

ENTER = SessionState.enter
# Compiled pages are public: they contain no data, and every handler authenticates its caller. The first
# handler of a page only redirects visitors to the sign-in page.
PAGES: tuple[tuple[str, Callable[[], rx.Component], str, Any], ...] = (
    ("/", dashboard, "Dashboard · Tallybook", [ENTER, GettingStartedState.load, DashboardState.load]),
    ("/login", login, "Sign in · Tallybook", LoginState.load),
    ("/password", password, "Password · Tallybook", PasswordState.load),
    ("/customers", customers, "Customers · Tallybook", [ENTER, CustomersState.load]),
    ("/customers/[key]", customer, "Customer · Tallybook", [ENTER, CustomerState.load]),
    ("/plans", plans, "Plans · Tallybook", [ENTER, PlansState.load]),
    ("/plans/meters", meters, "Meters · Tallybook", [ENTER, MetersState.load]),
    ("/plans/simulate", simulate, "Price simulation · Tallybook", [ENTER, SimulateState.load]),
    ("/usage", usage, "Usage · Tallybook", [ENTER, UsageState.load]),
    ("/usage/imports", usage_imports, "Imports · Tallybook", [ENTER, UsageImportsState.load]),
    ("/usage/imports/[usage_import]", usage_import, "Import · Tallybook", [ENTER, UsageImportState.load]),
    ("/invoices", invoices, "Invoices · Tallybook", [ENTER, InvoicesState.load, InvoiceRunsState.load]),
    ("/invoices/[number]", invoice, "Invoice · Tallybook", [ENTER, InvoiceState.load]),
    ("/verify", verify, "Verification · Tallybook", [ENTER, VerifyState.load]),
    ("/audit", audit, "Audit log · Tallybook", [ENTER, AuditState.load]),
    ("/settings", settings, "Settings · Tallybook", [ENTER, IssuerState.load]),
    ("/settings/account", account, "Your account · Tallybook", [ENTER, AccountState.load]),
    ("/settings/tokens", tokens, "API tokens · Tallybook", [ENTER, TokensState.load]),
    ("/users", users, "Users · Tallybook", [ENTER, UsersState.load]),
    ("404", not_found, "Not found · Tallybook", None),
)
if DEV_BACKEND in os.environ:
    # With `make dev`, this page shows every component.
    from billing_app.ui.pages.design import design

    PAGES = (*PAGES, ("/design", design, "Design · Tallybook", ENTER))


# In this order, and before Reflex's own scripts: the first one drops a token that belongs to another session.
SCRIPTS = ("session", "connection", "forms", "dialogs", "navigation", "uploads")


def head() -> list[rx.Component]:
    """Return the scripts and styles that every page loads, all from this server."""
    return [
        *[rx.el.script(src=f"/js/{name}.js") for name in SCRIPTS],
        rx.el.link(rel="icon", href="/favicon.svg", type="image/svg+xml"),
        rx.el.link(
            rel="preload",
            href="/fonts/inter-latin.woff2",
            type="font/woff2",
            custom_attrs={"as": "font", "crossOrigin": "anonymous"},
        ),
    ]


def with_pages(pages: ASGIApp) -> ASGIApp:
    """Wrap Reflex's application as the pages."""
    routes = frozenset(route for route, *_ in PAGES if "[" not in route and len(route) > 1)
    return wrap_pages(pages, routes)


def with_api(pages: ASGIApp) -> ASGIApp:
    """Put the API before the pages."""
    return ApiBeforePages(API, pages)


API = create_api()

app = rx.App(
    api_transformer=[with_pages, with_api],
    backend_exception_handler=on_page_error,
    stylesheets=["/app.css"],
    head_components=head(),
    toaster=toaster(),
    # Without Reflex's connection toast, which shows an internal address. The frame of the page shows the
    # state.
    app_wraps={(55, "ErrorBoundary"): lambda stateful: default_error_boundary()},
    html_lang="en",
)


app.register_lifespan_task(running)
for _route, _page, _title, _on_load in PAGES:
    app.add_page(_page, route=_route, title=_title, on_load=_on_load)


def create_asgi() -> ASGIApp:
    """Build the application of a serving process, whose pages are already compiled."""
    # The API precedes Reflex's own layers, which would take a quarter of a request's time.
    return finish_application(with_api(app()), get_web_dir() / "build" / "client")
