"""The sentence for each refusal, by its code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from billing_app.errors import BillingError, FieldError
from billing_app.services.shared.reasons import Reason
from billing_app.wording.rules import rule_text
from billing_app.wording.sentences import Template, capitalized, fill
from billing_app.wording.values import counted, day

_UNAUTHENTICATED = {
    "invalid": "Your session has expired or the token is invalid. Sign in again.",
    "several_headers": "Send exactly one Authorization header.",
    "no_credentials": "Sign in, or send a bearer token.",
}
_PERMISSIONS = {
    "read": "view this",
    "write_customers": "change customers, plans or subscriptions",
    "record_usage": "record usage",
    "correct_usage": "correct usage",
    "invoice": "generate invoices or record payments",
    "verify": "run verifications",
    "administer": "manage users, API tokens, company details or which event types are taken",
    "identity": "manage sessions",
}
_FORBIDDEN = {
    "not_a_user": "An API token has no account, sessions or password. Sign in as a user.",
    "not_own_sessions": "You can only see your own sessions.",
}


def _no_permission(facts: Mapping[str, Any]) -> str:
    who = "The {role} role" if "role" in facts else "The API token {token}"
    return f"{who} does not have permission to {_PERMISSIONS[facts['permission']]}."


def _day(facts: Mapping[str, Any]) -> str:
    return day(date.fromisoformat(facts["effective_from"]))


def _unpriced(facts: Mapping[str, Any]) -> str:
    counts = (f"{counted(each['events'], 'event')} of {each['name']}" for each in facts["unpriced"])
    return ", ".join(counts).replace("{", "{{").replace("}", "}}")


BALANCE_CHANGED = (
    "Someone else recorded or reversed a payment since you opened this. {balance} is outstanding now."
    " Saving again records this payment as well."
)
"""Shown in the payment form if the balance has changed since it was opened."""
CREDIT_CHANGED = (
    "The credit has changed since you opened this. {credit} is left now."
    " Saving again records this refund as well."
)
"""Shown in the refund form if the credit has changed since it was opened."""
_IMPORT_STATUSES = {
    "checking": "is still being checked",
    "cancelled": "was cancelled",
    "failed": "failed",
}

REFUSALS: dict[str, Template] = {
    # Signing in.
    "not_signed_in": "Sign in first.",
    "invalid_token": lambda facts: _UNAUTHENTICATED[facts.get("reason", "invalid")],
    "invalid_credentials": "The email or password is incorrect.",
    "too_many_attempts": "Too many failed attempts. Try again later.",
    "password_change_required": "Change your one-time password first.",
    "foreign_origin": "This request did not come from Tallybook's own pages.",
    "session_not_found": "This session does not exist or has ended.",
    "user_not_found": lambda facts: "User {named} does not exist." if facts else "This user does not exist.",
    "own_password": "Change your own password in your account settings.",
    "last_admin": "At least one active admin is required. Promote another user first.",
    "token_not_found": "API token {named} does not exist.",
    # Permissions.
    "forbidden": lambda facts: _FORBIDDEN.get(facts.get("reason", "")) or _no_permission(facts),
    # Customers and plans.
    "customer_not_found": lambda facts: (
        "Customer {named} does not exist." if "named" in facts else "The customer does not exist."
    ),
    "email_taken": "The email {email} is already in use.",
    "key_taken": "Another customer already has the key {key}.",
    "meter_not_found": lambda facts: (
        "Meter {named} does not exist." if "named" in facts else "The meter does not exist."
    ),
    "meter_code_taken": "Another meter already has the code {meter}.",
    "event_type_taken": "The meter {meter} already takes events of the type {event_type}.",
    "too_many_meters": "There can be at most {at_most} meters.",
    "default_meter": "The default meter can't be archived.",
    "plan_not_found": "Plan {named} does not exist.",
    "plan_archived": "{plan}, version {plan_version}, is archived. New customers can't be assigned to it.",
    "currency_mismatch": (
        "The plan is in {plan_currency}, but the customer is billed in {customer_currency}."
        " Choose a plan in {customer_currency}."
    ),
    "period_closed": (
        "{closed_through} and earlier months are closed for this customer. Choose a later month."
    ),
    "usage_recorded": lambda facts: (
        f"Usage is already recorded on {_day(facts)} or later, so a plan is required. Choose a later day."
    ),
    "usage_unpriced": lambda facts: (
        f"The new plan has no price for usage that is already recorded: {_unpriced(facts)}."
        " Confirm to leave it without a price."
    ),
    "too_many_changes": (
        "A subscription can have at most {at_most} changes in one month. Choose a day in another month, or"
        " replace an earlier change."
    ),
    "stale": "Someone else changed this since you opened it. Reload it and try again.",
    # Usage.
    "idempotency_conflict": lambda facts: (
        "Another payment was already recorded with this idempotency key."
        if "payment" in facts
        else "Another refund was already recorded with this idempotency key."
        if "refund" in facts
        else "Another one-off item was already recorded with this idempotency key."
        if "item" in facts
        else "This correction key was already used for a different correction."
        if "correction" in facts
        else "This idempotency key was already used for a different request ({operation})."
        if "operation" in facts
        else "This idempotency key was already used for a different event."
    ),
    "customer_suspended": "The customer was suspended at that time.",
    "event_not_found": "The customer has no event with this idempotency key.",
    "nothing_to_correct": "The event already has this quantity.",
    # Invoices.
    "invoice_not_found": "Invoice {named} does not exist.",
    "line_not_found": "Invoice {number} has no usage line {line}.",
    "invoice_exists": "{period} is already invoiced ({number}).",
    "period_open": "{period} has not ended yet.",
    "earlier_period_open": "Invoice {period} for {customer} first.",
    "nothing_to_invoice": "{customer} has no plan in {period}, and nothing else to charge.",
    "issuer_incomplete": (
        "Invoices need your company's name and address. An admin can add them in Settings, Company details."
    ),
    "run_not_found": "Invoice run {named} does not exist.",
    "run_ended": "An invoice run for this month has just ended. Try again.",
    "run_busy": "The invoice run is busy. Try to cancel it again in a moment.",
    # Payments.
    "payment_not_found": lambda facts: (
        "Invoice {number} has no payment {named}." if "number" in facts else "Payment {named} does not exist."
    ),
    "overpayment": lambda facts: (
        "Only {balance} of {number} is outstanding."
        if facts["balance"].amount_minor
        else "{number} is already paid."
    ),
    "nothing_to_apply": "Nothing to apply: the customer has no credit, or {number} has no balance.",
    "insufficient_credit": "Only {credit} of credit is left.",
    "refund_not_found": "Refund {named} does not exist.",
    "refund_reversed": "Refund {refund} is already reversed.",
    "discount_not_found": "Discount {named} does not exist.",
    "discount_ended": "{name} already ends in {last_period}.",
    "item_not_found": "One-off item {named} does not exist.",
    "item_reversed": "One-off item {item} is already reversed, or is itself a reversal.",
    "too_many_items": "An invoice can have {at_most} one-off items, and {period} already has as many.",
    "already_reversed": "Payment {payment} is already reversed.",
    # Imports and verifications.
    "import_not_found": "Import {named} does not exist.",
    "import_not_checked": lambda facts: (
        f"Import {facts['named']} can't be started because it {_IMPORT_STATUSES[facts['import_status']]}."
    ),
    "uploads_under_way": "Other files are being uploaded. Try again in a moment.",
    "verification_not_found": lambda facts: (
        "Verification {named} does not exist." if facts else "Nothing has been verified yet."
    ),
    # Price simulations.
    "simulation_not_found": (
        "Price simulation {named} does not exist. Simulations are removed 7 days after they end."
    ),
    "simulation_running": "Another price simulation is running ({simulation}). Try again when it has ended.",
    "simulation_unfinished": "Price simulation {simulation} has not finished, so its results are incomplete.",
    # Work in the background that failed.
    "database_refused": "The database reported error {sqlstate}. See the server log.",
    "unexpected_error": "An unexpected error occurred. See the server log.",
    # The server.
    "unavailable": "Too many requests are waiting. Try again in a moment.",
}


def refusal_sentence(error: BillingError) -> str:
    """Write the refusal as one or two sentences.

    If its code has no sentence, the sentences of its fields are used: `quantity must be zero or more.`
    """
    if error.code in REFUSALS:
        return fill(REFUSALS[error.code], error.facts)
    return " ".join(_field_sentence(each) for each in error.errors) or error.code


def reason_sentence(reason: Reason) -> str:
    """Write why a row was rejected, a customer was not invoiced, or a job failed."""
    if reason.rule:
        return _field_sentence(FieldError(reason.field, reason.rule, dict(reason.facts)))
    return fill(REFUSALS[reason.code], reason.facts)


def _field_sentence(error: FieldError) -> str:
    text = f"{error.field} {rule_text(error)}" if error.field else capitalized(rule_text(error))
    return text if text.endswith(("?", ".")) else f"{text}."
