"""The rules that decide whether usage is recorded and in which period it is billed, as SQL.

They are defined only in `judged_usage`. Batches read their rows from a temporary table and single events from
arrays, so the source of the rows is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence

from billing_app.domain.terms import DEFAULT_METER_ID
from billing_app.services.plans.plan_in_effect import plan_in_effect, subscription_in_effect

# The field that each rejection is about.
REJECTED_FIELDS = {
    "customer_not_found": "customer",
    "meter_not_found": "meter",
    "unknown_type": "event_type",
    "item_missing": "item",
    "item_not_counted": "item",
    "missing": "quantity",
    "not_one": "quantity",
    "occurred_in_future": "occurred_at",
    "no_plan": "occurred_at",
    "customer_suspended": "occurred_at",
}

# What is wrong with a row that does not fit its meter. Their code is `invalid`, like that of other wrong values.
MALFORMED = ("item_missing", "item_not_counted", "missing", "not_one")

# Each customer and usage month of the batch, with what judging needs to know of them. `plan_id` is the plan
# of the month's last day, and `has_changes` says that earlier days of the month have another one.
_LAST_DAY = "(wanted.usage_month + interval '1 month' - interval '1 day')::date"
_ACCOUNTS = f"""
    SELECT wanted.customer_key, wanted.usage_month, customer.customer_id,
           greatest(wanted.usage_month, (billing.closed_through + interval '1 month')::date)
               AS billing_period,
           latest.plan_id, latest.effective_from > wanted.usage_month AS has_changes,
           EXISTS (SELECT FROM suspension WHERE suspension.customer_id = customer.customer_id)
               AS was_ever_suspended
    FROM (
        -- Sorted, so that neighbouring look-ups read the same pages: with 10,000 customers in a
        -- batch, judging a row takes 6 µs instead of 11 µs.
        SELECT DISTINCT customer_key, usage_month FROM reported ORDER BY customer_key, usage_month
    ) wanted
    JOIN customer ON lower(customer.key) = wanted.customer_key
    JOIN customer_billing billing USING (customer_id)
    LEFT JOIN LATERAL {subscription_in_effect("customer.customer_id", _LAST_DAY)} latest ON true
"""


def judged_usage(
    incoming: str,
    *,
    now: str = "%(now)s",
    latest: str = "%(latest)s",
    also: Sequence[str] = (),
    has_meters: bool = False,
) -> str:
    """Return a subquery that judges each incoming row. The gate must be held by an earlier statement.

    `incoming` is a FROM item: the name of a table, or `unnest(...) AS incoming (...)`. It has the columns
    `position`, `customer_id` or in its place `customer_key` in lower case, `idempotency_key`, `quantity`
    and `occurred_at`, which is null for now. `now` and `latest`, the last acceptable moment, are SQL
    expressions, never values from callers. `also` names further columns, which are passed through.

    Unless `has_meters`, all rows are for the default meter, and nothing about meters is looked up. With it,
    `incoming` also has the columns `meter` (a code, or null), `item` and `event_type`. The default meter takes
    a row without a code whose type is null. The quantity may be null.

    The columns are `position`, `customer_id` (null for an unknown customer), `idempotency_key`,
    `quantity` and `given_at` (as reported), `occurred_at`, `billing_period`, and `rejection`: the code of
    the first rule that the row breaks, or null. With `has_meters`, there are also `given_meter_id`, which is
    the one that the row names, `names_meter`, `meter_id`, `meter_code`, `item` and `recorded_quantity`.

    A customer's plan, suspensions and closing mark are looked up once per usage month of the batch, not
    once per row.
    """
    passed_on = "".join(f" reported.{column}," for column in also) + _METER_RESULT * has_meters
    return f"""(
    WITH reported AS MATERIALIZED ({_reported(incoming, now, (*also, *_METER_COLUMNS * has_meters))}
    ), account AS MATERIALIZED ({_ACCOUNTS}
    )
    SELECT{passed_on} reported.position, account.customer_id, reported.idempotency_key, reported.quantity,
           reported.given_at, reported.occurred_at, account.billing_period,
           {_rejection(latest, has_meters=has_meters)} AS rejection
    FROM reported LEFT JOIN account USING (customer_key, usage_month){_METERS * has_meters}
)"""


def _reported(incoming: str, now: str, also: Sequence[str]) -> str:
    """Return the query for the incoming rows with the key of their customer and their usage month."""
    passed_in = "".join(f" incoming.{column}," for column in also)
    return f"""
        SELECT{passed_in} incoming.position, incoming.idempotency_key, incoming.quantity,
               coalesce(incoming.customer_key, (
                   SELECT lower(customer.key) FROM customer
                   WHERE customer.customer_id = incoming.customer_id
               )) AS customer_key,
               incoming.occurred_at AS given_at,
               coalesce(incoming.occurred_at, {now}) AS occurred_at,
               date_trunc('month', coalesce(incoming.occurred_at, {now}) AT TIME ZONE 'UTC')::date
                   AS usage_month
        FROM {incoming}"""


# Only for a month in which the plan changes. In all others one look-up serves all rows.
_PLAN_OF_DAY = plan_in_effect("account.customer_id", "(reported.occurred_at AT TIME ZONE 'UTC')::date")

_METER_COLUMNS = ("meter", "item", "event_type")
# The few meters are read once, whatever the number of rows.
_METERS = f"""
        LEFT JOIN meter named ON named.code = reported.meter
        LEFT JOIN meter typed ON typed.event_type = reported.event_type AND reported.meter IS NULL
        LEFT JOIN (SELECT meter_id, code, takes_other_types FROM meter WHERE meter_id = {DEFAULT_METER_ID}) fallback
               ON reported.meter IS NULL AND typed.meter_id IS NULL
                  AND (reported.event_type IS NULL OR fallback.takes_other_types)
"""
_COUNTS_ITEMS = "coalesce(named.aggregation, typed.aggregation, 'sum') = 'unique'"
_METER_ID = "coalesce(named.meter_id, typed.meter_id, fallback.meter_id)"
_METER_RESULT = f"""
           named.meter_id AS given_meter_id, {_METER_ID} AS meter_id,
           coalesce(named.code, typed.code, fallback.code) AS meter_code, reported.item,
           reported.meter IS NOT NULL AS names_meter,
           coalesce(reported.quantity, CASE WHEN {_COUNTS_ITEMS} THEN 1 END) AS recorded_quantity,"""
_METER_REJECTIONS = f"""
             WHEN reported.meter IS NOT NULL AND named.meter_id IS NULL THEN 'meter_not_found'
             WHEN {_METER_ID} IS NULL THEN 'unknown_type'
             WHEN {_COUNTS_ITEMS} AND reported.item IS NULL THEN 'item_missing'
             WHEN {_COUNTS_ITEMS} AND reported.quantity <> 1 THEN 'not_one'
             WHEN NOT {_COUNTS_ITEMS} AND reported.item IS NOT NULL THEN 'item_not_counted'
             WHEN NOT {_COUNTS_ITEMS} AND reported.quantity IS NULL THEN 'missing'"""


def _rejection(latest: str, *, has_meters: bool) -> str:
    """Return the expression for the code of the first rule that a reported row breaks, or null."""
    return f"""
        CASE WHEN account.customer_id IS NULL THEN 'customer_not_found'{_METER_REJECTIONS * has_meters}
             WHEN reported.occurred_at > {latest} THEN 'occurred_in_future'
             WHEN CASE WHEN account.has_changes THEN {_PLAN_OF_DAY} ELSE account.plan_id END IS NULL
             THEN 'no_plan'
             WHEN account.was_ever_suspended AND EXISTS (
                 SELECT FROM suspension
                 WHERE suspension.customer_id = account.customer_id
                   AND reported.occurred_at >= suspension.started_at
                   AND (suspension.ended_at IS NULL OR reported.occurred_at < suspension.ended_at)
             ) THEN 'customer_suspended'
        END
    """
