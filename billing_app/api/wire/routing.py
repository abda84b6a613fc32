"""How requests are read: who calls before anything else, then JSON in which no number loses a digit."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Coroutine
from decimal import Decimal, InvalidOperation
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from billing_app.api.wire.calls import identify

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
# A longer text takes milliseconds, in which nobody else would be answered.
_PARSED_AT_ONCE_BYTES = 64 * 1024


def loads_exactly(body: bytes) -> Any:
    """The JSON value with every number exactly as written: int or Decimal, never a float.

    Raises json.JSONDecodeError for everything that is not plain JSON in UTF-8: NaN and infinity,
    numbers beyond reason, an object that says the same name twice, nesting beyond reason.
    """
    try:
        return json.loads(
            body.decode(), parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object
        )
    except json.JSONDecodeError:
        raise
    except UnicodeDecodeError:
        raise json.JSONDecodeError("it must be UTF-8", "", 0) from None
    except RecursionError:
        raise json.JSONDecodeError("it is nested too deeply", "", 0) from None
    except (ValueError, InvalidOperation):
        raise json.JSONDecodeError("a number is out of all range", "", 0) from None


def _refuse_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is no number", "", 0)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise json.JSONDecodeError("an object has the same name twice", "", 0)
    return found


class ExactRequest(Request):
    """A request whose JSON is read by `loads_exactly`."""

    async def json(self) -> Any:
        """The body; raises json.JSONDecodeError."""
        body = await self.body()
        if len(body) <= _PARSED_AT_ONCE_BYTES:
            return loads_exactly(body)
        return await asyncio.to_thread(loads_exactly, body)


class ExactRoute(APIRoute):
    """A route that reads exact numbers, and takes its summary from the docstring's first line."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        summary, _, rest = (inspect.getdoc(endpoint) or "").partition("\n")
        options["summary"] = options.get("summary") or summary.rstrip(".")
        options["status_code"] = options.get("status_code") or 200
        options["description"] = options.get("description") or rest.strip() or summary
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        """FastAPI's handler, over an ExactRequest."""
        handle = super().get_route_handler()

        async def exactly(request: Request) -> Response:
            return await handle(ExactRequest(request.scope, request.receive))

        return exactly


class SignedInRoute(ExactRoute):
    """A route that reads nothing of a request before it knows who sends it."""

    def get_route_handler(self) -> Handler:
        """FastAPI's handler, after the caller is known; Unauthenticated or Forbidden before."""
        handle = super().get_route_handler()

        async def known(request: Request) -> Response:
            request.state.caller = await identify(request)
            return await handle(request)

        return known


def resource(prefix: str, tag: str) -> APIRouter:
    """A router for signed-in callers only, under its heading in the documentation."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=SignedInRoute)
