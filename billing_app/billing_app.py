"""The composition root: the pages, who may see them, the API before them, the guard around all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import reflex as rx
from reflex.app import default_error_boundary

from billing_app.api.app import before_pages, create_api
from billing_app.db import Database, configure_database, get_database
from billing_app.jobs import background
from billing_app.page_files import ASGIApp, PageFiles
from billing_app.pages_plugin import DEV_BACKEND
from billing_app.provision import provisioned
from billing_app.settings import get_settings
from billing_app.state.account import AccountState
from billing_app.state.audit import AuditState
from billing_app.state.customer import CustomerState
from billing_app.state.customers import CustomersState
from billing_app.state.dashboard import DashboardState
from billing_app.state.errors import on_page_error
from billing_app.state.guard import SocketGuard
from billing_app.state.invoice import InvoiceState
from billing_app.state.invoice_runs import InvoiceRunsState
from billing_app.state.invoices import InvoicesState
from billing_app.state.issuer import IssuerState
from billing_app.state.login import LoginState
from billing_app.state.password import PasswordState
from billing_app.state.plans import PlansState
from billing_app.state.session import SessionState
from billing_app.state.tokens import TokensState
from billing_app.state.usage import UsageState
from billing_app.state.usage_imports import UsageImportsState, UsageImportState
from billing_app.state.users import UsersState
from billing_app.state.verify import VerifyState
from billing_app.ui.layout import toaster
from billing_app.ui.pages.account import account
from billing_app.ui.pages.audit import audit
from billing_app.ui.pages.customer import customer
from billing_app.ui.pages.customers import customers
from billing_app.ui.pages.dashboard import dashboard
from billing_app.ui.pages.invoice import invoice
from billing_app.ui.pages.invoices import invoices
from billing_app.ui.pages.login import login
from billing_app.ui.pages.lost import not_found
from billing_app.ui.pages.password import password
from billing_app.ui.pages.plans import plans
from billing_app.ui.pages.settings import settings
from billing_app.ui.pages.tokens import tokens
from billing_app.ui.pages.usage import usage
from billing_app.ui.pages.usage_import import usage_import
from billing_app.ui.pages.usage_imports import usage_imports
from billing_app.ui.pages.users import users
from billing_app.ui.pages.verify import verify

ENTER = SessionState.enter
# Compiled pages are public: nothing that only some may see is in them, and each handler asks who
# is there. What runs first here only leads people to the sign-in page.
PAGES: tuple[tuple[str, Callable[[], rx.Component], str, Any], ...] = (
    ("/", dashboard, "Dashboard · Tallybook", [ENTER, DashboardState.load]),
    ("/login", login, "Sign in · Tallybook", LoginState.load),
    ("/password", password, "Password · Tallybook", PasswordState.load),
    ("/customers", customers, "Customers · Tallybook", [ENTER, CustomersState.load]),
    ("/customers/[key]", customer, "Customer · Tallybook", [ENTER, CustomerState.load]),
    ("/plans", plans, "Plans · Tallybook", [ENTER, PlansState.load]),
    ("/usage", usage, "Usage · Tallybook", [ENTER, UsageState.load]),
    ("/usage/imports", usage_imports, "Imports · Tallybook", [ENTER, UsageImportsState.load]),
    ("/usage/imports/[usage_import]", usage_import, "Import · Tallybook", [ENTER, UsageImportState.load]),
    ("/invoices", invoices, "Invoices · Tallybook", [ENTER, InvoicesState.load, InvoiceRunsState.load]),
    ("/invoices/[number]", invoice, "Invoice · Tallybook", [ENTER, InvoiceState.load]),
    ("/verify", verify, "Verify · Tallybook", [ENTER, VerifyState.load]),
    ("/audit", audit, "Audit · Tallybook", [ENTER, AuditState.load]),
    ("/settings", settings, "Settings · Tallybook", [ENTER, IssuerState.load]),
    ("/settings/account", account, "Your account · Tallybook", [ENTER, AccountState.load]),
    ("/settings/tokens", tokens, "API tokens · Tallybook", [ENTER, TokensState.load]),
    ("/users", users, "Users · Tallybook", [ENTER, UsersState.load]),
    ("404", not_found, "Not found · Tallybook", None),
)
if DEV_BACKEND in os.environ:
    # `make dev`: every part of the pages on one, for who works on them.
    from billing_app.ui.pages.design import design

    PAGES = (*PAGES, ("/design", design, "Design · Tallybook", ENTER))


def page_files(pages: ASGIApp) -> ASGIApp:
    """The pages as files, each page without parameters under its one address."""
    return PageFiles(pages, frozenset(route for route, *_ in PAGES if "[" not in route and len(route) > 1))


def head() -> list[rx.Component]:
    """What every page loads before anything else, all of it from here."""
    return [
        rx.el.script(src="/app.js"),
        rx.el.link(rel="icon", href="/favicon.svg", type="image/svg+xml"),
        rx.el.link(
            rel="preload",
            href="/fonts/inter-latin.woff2",
            type="font/woff2",
            custom_attrs={"as": "font", "crossOrigin": "anonymous"},
        ),
    ]


with_api = before_pages(create_api())

app = rx.App(
    api_transformer=[page_files, SocketGuard, with_api],
    backend_exception_handler=on_page_error,
    stylesheets=["/app.css"],
    head_components=head(),
    toaster=toaster(),
    # Without Reflex's own connection toast: the frame says it, and names no address.
    app_wraps={(55, "ErrorBoundary"): lambda stateful: default_error_boundary()},
    html_lang="en",
)


def open_database() -> None:
    """Give a process that was started by Reflex itself (the development server) its database."""
    try:
        get_database()
    except RuntimeError:
        with provisioned(get_settings()) as urls:
            configure_database(Database(urls.application))


@asynccontextmanager
async def background_work() -> AsyncIterator[None]:
    """Have this process go on with the invoice runs and verifications that are under way."""
    background.start(get_database())
    try:
        yield
    finally:
        background.stop()


app.register_lifespan_task(open_database)
app.register_lifespan_task(background_work)
for _route, _page, _title, _on_load in PAGES:
    app.add_page(_page, route=_route, title=_title, on_load=_on_load)
