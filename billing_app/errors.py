"""The errors that callers can expect.

Each has a stable `code`, an HTTP `status`, and the facts for its sentence, which is in `billing_app.wording`.
Any other exception is a bug: it is logged, and callers get a generic message.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from billing_app.domain.rules import BrokenRule


@dataclasses.dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request, the rule that it breaks, and the rule's facts."""

    field: str
    rule: str
    facts: dict[str, object] = dataclasses.field(default_factory=dict)


class BillingError(Exception):
    """The base of all errors that callers can expect.

    `facts` has what a caller may need to continue, such as ids and newer values: strings, numbers, an
    `Amount`, or a date, which is always a period's first day.
    """

    status = 400
    code = "error"

    def __init__(
        self,
        code: str | None = None,
        /,
        *,
        errors: Sequence[FieldError] = (),
        retry_after_seconds: int | None = None,
        **facts: object,
    ) -> None:
        super().__init__(code or type(self).code)
        self.code = code or type(self).code
        self.facts = facts
        self.errors = tuple(errors)
        self.retry_after_seconds = retry_after_seconds


class Unauthenticated(BillingError):
    """The caller is not signed in, or its session or token is no longer valid."""

    status = 401
    code = "invalid_token"


class Forbidden(BillingError):
    """The caller is authenticated but lacks the permission."""

    status = 403
    code = "forbidden"


class NotFound(BillingError):
    """Something that the request refers to does not exist."""

    status = 404
    code = "not_found"


class Conflict(BillingError):
    """The request is valid but contradicts the current data."""

    status = 409
    code = "conflict"


class Invalid(BillingError):
    """A value breaks a rule. `errors` names the field, the rule and the rule's facts."""

    status = 422
    code = "invalid"

    def __init__(self, field: str, rule: str, /, *, code: str | None = None, **facts: object) -> None:
        super().__init__(code, errors=[FieldError(field, rule, facts)])

    @classmethod
    def from_errors(cls, errors: Sequence[FieldError]) -> Invalid:
        """Build the error for one or more invalid fields."""
        refusal = cls(errors[0].field, errors[0].rule)
        refusal.errors = tuple(errors)
        return refusal

    @classmethod
    def from_rule(cls, field: str, broken: BrokenRule) -> Invalid:
        """Build the error for a field whose parser raised BrokenRule."""
        return cls.from_errors([FieldError(field, broken.rule, broken.facts)])


class TooManyAttempts(BillingError):
    """Too many attempts. The caller can retry after `retry_after_seconds`."""

    status = 429
    code = "too_many_attempts"


class Busy(BillingError):
    """Too much work is waiting. Nothing was done, and the caller can retry."""

    status = 503
    code = "unavailable"


class GaveWay(Busy):
    """A transaction stopped waiting for others, so that they don't queue behind it. It can be retried."""

    def __init__(self) -> None:
        super().__init__(retry_after_seconds=5)
