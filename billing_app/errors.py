"""The one tree of errors that callers are meant to see.

Each carries a stable `code`, an HTTP `status` and a `detail` in the domain's words. What is not
in this tree is a bug: the edges log it and answer with a generic sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request: its name and the rule it breaks."""

    field: str
    message: str


class BillingError(Exception):
    """Base of all refusals. `facts` holds what a caller may need to go on (ids, newer values)."""

    status = 400
    code = "error"

    def __init__(self, detail: str, *, code: str | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.facts = facts
        self.errors: tuple[FieldError, ...] = ()
        self.retry_after_seconds: int | None = None


class Unauthenticated(BillingError):
    """Nobody is signed in, or the proof of it is no longer good."""

    status = 401
    code = "invalid_token"


class Forbidden(BillingError):
    """The actor is known and may not do this."""

    status = 403
    code = "forbidden"


class NotFound(BillingError):
    """What was named does not exist."""

    status = 404
    code = "not_found"


class Conflict(BillingError):
    """The request is well formed and at odds with what is already there."""

    status = 409
    code = "conflict"


class Invalid(BillingError):
    """A value breaks a rule; `errors` names each field and its rule."""

    status = 422
    code = "invalid"

    def __init__(self, field: str, message: str, *, code: str | None = None, **facts: Any) -> None:
        super().__init__(f"{field}: {message}", code=code, **facts)
        self.errors = (FieldError(field, message),)


class TooManyAttempts(BillingError):
    """Refused for a while; `retry_after_seconds` says for how long."""

    status = 429
    code = "too_many_attempts"

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds
