"""The application of `billing serve --api-only`: the API, and neither pages nor Reflex."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from billing_app.api.app import create_api
from billing_app.api.wire.problems import of_status
from billing_app.server.lifespan import finish_application, running
from billing_app.server.middleware.stack import ApiBeforePages

# Only files below this directory could be pages with scripts to allow.
_NO_BUILD = Path(os.devnull)


def create_asgi() -> ASGIApp:
    """Build the application of a serving process that has no pages."""
    return finish_application(ApiBeforePages(create_api(), _create_no_pages()), _NO_BUILD)


def _create_no_pages() -> ASGIApp:
    """Return what takes the place of the pages: the life of the process, and 404 for every path."""
    return Starlette(lifespan=_lifespan, exception_handlers={404: _refuse})


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    async with running():
        yield


async def _refuse(_request: Request, _error: Exception) -> Response:
    return of_status(404, detail="This server has no pages. Its API is at /api/v1.")
