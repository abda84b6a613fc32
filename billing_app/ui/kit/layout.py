"""The frame of every page for signed-in users: navigation, top bar and content."""

from __future__ import annotations

from typing import Any, NamedTuple

import reflex as rx
from reflex.style import color_mode, set_color_mode

from billing_app.state.kit.session import SessionState
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, icon, link
from billing_app.ui.kit.brand import wordmark
from billing_app.ui.kit.buttons import admins_only
from billing_app.ui.kit.filters import shortcut

DRAWER = "navigation"


class Section(NamedTuple):
    """An entry of the navigation. Its icon is one of lucide."""

    title: str
    path: str
    icon: str
    admins_only: bool = False


SECTIONS = (
    Section("Dashboard", "/", "layout-dashboard"),
    Section("Customers", "/customers", "users"),
    Section("Plans", "/plans", "layers"),
    Section("Usage", "/usage", "activity"),
    Section("Invoices", "/invoices", "receipt-text"),
    Section("Verification", "/verify", "shield-check"),
    Section("Audit log", "/audit", "scroll-text"),
    Section("Settings", "/settings", "settings"),
    Section("Users", "/users", "user-cog", admins_only=True),
)
THEMES = (("Light", "light", "sun"), ("Dark", "dark", "moon"), ("System", "system", "monitor"))

_NAV_LINK = (
    "flex h-8 items-center gap-2.5 rounded-md px-2.5 text-sm font-medium transition-colors duration-100"
)
_NAV_CURRENT = f"{_NAV_LINK} bg-hover text-ink"
_NAV_OTHER = f"{_NAV_LINK} text-soft hover:bg-hover hover:text-ink"
_THEME = "inline-flex size-6 items-center justify-center rounded transition-colors duration-100"
_THEME_CURRENT = f"{_THEME} bg-raised text-ink shadow-[0_0_0_1px_var(--line-strong)]"
_THEME_OTHER = f"{_THEME} text-faint hover:text-ink"


class Arrivals(rx.Fragment):  # type: ignore[misc]
    """Reports every navigation to assets/js/navigation.js, together with the router's navigate function."""

    def add_imports(self) -> Any:
        """Import the router's hooks and React's."""
        return {"react-router": ["useLocation", "useNavigate"], "react": ["useEffect"]}

    def add_hooks(self) -> list[str]:
        """Report after each arrival."""
        return [
            "const arrivedAt = useLocation();",
            "const navigateByRouter = useNavigate();",
            "useEffect(() => { window.tallybook.arrived(navigateByRouter); }, [arrivedAt, navigateByRouter]);",
        ]


def page(title: Text, section: str, *content: rx.Component, above: Any = None) -> rx.Component:
    """Create a page of a section. `above` is a link to the page above it, shown before the title."""
    return rx.el.div(
        Arrivals.create(),
        rx.el.a(
            "Skip to content",
            href="#content",
            class_name="sr-only focus:not-sr-only focus:fixed focus:left-3 focus:top-3 focus:z-50"
            " focus:rounded-md focus:bg-raised focus:px-3 focus:py-2 focus:text-sm",
        ),
        _sidebar(section),
        _drawer(section),
        rx.el.div(
            _top_bar(title, above),
            _connection_lost(),
            rx.el.main(
                *content,
                id="content",
                tab_index=-1,
                class_name="w-full outline-none max-w-7xl px-4 py-5 md:px-8 md:py-7 print:max-w-none print:p-0",
            ),
            class_name="flex min-w-0 flex-1 flex-col",
        ),
        class_name="flex min-h-screen bg-ground text-ink",
    )


def _sidebar(section: str) -> rx.Component:
    return rx.el.div(
        rx.el.div(
            link(wordmark(), "/", "rounded-md", aria_label="Tallybook dashboard"),
            class_name="px-2.5 pb-5 pt-1",
        ),
        _navigation(section),
        class_name="sticky top-0 hidden h-screen w-56 shrink-0 flex-col border-r border-line bg-sunken"
        " px-3 py-4 md:flex print:hidden",
    )


def _navigation(section: str) -> rx.Component:
    return rx.el.nav(
        *[
            admins_only(_section_link(each, section)) if each.admins_only else _section_link(each, section)
            for each in SECTIONS
        ],
        aria_label="Main",
        class_name="flex flex-col gap-0.5",
    )


def _section_link(section: Section, current: str) -> rx.Component:
    return link(
        rx.fragment(icon(section.icon), section.title),
        section.path,
        _NAV_CURRENT if section.title == current else _NAV_OTHER,
        custom_attrs={"aria-current": "page"} if section.title == current else {},
    )


def _search(class_name: str) -> rx.Component:
    """Create the customer search. Pages with their own search hide it."""
    return rx.el.form(
        icon("search", 16, "pointer-events-none absolute left-2.5 top-2 text-faint"),
        rx.el.input(
            name="search",
            type="search",
            aria_label="Find a customer",
            placeholder="Find a customer",
            auto_complete="off",
            max_length=200,
            class_name="h-8 w-full rounded-md border border-field-line bg-raised pl-8 pr-8 text-sm text-ink"
            " placeholder:text-faint focus-visible:outline-offset-0",
            custom_attrs={"data-search": "", "aria-keyshortcuts": "/"},
        ),
        shortcut("/"),
        role="search",
        class_name=f"relative {class_name}",
        custom_attrs={"data-find": "/customers"},
    )


