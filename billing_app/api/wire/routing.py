"""Reading requests: authenticate the caller, check the query parameters, then parse JSON exactly."""

from __future__ import annotations

import asyncio
import codecs
import inspect
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from decimal import Decimal, InvalidOperation
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope

from billing_app.api.wire.calls import identify
from billing_app.errors import FieldError, Invalid

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
# Parsing a longer text takes milliseconds and would block the event loop.
PARSED_ON_THE_LOOP_BYTES = 64 * 1024
# How bodies start that some programs send, and what is wrong with them.
_OTHER_THAN_UTF8 = {
    b"\x1f\x8b": "the body is compressed with gzip; send it uncompressed",
    codecs.BOM_UTF16_LE: "the body is UTF-16; send UTF-8",
    codecs.BOM_UTF16_BE: "the body is UTF-16; send UTF-8",
}


def loads_exactly(body: bytes) -> Any:
    """Parse JSON with every number exactly as written: int or Decimal, never a float.

    A byte order mark in front of it, which some programs write, is ignored.

    Raises json.JSONDecodeError for everything that is not plain JSON in UTF-8: NaN and infinity,
    numbers out of range, an object with the same name twice, nesting that is too deep.
    """
    for start, fault in _OTHER_THAN_UTF8.items():
        if body.startswith(start):
            raise json.JSONDecodeError(fault, "", 0)
    try:
        return _DECODER.decode(body.decode("utf-8-sig"))
    except json.JSONDecodeError:
        raise
    except UnicodeDecodeError:
        raise json.JSONDecodeError("the body is not UTF-8", "", 0) from None
    except RecursionError:
        raise json.JSONDecodeError("the nesting is too deep", "", 0) from None
    except (ValueError, InvalidOperation):
        raise json.JSONDecodeError("a number is out of range", "", 0) from None


def _refuse_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not a number", "", 0)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise json.JSONDecodeError("an object contains the same name twice", "", 0)
    return found


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object)


class ExactRequest(Request):
    """A request whose JSON is parsed by `loads_exactly`, or by a function that accepts the same."""

    def __init__(self, scope: Scope, receive: Receive, parse: Callable[[bytes], Any] = loads_exactly) -> None:
        super().__init__(scope, receive)
        self._parse = parse

    async def json(self) -> Any:
        """Return the parsed body; raises json.JSONDecodeError."""
        body = await self.body()
        if len(body) <= PARSED_ON_THE_LOOP_BYTES:
            return self._parse(body)
        return await asyncio.to_thread(self._parse, body)


class ExactRoute(APIRoute):
    """A route that accepts only the query parameters it declares and reads numbers exactly.

    The endpoint's docstring is its documentation, and the first line the summary.
    """

    parse_body = staticmethod(loads_exactly)

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        summary, _, rest = (inspect.getdoc(endpoint) or "").partition("\n")
        options["summary"] = options.get("summary") or summary.rstrip(".")
        options["status_code"] = options.get("status_code") or 200
        options["description"] = options.get("description") or rest.strip() or summary
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler, preceded by the check of the query parameters."""
        handle = super().get_route_handler()
        known = sorted(_query_parameters(self.dependant))

        async def exactly(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_query(request, known)
            return await handle(ExactRequest(request.scope, request.receive, self.parse_body))

        return exactly


def _query_parameters(dependant: Dependant) -> set[str]:
    """Return the names of the query parameters of an endpoint and of all that it depends on."""
    names = {parameter.alias for parameter in dependant.query_params}
    return names.union(*map(_query_parameters, dependant.dependencies))


def _check_query(request: Request, known: list[str]) -> None:
    """Raise Invalid for query parameters that are unknown or given more than once."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    errors = [
        FieldError(name, "unknown_parameter", {"known": known}) for name in counts if name not in known
    ] + [FieldError(name, "repeated_parameter") for name in known if counts[name] > 1]
    if errors:
        raise Invalid.from_errors(errors)


class SignedInRoute(ExactRoute):
    """A route that authenticates the caller before it reads anything else of the request."""

    def get_route_handler(self) -> Handler:
        """Return the handler, preceded by the identification. Raises Unauthenticated or Forbidden."""
        handle = super().get_route_handler()

        async def identified(request: Request) -> Response:
            request.state.caller = await identify(request)
            return await handle(request)

        return identified


def resource(prefix: str, tag: str) -> APIRouter:
    """Create a router for signed-in callers, whose endpoints are documented under `tag`."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=SignedInRoute)
