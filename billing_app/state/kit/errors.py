"""Map every error to what a user sees on a page."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import reflex as rx
from reflex.event import EventSpec

from billing_app.database.session import is_unavailable
from billing_app.errors import BillingError, Forbidden, NotFound, Unauthenticated
from billing_app.runtime import current
from billing_app.state.kit.browser import run_in_browser
from billing_app.wording.refusals import refusal_sentence

logger = logging.getLogger(__name__)

LOADING, READY, MISSING, FORBIDDEN, FAILED = "loading", "ready", "missing", "forbidden", "failed"
_UNEXPECTED = "Something went wrong on our side and was logged. Try again."
_NO_DATABASE = "The database can't be reached. Try again in a moment."


class Loads(Protocol):
    """A state with a loading phase."""

    phase: str
    problem: str


def error_sentence(error: Exception) -> str:
    """Return what to tell the user about an error. It never contains internal details."""
    if isinstance(error, BillingError):
        return refusal_sentence(error)
    if is_unavailable(error):
        current().database.outages.report("a page", error)
        return _NO_DATABASE
    logger.error("unexpected error in a page", exc_info=error)
    return _UNEXPECTED


def on_page_error(exception: Exception) -> EventSpec:
    """Handle an error that a handler did not catch: redirect if it requires that, or show a toast."""
    if isinstance(exception, Unauthenticated):
        return redirect_to_sign_in(exception)
    if requires_password_change(exception):
        return run_in_browser("goToPassword")
    toast: EventSpec = rx.toast.error(error_sentence(exception), close_button=True)
    return toast


def requires_password_change(error: Exception) -> bool:
    """Return whether the error requires the user to choose a new password."""
    return isinstance(error, Forbidden) and error.code == "password_change_required"


def redirect_to_sign_in(error: Unauthenticated) -> EventSpec:
    """Redirect to the sign-in page, which shows the reason and then returns to this page."""
    reason = refusal_sentence(error) if error.code != "not_signed_in" else ""
    return run_in_browser("goToSignIn", reason)


@asynccontextmanager
async def loading(state: Loads) -> AsyncIterator[None]:
    """Set the phase to READY when the block ends, or to MISSING, FORBIDDEN or FAILED with the reason.

    Errors that redirect to another page are not caught.
    """
    try:
        yield
        state.phase, state.problem = READY, ""
    except Unauthenticated:
        raise
    except NotFound as error:
        state.phase, state.problem = MISSING, refusal_sentence(error)
    except Exception as error:
        if requires_password_change(error):
            raise
        state.phase = FORBIDDEN if isinstance(error, Forbidden) else FAILED
        state.problem = error_sentence(error)
