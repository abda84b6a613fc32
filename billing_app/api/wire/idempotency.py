"""The `Idempotency-Key` header of requests that create something: a retry gets the first response.

Usage and payments have an idempotency key in their body instead, which is kept forever. A file is
uploaded without one: importing it twice records nothing twice.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, Generic, TypeVar

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from billing_app.api.wire.calls import Call, Caller
from billing_app.api.wire.routing import loads_exactly
from billing_app.domain.actor import Actor, Permission
from billing_app.runtime import current
from billing_app.services.shared.idempotency import Answer, RequestKey, find_answer, store_answer
from billing_app.services.shared.validation import parse_idempotency_key, parsed

Result = TypeVar("Result")
Model = TypeVar("Model", bound=BaseModel)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_DESCRIPTION = (
    "Makes retries safe. For at least 24 hours, the same request with the same key returns the first"
    " response and creates nothing. A different request with the same key returns 409"
    " `idempotency_conflict`. Each user and API token has its own keys. A request that fails doesn't use"
    " up its key."
)


@dataclass(frozen=True, slots=True)
class Created(Generic[Model]):
    """The response about something that was created. The fields in `secrets` are never stored."""

    body: Model
    location: str = ""
    status: int = 201
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Once:
    """A request that creates something, once per idempotency key."""

    call: Call
    response: Response
    request: RequestKey | None

    def create(
        self,
        permission: Permission,
        model: type[Model],
        describe: Callable[[Result], Created[Model]],
        service: Callable[Concatenate[Any, Actor, ...], Result],
        /,
        *args: Any,
        **kwargs: Any,
    ) -> Model:
        """Call the service and describe its result, or repeat the response to the first request.

        `permission` is the one that the service requires. Repeating a response requires it too.
        """

        def work(session: Any, actor: Actor) -> tuple[Created[Model], bool]:
            request = self.request
            if request and (first := find_answer(session, actor, request, permission=permission)):
                return Created(model.model_validate(first.body), first.location, first.status), True
            created = describe(service(session, actor, *args, **kwargs))
            if request:
                store_answer(session, actor, request, _without_secrets(created))
            return created, False

        return self._respond(*self.call.do(work))

    def repeat(self, permission: Permission, model: type[Model]) -> Model | None:
        """Repeat the answer to the first request with this key; return None if this is the first one.

        For requests that take several transactions: `create` then does the last of them.
        """
        if not self.request:
            return None
        first = self.call.do(find_answer, self.request, permission=permission)
        if first is None:
            return None
        answer = Created(model.model_validate(first.body), first.location, first.status)
        return self._respond(answer, is_repeated=True)

    def _respond(self, created: Created[Model], is_repeated: bool) -> Model:
        self.response.status_code = created.status
        if created.location:
            self.response.headers["Location"] = created.location
        if is_repeated:
            self.response.headers[REPLAYED] = "true"
        return created.body


def _without_secrets(created: Created[Model]) -> Answer:
    body = created.body.model_dump(mode="json")
    return Answer(created.status, created.location, body | dict.fromkeys(created.secrets))


async def once(
    request: Request,
    response: Response,
    call: Caller,
    key: Annotated[str | None, Header(alias=HEADER, description=_DESCRIPTION)] = None,
) -> Once:
    """Return the request with its idempotency key. Raises Invalid if the key is malformed."""
    if key is None:
        return Once(call, response, None)
    parsed(HEADER, parse_idempotency_key, key)
    operation = f"{request.method} {request.url.path}"
    return Once(call, response, RequestKey(key, operation, _fingerprint(operation, await request.body())))


def _fingerprint(operation: str, body: bytes) -> str:
    """Hash the operation and the body, ignoring the order of its fields and whitespace.

    The hash is keyed, because the body of a new user contains a password.
    """
    try:
        content = json.dumps(loads_exactly(body), sort_keys=True, default=str)
    except json.JSONDecodeError:
        # The endpoint takes no body and ignores this one.
        content = body.hex()
    secret = current().settings.signing_secret()
    return hmac.new(secret.encode(), f"{operation}\n{content}".encode(), hashlib.sha256).hexdigest()


OnceOnly = Annotated[Once, Depends(once)]
