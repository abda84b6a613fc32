"""The queries of everything that is stored about billing, each in the order of customers."""

from __future__ import annotations

from billing_app.services.adjustments.queries import DISCOUNT_COLUMNS
from billing_app.services.invoices.queries import INVOICE_COLUMNS, LINE_COLUMNS
from billing_app.services.payments.queries import STANDING_PAYMENTS

_IN_RANGE = "customer_id BETWEEN %(first)s AND %(last)s"
CUSTOMERS = f"""
    SELECT c.customer_id, c.key, c.name, c.currency, b.closed_through, b.settled_through,
           b.last_number, b.last_sha256, b.credit_minor
    FROM customer c JOIN customer_billing b USING (customer_id) WHERE c.{_IN_RANGE} ORDER BY c.customer_id
"""
_SUBSCRIPTIONS = f"""
    SELECT customer_id, effective_from, plan_id FROM subscription WHERE {_IN_RANGE} ORDER BY 1, 2
"""
# Summed in the order of the billing index, and only the sums are sorted. Reading the events in the order of
# customers would look up each one by itself, because no index that has this order has their quantities.
_USAGE = f"""
    WITH divided AS (
        SELECT DISTINCT customer_id, date_trunc('month', effective_from)::date AS month
        FROM subscription WHERE {_IN_RANGE} AND extract(day FROM effective_from) <> 1
    ), sums AS MATERIALIZED (
        SELECT e.billing_period, e.customer_id,
               date_trunc('month', e.occurred_at AT TIME ZONE 'UTC')::date AS usage_period, e.meter_id,
               CASE WHEN d.month IS NOT NULL THEN (e.occurred_at AT TIME ZONE 'UTC')::date END AS day,
               sum(e.quantity) AS quantity, max(e.quantity) AS largest, count(*) AS events,
               count(*) FILTER (WHERE e.quantity > 0) AS used
        FROM usage_event e
        LEFT JOIN divided d ON d.customer_id = e.customer_id
         AND d.month = date_trunc('month', e.occurred_at AT TIME ZONE 'UTC')::date
        WHERE e.{_IN_RANGE} GROUP BY 1, 2, 3, 4, 5
    )
    SELECT customer_id, billing_period, usage_period, meter_id, day, quantity, largest, events, used,
           0 AS corrections
    FROM sums
    UNION ALL
    SELECT k.customer_id, k.billing_period, date_trunc('month', k.occurred_at AT TIME ZONE 'UTC')::date,
           k.meter_id, CASE WHEN d.month IS NOT NULL THEN (k.occurred_at AT TIME ZONE 'UTC')::date END,
           sum(k.difference), 0, 0,
           count(*) FILTER (WHERE k.quantity_before = 0) - count(*) FILTER (WHERE k.quantity = 0), count(*)
    FROM usage_correction k
    LEFT JOIN divided d ON d.customer_id = k.customer_id
     AND d.month = date_trunc('month', k.occurred_at AT TIME ZONE 'UTC')::date
    WHERE k.{_IN_RANGE} GROUP BY 1, 2, 3, 4, 5
    ORDER BY 1, 2, 3, 4, 5
"""
_RESTATED = f"""
    WITH corrected AS (
        SELECT DISTINCT k.customer_id, date_trunc('month', k.occurred_at AT TIME ZONE 'UTC')::date AS month,
               k.meter_id
        FROM usage_correction k JOIN meter m USING (meter_id)
        WHERE k.{_IN_RANGE} AND m.aggregation <> 'sum'
    )
    SELECT e.customer_id, c.month AS usage_period, e.meter_id, e.idempotency_key, 0 AS number, e.item,
           e.quantity, e.billing_period
    FROM corrected c
    JOIN usage_event e ON e.customer_id = c.customer_id AND e.meter_id = c.meter_id
     AND e.billing_period >= c.month AND e.occurred_at >= c.month::timestamp AT TIME ZONE 'UTC'
     AND e.occurred_at < (c.month + interval '1 month') AT TIME ZONE 'UTC'
    UNION ALL
    SELECT k.customer_id, date_trunc('month', k.occurred_at AT TIME ZONE 'UTC')::date, k.meter_id,
           k.idempotency_key, k.number, NULL, k.quantity, k.billing_period
    FROM usage_correction k JOIN meter m USING (meter_id)
    WHERE k.{_IN_RANGE} AND m.aggregation <> 'sum'
    ORDER BY 1, 2, 3, 4, 5
"""
_WRONG_CORRECTIONS = f"""
    SELECT k.customer_id, k.idempotency_key, k.number
    FROM (
        SELECT own.*, row_number() OVER of_event AS expected_number, lag(own.quantity) OVER of_event AS previous,
               lag(own.billing_period) OVER of_event AS previous_period
        FROM usage_correction own WHERE own.{_IN_RANGE}
        WINDOW of_event AS (PARTITION BY own.customer_id, own.idempotency_key ORDER BY own.number)
    ) k
    LEFT JOIN usage_event e USING (customer_id, idempotency_key)
    WHERE e.customer_id IS NULL OR k.number <> k.expected_number
       OR k.quantity_before <> coalesce(k.previous, e.quantity)
       OR k.difference <> k.quantity - k.quantity_before
       OR k.occurred_at <> e.occurred_at OR k.meter_id <> e.meter_id
       OR k.billing_period < coalesce(k.previous_period, e.billing_period)
    ORDER BY 1, 2, 3
"""
_ITEMS = f"""
    SELECT customer_id, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date AS usage_period, meter_id,
           item, min(billing_period) AS billing_period, count(*) AS events
    FROM usage_event WHERE {_IN_RANGE} AND item IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3
"""
_DISCOUNTS = f"SELECT {DISCOUNT_COLUMNS} FROM discount WHERE {_IN_RANGE} ORDER BY customer_id, number"
_ONE_OFF_ITEMS = f"""
    SELECT customer_id, billing_period, idempotency_key, description, item_date, quantity, unit_price
    FROM one_off_item WHERE {_IN_RANGE} ORDER BY customer_id, billing_period, item_date, idempotency_key
"""
_LINES = f"""
    SELECT l.customer_id, l.period_start, {LINE_COLUMNS} FROM invoice_line l WHERE {_IN_RANGE}
    ORDER BY l.customer_id, l.period_start, l.line_number
"""
_INVOICES = f"""
    SELECT {INVOICE_COLUMNS} FROM invoice i WHERE {_IN_RANGE} ORDER BY i.customer_id, i.period_start
"""
_GAPS = f"""
    SELECT customer_id, first_sequence, last_sequence, backup_of, recorded_at, previous_sha256, content_sha256
    FROM number_gap WHERE {_IN_RANGE} ORDER BY 1, 2
"""
_PAID = f"""
    SELECT customer_id, period_start, sum(amount_minor) AS paid_minor
    FROM {STANDING_PAYMENTS} standing WHERE {_IN_RANGE} GROUP BY 1, 2 ORDER BY 1, 2
"""
# What was applied to invoices or refunded, less reversals.
_CREDIT_TAKEN = f"""
    SELECT customer_id, sum(amount_minor) AS amount_minor FROM (
        SELECT p.customer_id, p.amount_minor FROM payment p
        WHERE p.source = 'credit' AND p.{_IN_RANGE} AND NOT EXISTS (
            SELECT FROM payment_reversal r
            WHERE r.customer_id = p.customer_id AND r.payment_id = p.payment_id
        )
        UNION ALL
        SELECT f.customer_id, f.amount_minor FROM refund f
        WHERE f.{_IN_RANGE} AND NOT EXISTS (
            SELECT FROM refund_reversal r WHERE r.customer_id = f.customer_id AND r.refund_id = f.refund_id
        )
    ) taken GROUP BY 1 ORDER BY 1
"""
_OPEN_INVOICES = f"""
    SELECT customer_id, period_start, paid_minor FROM open_invoice WHERE {_IN_RANGE} ORDER BY 1, 2
"""

# By the name of the rows in a report.
QUERIES = {
    "subscriptions": _SUBSCRIPTIONS,
    "usage events": _USAGE,
    "items": _ITEMS,
    "restated events": _RESTATED,
    "corrections": _WRONG_CORRECTIONS,
    "discounts": _DISCOUNTS,
    "one-off items": _ONE_OFF_ITEMS,
    "invoice lines": _LINES,
    "invoices": _INVOICES,
    "number gaps": _GAPS,
    "payments": _PAID,
    "open invoices": _OPEN_INVOICES,
    "refunds": _CREDIT_TAKEN,
}