def _drawer(section: str) -> rx.Component:
    """Create the navigation below 768 px: a native popover, which Escape or a click outside closes."""
    return rx.el.div(
        rx.el.div(
            wordmark(),
            rx.el.button(
                icon("x"),
                type="button",
                aria_label="Close navigation",
                class_name=classes.BUTTON_ICON,
                custom_attrs={"popoverTarget": DRAWER, "popoverTargetAction": "hide"},
            ),
            class_name="mb-4 flex items-center justify-between pl-2.5",
        ),
        _search("mb-4"),
        _navigation(section),
        rx.el.div(
            rx.el.div(SessionState.name, class_name="truncate text-sm font-medium text-ink"),
            rx.el.div(SessionState.email, class_name="truncate text-xs text-faint"),
            rx.el.div(_theme_switch(), class_name="mt-3"),
            class_name="mt-auto border-t border-line px-2.5 pt-4",
        ),
        id=DRAWER,
        custom_attrs={"popover": "auto"},
        class_name="fixed inset-y-0 left-0 h-dvh w-72 max-w-[85vw] flex-col border-r border-line bg-sunken p-4"
        " text-ink backdrop:bg-black/40 [&:popover-open]:flex print:hidden",
    )


def _top_bar(title: Text, above: Any) -> rx.Component:
    return rx.el.header(
        rx.el.button(
            icon("menu", 18),
            type="button",
            aria_label="Open navigation",
            class_name=f"{classes.BUTTON_ICON} -ml-1.5 md:hidden",
            custom_attrs={"popoverTarget": DRAWER},
        ),
        rx.el.div(
            above if above is not None else rx.fragment(),
            rx.el.h1(title, class_name="truncate text-lg font-semibold leading-7 tracking-tight md:text-xl"),
            class_name="flex min-w-0 items-center gap-2",
        ),
        rx.el.div(
            # From 1024 px on, so that the title fits. A page's own search replaces it.
            _search("hidden w-40 lg:block xl:w-56 [:root:has(main_[data-search])_&]:hidden"),
            rx.el.div(_theme_switch(), class_name="hidden md:block"),
            _user(),
            rx.el.button(
                icon("log-out"),
                rx.el.span("Sign out", class_name="sr-only lg:not-sr-only"),
                type="button",
                class_name=classes.BUTTON_QUIET,
                title="Sign out",
                custom_attrs={"data-action": "sign-out"},
            ),
            class_name="ml-auto flex shrink-0 items-center gap-2 md:gap-3",
        ),
        class_name="sticky top-0 z-20 flex h-14 shrink-0 items-center gap-2 border-b border-line bg-ground px-4"
        " md:px-8 print:hidden",
    )


def _user() -> rx.Component:
    return rx.el.div(
        rx.cond(
            SessionState.read_only,
            rx.el.span(
                icon("eye", 12),
                "Read-only",
                class_name=classes.BADGE_WARN,
                title="Finance users can view everything, but can’t change anything",
            ),
        ),
        rx.el.span(
            SessionState.name,
            title=SessionState.email,
            class_name="hidden max-w-40 truncate text-sm font-medium lg:block",
        ),
        rx.cond(
            SessionState.role != "",
            rx.el.span(SessionState.role, class_name=f"{classes.BADGE_QUIET} max-sm:hidden"),
        ),
        class_name="flex items-center gap-2",
    )


def _theme_switch() -> rx.Component:
    return rx.el.div(
        *[
            rx.el.button(
                icon(icon_name, 14),
                type="button",
                title=f"{name} theme",
                aria_label=f"{name} theme",
                custom_attrs={"aria-pressed": rx.cond(color_mode == mode, "true", "false")},
                class_name=rx.cond(color_mode == mode, _THEME_CURRENT, _THEME_OTHER),
                on_click=set_color_mode(mode),
            )
            for name, mode, icon_name in THEMES
        ],
        role="group",
        aria_label="Theme",
        class_name="inline-flex gap-0.5 rounded-md bg-hover p-0.5",
    )


def toaster() -> rx.Component:
    """Create the place where toasts appear. Their colours are in assets/app.css."""
    return rx.toast.provider(rich_colors=False, close_button=False, position="bottom-right", visible_toasts=3)


def _connection_lost() -> rx.Component:
    """Create the banner that assets/js/connection.js shows while a connection that was open is lost."""
    return rx.el.div(
        rx.el.div(
            icon("wifi-off"),
            rx.el.span("The connection to the server is lost. This page may be out of date."),
            rx.el.button(
                "Reload",
                type="button",
                class_name="font-medium underline underline-offset-4",
                custom_attrs={"data-action": "reload"},
            ),
            class_name="flex flex-wrap items-center gap-2 border-b border-line bg-warn-soft px-4 py-2 text-sm"
            " text-warn md:px-8 print:hidden",
            custom_attrs={"data-when": "lost"},
        ),
        role="status",
    )
