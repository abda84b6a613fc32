"""The second lock of append-only, and the rules that a key or a check can't say.

Revision ID: 2026_11_22_append_only
Revises: 2026_11_22_tables

Triggers, since they hold for the owner too; privileges (billing_app/privileges.py) are the first
lock. Functions pin their search path: a temporary table named like one of ours must not be read.
"""

from alembic import op

revision = "2026_11_22_append_only"
down_revision = "2026_11_22_tables"
branch_labels = None
depends_on = None

APPEND_ONLY = ("usage_event", "invoice", "invoice_line", "payment", "payment_reversal", "audit_entry")

_HEAD = "RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS"

FUNCTIONS = {
    "refuse_change": """
        BEGIN
            RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'restrict_violation';
        END
    """,
    # All lines of an invoice come with one statement; after it count and sum must be the
    # invoice's, so nothing can be added later.
    "check_invoice_lines": """
        BEGIN
            IF EXISTS (
                SELECT FROM (SELECT DISTINCT customer_id, period_start FROM added) a
                JOIN public.invoice i USING (customer_id, period_start)
                CROSS JOIN LATERAL (
                    SELECT count(*) AS line_count, sum(l.amount_minor) AS total_minor
                    FROM public.invoice_line l
                    WHERE l.customer_id = a.customer_id AND l.period_start = a.period_start
                ) found
                WHERE found.line_count <> i.line_count OR found.total_minor <> i.total_minor
            ) THEN
                RAISE EXCEPTION 'the lines of an invoice must match its line count and total'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NULL;
        END
    """,
    "check_invoice_closed": """
        BEGIN
            IF EXISTS (
                SELECT FROM added a JOIN public.customer_billing b USING (customer_id)
                WHERE b.closed_through < a.period_start
            ) THEN
                RAISE EXCEPTION 'an invoice needs its period closed'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NULL;
        END
    """,
    "check_usage_open": """
        BEGIN
            IF EXISTS (
                SELECT FROM (SELECT DISTINCT customer_id, billing_period FROM added) a
                JOIN public.customer_billing b USING (customer_id)
                WHERE a.billing_period <= b.closed_through
            ) THEN
                RAISE EXCEPTION 'usage can only be billed in an open period'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NULL;
        END
    """,
    "refuse_reopening": """
        BEGIN
            RAISE EXCEPTION 'a closed period and a given number stay'
                USING ERRCODE = 'restrict_violation';
        END
    """,
    "check_subscription_open": """
        DECLARE touched record := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                RAISE EXCEPTION 'a subscription row is replaced, not changed'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            IF EXISTS (
                SELECT FROM public.customer_billing b
                WHERE b.customer_id = touched.customer_id
                  AND b.closed_through >= touched.effective_from
            ) THEN
                RAISE EXCEPTION 'the subscription of a closed period stays'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN touched;
        END
    """,
    "refuse_new_terms": """
        BEGIN
            IF TG_OP = 'DELETE'
               OR to_jsonb(NEW) - 'archived_at' IS DISTINCT FROM to_jsonb(OLD) - 'archived_at'
            THEN
                RAISE EXCEPTION 'the terms of a saved plan stay: make a new version'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END
    """,
}

TRIGGERS = {
    **{
        f"append_only ON {table}": "BEFORE UPDATE OR DELETE OR TRUNCATE {on} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        for table in APPEND_ONLY
    },
    "lines_complete ON invoice_line": "AFTER INSERT {on} REFERENCING NEW TABLE AS added "
    "FOR EACH STATEMENT EXECUTE FUNCTION check_invoice_lines()",
    "period_closed ON invoice": "AFTER INSERT {on} REFERENCING NEW TABLE AS added "
    "FOR EACH STATEMENT EXECUTE FUNCTION check_invoice_closed()",
    "period_open ON usage_event": "AFTER INSERT {on} REFERENCING NEW TABLE AS added "
    "FOR EACH STATEMENT EXECUTE FUNCTION check_usage_open()",
    "only_onwards ON customer_billing": "BEFORE UPDATE {on} FOR EACH ROW "
    "WHEN (NEW.closed_through < OLD.closed_through OR NEW.settled_through < OLD.settled_through"
    " OR NEW.last_number < OLD.last_number OR NEW.customer_id <> OLD.customer_id) EXECUTE FUNCTION refuse_reopening()",
    "period_open ON subscription": "BEFORE INSERT OR UPDATE OR DELETE {on} FOR EACH ROW "
    "EXECUTE FUNCTION check_subscription_open()",
    "terms_stay ON plan": "BEFORE UPDATE OR DELETE {on} FOR EACH ROW EXECUTE FUNCTION refuse_new_terms()",
}


def upgrade() -> None:
    for name, body in FUNCTIONS.items():
        op.execute(f"CREATE FUNCTION {name}() {_HEAD} $${body}$$")
    for where, definition in TRIGGERS.items():
        name, _, table = where.partition(" ON ")
        op.execute(f"CREATE TRIGGER {name} {definition.format(on=f'ON {table}')}")


def downgrade() -> None:
    for where in TRIGGERS:
        op.execute(f"DROP TRIGGER {where}")
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
