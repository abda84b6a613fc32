"""Reflex's own configuration; everything that an operator sets is in billing_app/settings.py."""

import reflex as rx

from billing_app.server.reflex_patches import (
    LazyChartsPlugin,
    NoEvalPlugin,
    ReportingPlugin,
    ReproduciblePlugin,
    SameOriginPlugin,
    UnpatchedPlugin,
)
from billing_app.ui.kit.theme import TAILWIND

config = rx.Config(
    app_name="billing_app",
    # Pages and API share one origin, and nobody else's pages may call either.
    cors_allowed_origins=[],
    state_manager_mode=rx.constants.StateManagerMode.MEMORY,
    telemetry_enabled=False,
    show_built_with_reflex=False,
    frontend_compression_formats=["gzip"],
    plugins=[
        rx.plugins.TailwindV4Plugin(TAILWIND),
        UnpatchedPlugin(),
        SameOriginPlugin(),
        NoEvalPlugin(),
        ReportingPlugin(),
        ReproduciblePlugin(),
        LazyChartsPlugin(),
    ],
    disable_plugins=[rx.plugins.SitemapPlugin],
)
