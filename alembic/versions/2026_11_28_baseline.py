"""Create the whole schema: the extension, tables, indexes, functions and triggers.

`customer_id` is the first column of every key of a customer-owned table, so those tables can be
distributed by customer. The other tables can then be copied to every node. The privileges of the
application's role are not part of this revision: `billing_app/database/privileges.py` grants them
after every migration.

Downgrading drops everything except the `pg_trgm` extension, which other applications in the same
database may be using.

Revision ID: 2026_11_28_baseline
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_28_baseline"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _install_trigram_extension()

    _create_customer_table()
    _create_plan_table()
    _create_issuer_table()
    _create_subscription_tables()
    _create_customer_billing_table()
    _create_usage_event_table()
    _create_invoice_table()
    _create_invoice_line_table()
    _create_number_gap_table()
    _create_open_invoice_table()
    _create_payment_tables()
    _create_user_tables()
    _create_sign_in_attempt_tables()
    _create_api_token_table()
    _create_invoice_run_tables()
    _create_verification_table()
    _create_usage_import_table()
    _create_usage_import_content_tables()
    _create_audit_entry_table()
    _create_figures_tables()
    _create_idempotent_request_table()
    _create_getting_started_table()

    _create_customer_indexes()
    _create_plan_and_subscription_indexes()
    _create_usage_billing_index()
    _create_usage_log_indexes()
    _create_invoice_and_payment_indexes()
    _create_identity_indexes()
    _create_job_indexes()
    _create_audit_entry_indexes()
    _create_figures_indexes()
    _create_idempotent_request_index()

    for definition in FUNCTIONS.values():
        op.execute(definition)
    for definition in TRIGGERS:
        op.execute(definition)


def downgrade() -> None:
    # An invoice and its last line refer to each other, so this foreign key must be dropped before the tables.
    op.drop_constraint("fk_invoice_last_line", "invoice", type_="foreignkey")
    for table in reversed(TABLES):
        op.drop_table(table)
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")


# In an order in which every table follows the tables that it refers to.
TABLES = (
    "customer",
    "plan",
    "issuer",
    "subscription",
    "suspension",
    "customer_billing",
    "usage_event",
    "invoice",
    "invoice_line",
    "number_gap",
    "open_invoice",
    "payment",
    "payment_reversal",
    "user_account",
    "user_session",
    "known_place",
    "sign_in_attempt",
    "api_token",
    "invoice_run",
    "invoice_run_failure",
    "verification",
    "usage_import",
    "usage_import_part",
    "usage_import_rejected_row",
    "audit_entry",
    "customer_figures",
    "dashboard_figures",
    "idempotent_request",
    "getting_started_dismissal",
)

TIMESTAMP = sa.DateTime(timezone=True)
# Numbers that Tallybook computes have a fixed precision. Numbers that a caller enters don't: a
# column with a scale would round extra decimals before any CHECK could reject them.
ENTERED_NUMBER = sa.Numeric()
MINOR_UNITS = sa.Numeric(38, 0)
QUANTITY = sa.Numeric(38, 6)
EXACT_AMOUNT = sa.Numeric(60, 18)


# Extension


def _install_trigram_extension() -> None:
    """Install `pg_trgm`, which the customer search index needs.

    PostgreSQL's contrib package includes the extension, and the owner of the database may install
    it.

    Raises:
        RuntimeError: The server lacks the extension, or the connected role may not install it.
    """
    if _fetch_bool("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')"):
        return
    if not _fetch_bool("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')"):
        raise RuntimeError(
            "the database server doesn't have the pg_trgm extension: install PostgreSQL's contrib package"
        )
    if not _fetch_bool("SELECT has_database_privilege(current_database(), 'CREATE')"):
        raise RuntimeError(
            "the role that owns the tables can't install the pg_trgm extension: grant it CREATE on the"
            " database, or ask an administrator to install the extension"
        )
    op.execute("CREATE EXTENSION pg_trgm")


def _fetch_bool(query: str) -> bool:
    return bool(op.get_bind().execute(sa.text(query)).scalar_one())


# Tables


def _create_customer_table() -> None:
    """Create the directory of customers.

    `uq_customer_customer_id_currency` is the target of the foreign keys that keep a customer's
    subscriptions and invoices in the customer's currency.
    """
    op.create_table(
        "customer",
        sa.Column("customer_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("billing_address", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer")),
        sa.UniqueConstraint("customer_id", "currency", name=op.f("uq_customer_customer_id_currency")),
        # A key must not look like a public customer ID (cus_12): callers can refer to a customer by either.
        sa.CheckConstraint(
            "key ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' AND lower(key) !~ '^cus_'",
            name=op.f("ck_customer_key_form"),
        ),
        sa.CheckConstraint("name <> '' AND name = btrim(name)", name=op.f("ck_customer_name_trimmed")),
        sa.CheckConstraint("email ~ '^[^@[:space:]]+@[^@[:space:]]+$'", name=op.f("ck_customer_email_form")),
        sa.CheckConstraint("email_key <> ''", name=op.f("ck_customer_email_key_given")),
    )


def _create_plan_table() -> None:
    """Create the plan versions. A trigger keeps their terms from changing."""
    op.create_table(
        "plan",
        sa.Column("plan_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("monthly_price_minor", ENTERED_NUMBER, nullable=False),
        sa.Column("included_units", ENTERED_NUMBER, nullable=False),
        sa.Column("overage_unit_price", ENTERED_NUMBER, nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("archived_at", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("plan_id", name=op.f("pk_plan")),
        sa.UniqueConstraint("plan_id", "currency", name=op.f("uq_plan_plan_id_currency")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_plan_version_positive")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_plan_currency_code")),
        sa.CheckConstraint("name <> '' AND name = btrim(name)", name=op.f("ck_plan_name_trimmed")),
        # NaN and infinity sort above every number, so the upper bounds reject them as well.
        sa.CheckConstraint(
            "monthly_price_minor >= 0 AND monthly_price_minor < 1e38 AND scale(monthly_price_minor) <= 0",
            name=op.f("ck_plan_monthly_price_minor_digits"),
        ),
        sa.CheckConstraint(
            "included_units >= 0 AND included_units < 1e14 AND scale(included_units) <= 6",
            name=op.f("ck_plan_included_units_digits"),
        ),
        sa.CheckConstraint(
            "overage_unit_price >= 0 AND overage_unit_price < 1e8 AND scale(overage_unit_price) <= 12",
            name=op.f("ck_plan_overage_unit_price_digits"),
        ),
    )


def _create_issuer_table() -> None:
    """Create the issuer and its only row, which is edited and never added or deleted."""
    op.create_table(
        "issuer",
        sa.Column("issuer_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("payment_instructions", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer_id", name=op.f("pk_issuer")),
        sa.CheckConstraint("issuer_id = 1", name=op.f("ck_issuer_only_one")),
    )
    op.execute(
        "INSERT INTO issuer (issuer_id, name, address, email, payment_instructions, version)"
        " VALUES (1, '', '', '', '', 1)"
    )


def _create_subscription_tables() -> None:
    """Create the plan of each customer by month, and the intervals in which usage is rejected."""
    op.create_table(
        "subscription",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("effective_from", sa.Date(), nullable=False),
        sa.Column("plan_id", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "effective_from", name=op.f("pk_subscription")),
        sa.ForeignKeyConstraint(
            ["customer_id", "currency"],
            ["customer.customer_id", "customer.currency"],
            name=op.f("fk_subscription_customer"),
        ),
        sa.ForeignKeyConstraint(
            ["plan_id", "currency"], ["plan.plan_id", "plan.currency"], name=op.f("fk_subscription_plan")
        ),
        sa.CheckConstraint(
            "extract(day FROM effective_from) = 1", name=op.f("ck_subscription_effective_from_first_of_month")
        ),
    )
    op.create_table(
        "suspension",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("ended_at", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "started_at", name=op.f("pk_suspension")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.customer_id"], name=op.f("fk_suspension_customer")
        ),
        sa.CheckConstraint("ended_at >= started_at", name=op.f("ck_suspension_ends_after_start")),
    )


def _create_customer_billing_table() -> None:
    """Create the billing row of each customer: its closed periods and its last invoice number."""
    op.create_table(
        "customer_billing",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("closed_through", sa.Date(), nullable=False),
        sa.Column("settled_through", sa.Date(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("last_sha256", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_billing")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.customer_id"], name=op.f("fk_customer_billing_customer")
        ),
        sa.CheckConstraint(
            "extract(day FROM closed_through) = 1",
            name=op.f("ck_customer_billing_closed_through_first_of_month"),
        ),
        sa.CheckConstraint(
            "extract(day FROM settled_through) = 1",
            name=op.f("ck_customer_billing_settled_through_first_of_month"),
        ),
        sa.CheckConstraint(
            "settled_through <= closed_through", name=op.f("ck_customer_billing_settled_within_closed")
        ),
        sa.CheckConstraint("last_number >= 0", name=op.f("ck_customer_billing_last_number_counts")),
        sa.CheckConstraint(
            "(last_number = 0) = (last_sha256 IS NULL)", name=op.f("ck_customer_billing_number_with_hash")
        ),
    )


def _create_usage_event_table() -> None:
    """Create the usage events. The customer and the idempotency key identify an event.

    There is no foreign key to the customer. It would look up and lock the customer row by row, which
    takes 19 µs of CPU time per event, more than twice as long as inserting the event. Instead,
    `check_new_usage` checks all rows of a statement at once, and `refuse_customer_removal` keeps a
    customer from being deleted and its ID from changing. Verification reports events without a customer.

    CPU time of one backend per event, for batches of 10,000 events of as many customers, into an empty
    table: 7 µs with the primary key only, 0.5 µs more for all CHECKs together, 2 µs more for
    `check_new_usage`, which finds the billing rows of a batch in the order of their key.
    """
    op.create_table(
        "usage_event",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("occurred_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("billing_period", sa.Date(), nullable=False),
        sa.Column("quantity", ENTERED_NUMBER, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "idempotency_key", name=op.f("pk_usage_event")),
        sa.CheckConstraint(
            "length(idempotency_key) BETWEEN 1 AND 255", name=op.f("ck_usage_event_idempotency_key_length")
        ),
        sa.CheckConstraint(
            r"idempotency_key !~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029]'",
            name=op.f("ck_usage_event_idempotency_key_control_characters"),
        ),
        sa.CheckConstraint(
            "quantity >= 0 AND quantity < 1e14 AND scale(quantity) <= 6",
            name=op.f("ck_usage_event_quantity_digits"),
        ),
        sa.CheckConstraint(
            "extract(day FROM billing_period) = 1", name=op.f("ck_usage_event_billing_period_first_of_month")
        ),
        sa.CheckConstraint(
            "billing_period >= date_trunc('month', occurred_at AT TIME ZONE 'UTC')",
            name=op.f("ck_usage_event_billed_no_earlier_than_used"),
        ),
    )


def _create_invoice_table() -> None:
    """Create the invoices, each with copies of everything that it shows."""
    op.create_table(
        "invoice",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("issued_at", TIMESTAMP, nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("total_minor", MINOR_UNITS, nullable=False),
        sa.Column("line_count", sa.SmallInteger(), nullable=False),
        sa.Column("issuer_name", sa.Text(), nullable=False),
        sa.Column("issuer_address", sa.Text(), nullable=False),
        sa.Column("issuer_email", sa.Text(), nullable=False),
        sa.Column("issuer_payment_instructions", sa.Text(), nullable=False),
        sa.Column("customer_key", sa.Text(), nullable=False),
        sa.Column("customer_name", sa.Text(), nullable=False),
        sa.Column("customer_email", sa.Text(), nullable=False),
        sa.Column("customer_billing_address", sa.Text(), nullable=False),
        sa.Column("previous_sha256", sa.Text(), nullable=True),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "period_start", name=op.f("pk_invoice")),
        sa.UniqueConstraint("customer_id", "sequence", name=op.f("uq_invoice_customer_id_sequence")),
        sa.ForeignKeyConstraint(
            ["customer_id", "currency"],
            ["customer.customer_id", "customer.currency"],
            name=op.f("fk_invoice_customer"),
        ),
        *(sa.CheckConstraint(rule, name=op.f(name)) for name, rule in INVOICE_CHECKS.items()),
    )


INVOICE_CHECKS = {
    "ck_invoice_period_start_first_of_month": "extract(day FROM period_start) = 1",
    "ck_invoice_sequence_positive": "sequence >= 1",
    "ck_invoice_number_form": (
        "number = upper(customer_key) || '-' ||"
        " CASE WHEN sequence > 9999 THEN sequence::text ELSE lpad(sequence::text, 4, '0') END"
    ),
    "ck_invoice_total_not_negative": "total_minor >= 0",
    "ck_invoice_has_lines": "line_count >= 1",
    "ck_invoice_chained": "(sequence = 1) = (previous_sha256 IS NULL)",
    # Matching '^[0-9a-f]{64}$' instead takes ten times as long per row.
    "ck_invoice_content_sha256_form": "length(content_sha256) = 64 AND content_sha256 !~ '[^0-9a-f]'",
    "ck_invoice_previous_sha256_form": "length(previous_sha256) = 64 AND previous_sha256 !~ '[^0-9a-f]'",
}


def _create_invoice_line_table() -> None:
    """Create the invoice lines, and make every invoice refer to its last line.

    That foreign key is checked on commit. Together with the trigger that counts and sums the lines,
    it ensures that an invoice is committed with exactly its lines or not at all.
    """
    op.create_table(
        "invoice_line",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("line_number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("usage_period", sa.Date(), nullable=True),
        sa.Column("plan_name", sa.Text(), nullable=False),
        sa.Column("plan_version", sa.Integer(), nullable=False),
        *(sa.Column(name, QUANTITY, nullable=True) for name in INVOICE_LINE_QUANTITIES),
        sa.Column("unit_price", ENTERED_NUMBER, nullable=True),
        sa.Column("exact_amount", EXACT_AMOUNT, nullable=False),
        sa.Column("rated_minor", MINOR_UNITS, nullable=False),
        sa.Column("exact_amount_before", EXACT_AMOUNT, nullable=False),
        sa.Column("already_charged_minor", MINOR_UNITS, nullable=False),
        sa.Column("amount_minor", MINOR_UNITS, nullable=False),
        sa.Column("currency_exponent", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "period_start", "line_number", name=op.f("pk_invoice_line")),
        sa.ForeignKeyConstraint(
            ["customer_id", "period_start"],
            ["invoice.customer_id", "invoice.period_start"],
            name=op.f("fk_invoice_line_invoice"),
        ),
        *(sa.CheckConstraint(rule, name=op.f(name)) for name, rule in INVOICE_LINE_CHECKS.items()),
    )
    op.create_foreign_key(
        "fk_invoice_last_line", "invoice", "invoice_line",
        ["customer_id", "period_start", "line_count"], ["customer_id", "period_start", "line_number"],
        deferrable=True, initially="DEFERRED",
    )  # fmt: skip


INVOICE_LINE_QUANTITIES = (
    "quantity",
    "quantity_before",
    "quantity_after",
    "included_quantity",
    "overage_quantity",
)
# The arithmetic of a line is checked here as well, independently of the code that computed it.
INVOICE_LINE_CHECKS = {
    "ck_invoice_line_line_number_positive": "line_number >= 1",
    "ck_invoice_line_kind_known": "kind IN ('base', 'overage', 'late_usage')",
    "ck_invoice_line_kind_usage_period": (
        "CASE kind WHEN 'base' THEN usage_period IS NULL"
        " WHEN 'overage' THEN usage_period = period_start AND quantity_before = 0"
        " ELSE usage_period < period_start END IS TRUE"
    ),
    "ck_invoice_line_usage_whole_or_absent": (
        "num_nulls(usage_period, quantity, quantity_before, quantity_after,"
        " included_quantity, overage_quantity, unit_price) IN (0, 7)"
    ),
    "ck_invoice_line_quantities_add_up": "quantity_after = quantity_before + quantity",
    "ck_invoice_line_overage_quantity_rule": (
        "overage_quantity = greatest(0, quantity_after - included_quantity)"
    ),
    "ck_invoice_line_exact_amount_rule": "exact_amount = overage_quantity * unit_price",
    "ck_invoice_line_exact_amount_before_rule": (
        "exact_amount_before = greatest(0, quantity_before - included_quantity) * unit_price"
    ),
    # round() of a numeric rounds halves away from zero, as the domain does.
    "ck_invoice_line_rounded_half_up": (
        "rated_minor = round(exact_amount * 10::numeric ^ currency_exponent)"
        " AND already_charged_minor = round(exact_amount_before * 10::numeric ^ currency_exponent)"
    ),
    "ck_invoice_line_amount_rule": "amount_minor = rated_minor - already_charged_minor",
}


def _create_number_gap_table() -> None:
    """Create the invoice numbers that customers got before a restore, without their invoices."""
    op.create_table(
        "number_gap",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_sequence", sa.Integer(), nullable=False),
        sa.Column("backup_of", TIMESTAMP, nullable=False),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("previous_sha256", sa.Text(), nullable=True),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "first_sequence", name=op.f("pk_number_gap")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.customer_id"], name=op.f("fk_number_gap_customer")
        ),
        *(sa.CheckConstraint(rule, name=op.f(name)) for name, rule in NUMBER_GAP_CHECKS.items()),
    )


NUMBER_GAP_CHECKS = {
    "ck_number_gap_first_sequence_positive": "first_sequence >= 1",
    "ck_number_gap_last_sequence_not_before_first": "last_sequence >= first_sequence",
    "ck_number_gap_chained": "(first_sequence = 1) = (previous_sha256 IS NULL)",
    "ck_number_gap_content_sha256_form": "length(content_sha256) = 64 AND content_sha256 !~ '[^0-9a-f]'",
    "ck_number_gap_previous_sha256_form": "length(previous_sha256) = 64 AND previous_sha256 !~ '[^0-9a-f]'",
}


def _create_open_invoice_table() -> None:
    """Create the list of invoices that are not fully paid, which triggers maintain.

    Without it, listing overdue invoices means adding up the payments of every old invoice, although
    most are paid: 2.3 s with 300,000 invoices. With it, the list takes 2 ms with 500,000 invoices.
    """
    op.create_table(
        "open_invoice",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("paid_minor", MINOR_UNITS, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "period_start", name=op.f("pk_open_invoice")),
    )


def _create_payment_tables() -> None:
    """Create the payments and their reversals. A payment can be reversed once, as a whole."""
    op.create_table(
        "payment",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("amount_minor", ENTERED_NUMBER, nullable=False),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "payment_id", name=op.f("pk_payment")),
        sa.UniqueConstraint(
            "customer_id", "idempotency_key", name=op.f("uq_payment_customer_id_idempotency_key")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id", "period_start"],
            ["invoice.customer_id", "invoice.period_start"],
            name=op.f("fk_payment_invoice"),
        ),
        *(sa.CheckConstraint(rule, name=op.f(name)) for name, rule in PAYMENT_CHECKS.items()),
    )
    op.create_table(
        "payment_reversal",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "payment_id", name=op.f("pk_payment_reversal")),
        sa.ForeignKeyConstraint(
            ["customer_id", "payment_id"],
            ["payment.customer_id", "payment.payment_id"],
            name=op.f("fk_payment_reversal_payment"),
        ),
        sa.CheckConstraint("btrim(reason) <> ''", name=op.f("ck_payment_reversal_reason_given")),
    )


PAYMENT_CHECKS = {
    "ck_payment_amount_minor_digits": (
        "amount_minor >= 0 AND amount_minor < 1e38 AND scale(amount_minor) <= 0"
    ),
    "ck_payment_amount_minor_positive": "amount_minor > 0",
    "ck_payment_idempotency_key_length": "length(idempotency_key) BETWEEN 1 AND 255",
    "ck_payment_not_dated_ahead": "received_on <= (recorded_at AT TIME ZONE 'UTC' + interval '14 hours')::date",
}


def _create_user_tables() -> None:
    """Create the users and their sessions."""
    op.create_table(
        "user_account",
        sa.Column("user_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("last_sign_in_at", TIMESTAMP, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_account")),
        sa.CheckConstraint(
            "role IN ('admin', 'billing', 'finance')", name=op.f("ck_user_account_role_known")
        ),
        sa.CheckConstraint("status IN ('active', 'disabled')", name=op.f("ck_user_account_status_known")),
    )
    op.create_table(
        "user_session",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("expires_at", TIMESTAMP, nullable=False),
        sa.Column("revoked_at", TIMESTAMP, nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_user_session")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.user_id"], name=op.f("fk_user_session_user_account")
        ),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_user_session_expires_after_start")),
    )


def _create_sign_in_attempt_tables() -> None:
    """Create the counts of failed sign-ins and the places users signed in from before.

    Both are stored here so that all server processes share them. Accounts and places are hashes:
    nothing that was typed into the sign-in form is stored.
    """
    op.create_table(
        "known_place",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("last_used_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "place", name=op.f("pk_known_place")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.user_id"], name=op.f("fk_known_place_user_account")
        ),
        sa.CheckConstraint("place ~ '^[0-9a-f]{64}$'", name=op.f("ck_known_place_place_hashed")),
    )
    op.create_table(
        "sign_in_attempt",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("first_at", TIMESTAMP, nullable=False),
        sa.Column("last_at", TIMESTAMP, nullable=False),
        sa.Column("locked_until", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("account", "place", name=op.f("pk_sign_in_attempt")),
        sa.CheckConstraint("account ~ '^([0-9a-f]{64})?$'", name=op.f("ck_sign_in_attempt_account_hashed")),
        sa.CheckConstraint("place ~ '^([0-9a-f]{64})?$'", name=op.f("ck_sign_in_attempt_place_hashed")),
        sa.CheckConstraint("account <> '' OR place <> ''", name=op.f("ck_sign_in_attempt_subject_given")),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_sign_in_attempt_failures_counted")),
        sa.CheckConstraint("last_at >= first_at", name=op.f("ck_sign_in_attempt_first_before_last")),
    )


def _create_api_token_table() -> None:
    """Create the API tokens, of which only a hash is stored.

    `created_by` is empty for tokens that the command line or the demo created, because neither acts
    as a user.
    """
    op.create_table(
        "api_token",
        sa.Column("token_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("last_used_at", TIMESTAMP, nullable=True),
        sa.Column("revoked_at", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_api_token")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["user_account.user_id"], name=op.f("fk_api_token_user_account")
        ),
        sa.CheckConstraint("btrim(name) <> ''", name=op.f("ck_api_token_name_given")),
        sa.CheckConstraint(
            "scopes <@ ARRAY['usage:write', 'read'] AND cardinality(scopes) > 0",
            name=op.f("ck_api_token_scopes_known"),
        ),
    )


def _create_invoice_run_tables() -> None:
    """Create the invoice runs and the customers that a run could not invoice.

    `attempts` counts the failures since the run last made progress, across all server processes. A
    run that fails too often gets the status `failed` and a `fault` that says why.
    """
    op.create_table(
        "invoice_run",
        sa.Column("run_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP, nullable=True),
        sa.Column("done_through_customer_ids", sa.ARRAY(sa.BigInteger()), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in INVOICE_RUN_COUNTS),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fault", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_invoice_run")),
        *(sa.CheckConstraint(rule, name=op.f(name)) for name, rule in INVOICE_RUN_CHECKS.items()),
    )
    op.create_table(
        "invoice_run_failure",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "customer_id", name=op.f("pk_invoice_run_failure")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["invoice_run.run_id"], name=op.f("fk_invoice_run_failure_invoice_run")
        ),
    )


INVOICE_RUN_COUNTS = ("total", "created", "existing", "skipped", "failed")
INVOICE_RUN_CHECKS = {
    "ck_invoice_run_period_start_first_of_month": "extract(day FROM period_start) = 1",
    "ck_invoice_run_status_known": "status IN ('running', 'done', 'cancelled', 'failed')",
    "ck_invoice_run_fault_when_failed": "(status = 'failed') = (fault IS NOT NULL)",
    "ck_invoice_run_finished_when_ended": "(status = 'running') = (finished_at IS NULL)",
}


def _create_verification_table() -> None:
    """Create the verifications. The row is created at the start, so that a verification survives a restart.

    Until a verification finishes, `report` holds its progress. One that fails too often finishes with a
    `fault` instead of a result in `ok`. `attempts` counts those failures across all server processes.
    """
    op.create_table(
        "verification",
        sa.Column("verification_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP, nullable=True),
        sa.Column("ok", sa.Boolean(), nullable=True),
        sa.Column("report", postgresql.JSONB(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fault", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("verification_id", name=op.f("pk_verification")),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (ok IS NULL AND fault IS NULL)",
            name=op.f("ck_verification_judged_when_ended"),
        ),
        sa.CheckConstraint(
            "finished_at IS NULL OR report IS NOT NULL OR fault IS NOT NULL",
            name=op.f("ck_verification_reported_when_ended"),
        ),
        sa.CheckConstraint("fault IS NULL OR ok IS NULL", name=op.f("ck_verification_fault_when_ended")),
    )


def _create_usage_import_table() -> None:
    """Create the imports of usage files.

    `attempts` counts the failures since the import last made progress, across all server processes.
    """
    op.create_table(
        "usage_import",
        sa.Column("import_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in USAGE_IMPORT_COUNTS),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("preview", postgresql.JSONB(), nullable=True),
        sa.Column("uploaded_by", sa.Text(), nullable=False),
        sa.Column("uploaded_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP, nullable=True),
        sa.Column("fault", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("import_id", name=op.f("pk_usage_import")),
        *(sa.CheckConstraint(rule, name=op.f(name)) for name, rule in USAGE_IMPORT_CHECKS.items()),
    )


USAGE_IMPORT_COUNTS = (
    "row_count",
    "recorded",
    "duplicates",
    "conflicts",
    "rejected",
    "bytes_read",
    "through_line",
)
USAGE_IMPORT_CHECKS = {
    "ck_usage_import_status_known": (
        "status IN ('checking', 'checked', 'importing', 'done', 'cancelled', 'failed')"
    ),
    "ck_usage_import_finished_when_ended": (
        "(status IN ('done', 'cancelled', 'failed')) = (finished_at IS NOT NULL)"
    ),
    "ck_usage_import_fault_when_failed": "(status = 'failed') = (fault IS NOT NULL)",
    "ck_usage_import_every_row_counted_once": "row_count = recorded + duplicates + conflicts + rejected",
    "ck_usage_import_progress_within_size": "bytes_read BETWEEN 0 AND size_bytes",
}


def _create_usage_import_content_tables() -> None:
    """Create the uploaded content of imports and their rejected rows.

    The file is stored in parts of at most 1 MiB until its import has ended, so that any server
    process can resume the import, including after a restart. Rejected rows are stored as bytes,
    because they may not be valid UTF-8 and are handed back exactly as received.
    """
    op.create_table(
        "usage_import_part",
        sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("import_id", "part_number", name=op.f("pk_usage_import_part")),
        sa.ForeignKeyConstraint(
            ["import_id"], ["usage_import.import_id"], name=op.f("fk_usage_import_part_usage_import")
        ),
        sa.CheckConstraint(
            "octet_length(content) BETWEEN 1 AND 1048576", name=op.f("ck_usage_import_part_content_size")
        ),
    )
    # Compression isn't worth its time: the content is already compressed or is read only once.
    op.execute("ALTER TABLE usage_import_part ALTER COLUMN content SET STORAGE EXTERNAL")
    op.create_table(
        "usage_import_rejected_row",
        sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cells", sa.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("import_id", "line", name=op.f("pk_usage_import_rejected_row")),
        sa.ForeignKeyConstraint(
            ["import_id"], ["usage_import.import_id"], name=op.f("fk_usage_import_rejected_row_usage_import")
        ),
        sa.CheckConstraint(
            "status IN ('conflict', 'rejected')", name=op.f("ck_usage_import_rejected_row_status_known")
        ),
    )


def _create_audit_entry_table() -> None:
    """Create the audit log."""
    op.create_table(
        "audit_entry",
        sa.Column("audit_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("on_behalf_of", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit_entry")),
    )


def _create_figures_tables() -> None:
    """Create the figures for sorted customer lists and the dashboard, computed in the background.

    Every customer has a row, so that a list sorted by a figure is complete. `month` is empty until
    the customer's figures are first computed. The dashboard has a single row that is replaced.
    """
    op.create_table(
        "customer_figures",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("month", sa.Date(), nullable=True),
        sa.Column("usage_quantity", QUANTITY, nullable=False),
        sa.Column("outstanding_minor", MINOR_UNITS, nullable=False),
        sa.Column("overdue_minor", MINOR_UNITS, nullable=False),
        sa.Column("invoiced_minor", MINOR_UNITS, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_figures")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.customer_id"], name=op.f("fk_customer_figures_customer")
        ),
        sa.CheckConstraint(
            "extract(day FROM month) = 1", name=op.f("ck_customer_figures_month_first_of_month")
        ),
    )
    op.create_table(
        "dashboard_figures",
        sa.Column("figures_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("as_of", TIMESTAMP, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("figures_id", name=op.f("pk_dashboard_figures")),
        sa.CheckConstraint("figures_id = 1", name=op.f("ck_dashboard_figures_only_one")),
    )


def _create_idempotent_request_table() -> None:
    """Create the responses to requests with an `Idempotency-Key`, which are kept for about a day."""
    op.create_table(
        "idempotent_request",
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("actor_id", "idempotency_key", name=op.f("pk_idempotent_request")),
        sa.CheckConstraint(
            "fingerprint ~ '^[0-9a-f]{64}$'", name=op.f("ck_idempotent_request_fingerprint_form")
        ),
    )


def _create_getting_started_table() -> None:
    """Create the users who have closed the guide for a new installation."""
    op.create_table(
        "getting_started_dismissal",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("dismissed_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_getting_started_dismissal")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.user_id"], name=op.f("fk_getting_started_dismissal_user_account")
        ),
    )


# Indexes


def _create_customer_indexes() -> None:
    """Create the indexes that make keys and emails unique, order lists and speed up search.

    Each list order needs its own index, so that a page reads only the customers it shows.

    `ix_customer_search` finds customers by any part of the name, email or key. With 100,000
    customers, a search for three or more letters that few customers contain takes 1 ms instead of
    30 ms. Creating one customer takes no longer than without it. Inserting 20,000 customers in one
    statement takes 0.5 s instead of 0.2 s.
    """
    op.create_index("uq_customer_key", "customer", [sa.text("lower(key)")], unique=True)
    # Partial, although the condition always holds: PostgreSQL treats the columns of other unique
    # indexes as keys, and a change to one would wait for everything that refers to the customer.
    op.create_index(
        "uq_customer_email",
        "customer",
        ["email_key"],
        unique=True,
        postgresql_where=sa.text("email_key <> ''"),
    )
    op.create_index("ix_customer_name", "customer", [sa.text("lower(name)"), "customer_id"])
    op.create_index("ix_customer_created_at", "customer", ["created_at", "customer_id"])
    op.create_index(
        "ix_customer_search",
        "customer",
        [sa.text(f"lower({column}) gin_trgm_ops") for column in ("name", "email", "key")],
        postgresql_using="gin",
    )


def _create_plan_and_subscription_indexes() -> None:
    """Create the indexes on plans, subscriptions and suspensions."""
    # Names that differ only in case are the same plan, so their versions are numbered together.
    op.create_index("uq_plan_name_version", "plan", [sa.text("lower(name)"), "version"], unique=True)
    op.create_index("ix_subscription_plan_id", "subscription", ["plan_id"])
    # A customer can't be suspended twice at the same time.
    op.create_index(
        "uq_suspension_open",
        "suspension",
        ["customer_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _create_usage_billing_index() -> None:
    """Create the index that the invoice run uses to sum usage.

    The run reads one ordered range per chunk of customers, from the index alone once the table is
    vacuumed. `occurred_at` separates late usage from the period's own without reading the table. The
    billing period is the first column so that new events go into a small, cached part of the index.
    The events of an invoice and a customer's usage in a period are found by this index as well.

    Measured with 10 million events of 100,000 customers in three months, best of several rounds on
    two cores. Ingest is the CPU time of one backend for COPY and INSERT. The rest is elapsed time.

    | index                 | ingest 100,000 rows | sum a month by customer | sum 5,000 customers |
    |-----------------------|---------------------|-------------------------|---------------------|
    | this one              | 1.75 s              | 0.61 s                  | 0.026 s             |
    | without occurred_at   | 1.50 s              | not measured            | not measured        |
    | BRIN (billing_period) | 1.27 s              | 1.04 s                  | 0.40 s              |
    | none                  | 1.30 s              | 1.18 s                  | 0.30 s              |

    The run works in chunks so that it can be killed and resumed. Reading 20 chunks takes 0.5 s with
    this index and 6 to 8 s with BRIN or none. That is worth a third more CPU time per event.
    """
    op.create_index(
        "ix_usage_event_billing",
        "usage_event",
        ["billing_period", "customer_id", "occurred_at"],
        postgresql_include=["quantity"],
    )


def _create_usage_log_indexes() -> None:
    """Create the indexes of the usage log, one of all events and one of late events.

    `ix_usage_event_occurred_at` serves the usage log of all customers, newest first. With 2.1
    million events, a page takes 1.2 to 1.8 ms, and a page of one usage month 1.2 to 5.9 ms. Without
    the index, a page takes 430 to 490 ms and gets slower as the table grows. The index slows ingest
    to 0.93 of the rate without it (median of five rounds). A BRIN index would not slow ingest, but a
    page would take 46 to 60 ms: with one late event in a hundred, every block range spans two months.

    `ix_usage_event_late` contains late events only, so it costs nothing for the others. It lists
    late usage, and finds the usage of one month that was billed in another: 8 ms instead of 20 ms
    with 1.5 million events. It has the billing period as well, so that filtering by both months
    reads the index alone: 2 ms instead of 5 seconds with 10 million events, read from disk.
    """
    op.create_index("ix_usage_event_occurred_at", "usage_event", ["occurred_at"])
    op.create_index(
        "ix_usage_event_late",
        "usage_event",
        ["occurred_at", "billing_period"],
        postgresql_where=sa.text("occurred_at < billing_period::timestamp AT TIME ZONE 'UTC'"),
    )


def _create_invoice_and_payment_indexes() -> None:
    """Create the indexes that find invoices by period and payments by invoice."""
    op.create_index("ix_invoice_period_start", "invoice", ["period_start", "customer_id"])
    # The included columns determine an invoice's status without reading the table.
    op.create_index(
        "ix_open_invoice_period_start",
        "open_invoice",
        ["period_start", "customer_id"],
        postgresql_include=["due_on", "paid_minor"],
    )
    op.create_index("ix_payment_invoice", "payment", ["customer_id", "period_start"])


def _create_identity_indexes() -> None:
    """Create the indexes on users, sessions, API tokens and sign-in attempts."""
    op.create_index("uq_user_account_email", "user_account", ["email_key"], unique=True)
    op.create_index("ix_user_session_user_id", "user_session", ["user_id"])
    op.create_index("uq_api_token_sha256", "api_token", ["token_sha256"], unique=True)
    # Counts that are old enough to be deleted are found by their last attempt.
    op.create_index("ix_known_place_place", "known_place", ["place"])
    op.create_index("ix_sign_in_attempt_last_at", "sign_in_attempt", ["last_at"])


def _create_job_indexes() -> None:
    """Create the indexes on invoice runs, verifications and usage imports.

    The two unique indexes allow one running invoice run per period, and one running verification.
    Starting another returns the running one.
    """
    op.create_index(
        "uq_invoice_run_running",
        "invoice_run",
        ["period_start"],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "uq_verification_running",
        "verification",
        [sa.text("(finished_at IS NULL)")],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    # This finds earlier imports of a file with the same content.
    op.create_index("ix_usage_import_sha256", "usage_import", ["sha256", "uploaded_at"])
    op.create_index("ix_usage_import_uploaded_at", "usage_import", ["uploaded_at", "import_id"])


def _create_audit_entry_indexes() -> None:
    """Create the indexes that page through the audit log: all of it, by subject, and by who is responsible.

    Background work counts as done by the user, token or operator who started it.
    """
    op.create_index("ix_audit_entry_at", "audit_entry", ["at", "audit_id"])
    op.create_index("ix_audit_entry_subject", "audit_entry", ["subject", "at", "audit_id"])
    op.create_index(
        "ix_audit_entry_responsible",
        "audit_entry",
        [sa.text("coalesce(on_behalf_of, actor_id)"), "at", "audit_id"],
    )


def _create_figures_indexes() -> None:
    """Create the indexes that page through customers by usage and by outstanding amount.

    They slow down only the background count, not recording usage.
    """
    op.create_index("ix_customer_figures_usage", "customer_figures", ["usage_quantity", "customer_id"])
    op.create_index(
        "ix_customer_figures_outstanding", "customer_figures", ["outstanding_minor", "customer_id"]
    )


def _create_idempotent_request_index() -> None:
    """Create the index that finds expired responses."""
    op.create_index("ix_idempotent_request_created_at", "idempotent_request", ["created_at"])


# Functions and triggers
#
# Triggers enforce the rules that no key or CHECK can express. They also apply to the owner of the tables, so
# they are the second safeguard of append-only tables, after the privileges of the application's role. Every
# function sets its search path, so that a temporary table with the name of one of our tables is never read
# instead.

PLPGSQL = "LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp"

REFUSE_CHANGE = f"""
CREATE FUNCTION refuse_change() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is not allowed', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$
"""

# One statement inserts all lines of an invoice. Their count and sum must match the invoice after
# every statement, so no line can be added later.
CHECK_INVOICE_LINES = f"""
CREATE FUNCTION check_invoice_lines() RETURNS trigger {PLPGSQL} AS $$
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
$$
"""

CHECK_INVOICE_CLOSED = f"""
CREATE FUNCTION check_invoice_closed() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a JOIN public.customer_billing b USING (customer_id)
        WHERE b.closed_through < a.period_start
    ) THEN
        RAISE EXCEPTION 'an invoice can only be created for a closed period'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$
"""

# The numbers of a gap follow the customer's last invoice or gap, so that they overlap neither.
CHECK_NUMBER_GAP = f"""
CREATE FUNCTION check_number_gap() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.customer_billing b
        WHERE b.customer_id = NEW.customer_id AND b.last_number = NEW.first_sequence - 1
          AND b.last_sha256 IS NOT DISTINCT FROM NEW.previous_sha256
    ) THEN
        RAISE EXCEPTION 'a gap in invoice numbers must follow the last invoice of the customer'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$
"""

# In place of a foreign key, and of a lookup per row: see `_create_usage_event_table`. A billing row
# belongs to an existing customer, by its foreign key.
CHECK_NEW_USAGE = f"""
CREATE FUNCTION check_new_usage() RETURNS trigger {PLPGSQL} AS $$
DECLARE
    refused record;
BEGIN
    SELECT a.customer_id, b.closed_through INTO refused
    FROM (
        SELECT customer_id, min(billing_period) AS billing_period FROM added
        GROUP BY customer_id ORDER BY customer_id
    ) a
    LEFT JOIN public.customer_billing b USING (customer_id)
    WHERE b.customer_id IS NULL OR a.billing_period <= b.closed_through
    LIMIT 1;
    IF FOUND AND refused.closed_through IS NULL THEN
        RAISE EXCEPTION 'usage can only be recorded for an existing customer'
            USING ERRCODE = 'foreign_key_violation';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'usage can only be billed in an open period'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$
"""

REFUSE_CUSTOMER_REMOVAL = f"""
CREATE FUNCTION refuse_customer_removal() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    RAISE EXCEPTION 'a customer cannot be deleted, and its ID cannot change'
        USING ERRCODE = 'restrict_violation';
END
$$
"""

REFUSE_REOPENING = f"""
CREATE FUNCTION refuse_reopening() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    RAISE EXCEPTION 'a billing row cannot change its customer, reopen a period or reuse an invoice number'
        USING ERRCODE = 'restrict_violation';
END
$$
"""

CHECK_SUBSCRIPTION_OPEN = f"""
CREATE FUNCTION check_subscription_open() RETURNS trigger {PLPGSQL} AS $$
DECLARE touched record := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'a subscription row cannot be updated: delete it and insert a new one'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT FROM public.customer_billing b
        WHERE b.customer_id = touched.customer_id
          AND b.closed_through >= touched.effective_from
    ) THEN
        RAISE EXCEPTION 'the subscription of a closed period cannot be changed'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN touched;
END
$$
"""

REFUSE_NEW_TERMS = f"""
CREATE FUNCTION refuse_new_terms() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF TG_OP = 'DELETE'
       OR to_jsonb(NEW) - 'archived_at' IS DISTINCT FROM to_jsonb(OLD) - 'archived_at'
    THEN
        RAISE EXCEPTION 'a plan version can only be archived: create a new version to change its terms'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$
"""

# The next four functions maintain open_invoice in the same transaction that creates an invoice,
# records a payment or reverses one, so nothing can bypass them. Such a transaction holds the lock on
# the customer's billing row, so two of them never update the same invoice at once. open_invoice is
# only used to find invoices: amounts shown as paid are summed from the payments, and verification
# compares the two.
OPEN_NEW_INVOICES = f"""
CREATE FUNCTION open_new_invoices() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    INSERT INTO public.open_invoice (customer_id, period_start, due_on, paid_minor)
    SELECT customer_id, period_start, due_on, 0 FROM added WHERE total_minor > 0;
    RETURN NULL;
END
$$
"""

SETTLE_INVOICE = f"""
CREATE FUNCTION settle_invoice(customer bigint, period date) RETURNS void {PLPGSQL} AS $$
BEGIN
    DELETE FROM public.open_invoice o WHERE o.customer_id = customer AND o.period_start = period;
    INSERT INTO public.open_invoice (customer_id, period_start, due_on, paid_minor)
    SELECT i.customer_id, i.period_start, i.due_on, paid.minor
    FROM public.invoice i
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.amount_minor), 0) AS minor FROM public.payment p
        WHERE p.customer_id = i.customer_id AND p.period_start = i.period_start
          AND NOT EXISTS (SELECT FROM public.payment_reversal r
                          WHERE r.customer_id = p.customer_id AND r.payment_id = p.payment_id)
    ) paid
    WHERE paid.minor < i.total_minor
    AND i.customer_id = customer AND i.period_start = period;
END
$$
"""

SETTLE_PAID_INVOICE = f"""
CREATE FUNCTION settle_paid_invoice() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    PERFORM public.settle_invoice(NEW.customer_id, NEW.period_start);
    RETURN NULL;
END
$$
"""

SETTLE_REVERSED_INVOICE = f"""
CREATE FUNCTION settle_reversed_invoice() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    PERFORM public.settle_invoice(p.customer_id, p.period_start) FROM public.payment p
    WHERE p.customer_id = NEW.customer_id AND p.payment_id = NEW.payment_id;
    RETURN NULL;
END
$$
"""

# By signature, which is what DROP FUNCTION needs.
FUNCTIONS = {
    "refuse_change()": REFUSE_CHANGE,
    "check_invoice_lines()": CHECK_INVOICE_LINES,
    "check_invoice_closed()": CHECK_INVOICE_CLOSED,
    "check_new_usage()": CHECK_NEW_USAGE,
    "refuse_customer_removal()": REFUSE_CUSTOMER_REMOVAL,
    "check_number_gap()": CHECK_NUMBER_GAP,
    "refuse_reopening()": REFUSE_REOPENING,
    "check_subscription_open()": CHECK_SUBSCRIPTION_OPEN,
    "refuse_new_terms()": REFUSE_NEW_TERMS,
    "open_new_invoices()": OPEN_NEW_INVOICES,
    "settle_invoice(bigint, date)": SETTLE_INVOICE,
    "settle_paid_invoice()": SETTLE_PAID_INVOICE,
    "settle_reversed_invoice()": SETTLE_REVERSED_INVOICE,
}

APPEND_ONLY_TABLES = (
    "usage_event",
    "invoice",
    "invoice_line",
    "number_gap",
    "payment",
    "payment_reversal",
    "audit_entry",
)

TRIGGERS = (
    *(
        f"""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
        """
        for table in APPEND_ONLY_TABLES
    ),
    """
    CREATE TRIGGER lines_complete AFTER INSERT ON invoice_line REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_invoice_lines()
    """,
    """
    CREATE TRIGGER period_closed AFTER INSERT ON invoice REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_invoice_closed()
    """,
    """
    CREATE TRIGGER customer_exists_and_period_open
    AFTER INSERT ON usage_event REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_new_usage()
    """,
    """
    CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON customer
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_customer_removal()
    """,
    """
    CREATE TRIGGER keeps_its_id BEFORE UPDATE ON customer FOR EACH ROW
    WHEN (NEW.customer_id <> OLD.customer_id)
    EXECUTE FUNCTION refuse_customer_removal()
    """,
    """
    CREATE TRIGGER follows_last_number BEFORE INSERT ON number_gap FOR EACH ROW
    EXECUTE FUNCTION check_number_gap()
    """,
    """
    CREATE TRIGGER only_onwards BEFORE UPDATE ON customer_billing FOR EACH ROW
    WHEN (NEW.closed_through < OLD.closed_through
          OR NEW.settled_through < OLD.settled_through
          OR NEW.last_number < OLD.last_number
          OR NEW.customer_id <> OLD.customer_id)
    EXECUTE FUNCTION refuse_reopening()
    """,
    """
    CREATE TRIGGER period_open BEFORE INSERT OR UPDATE OR DELETE ON subscription FOR EACH ROW
    EXECUTE FUNCTION check_subscription_open()
    """,
    """
    CREATE TRIGGER terms_stay BEFORE UPDATE OR DELETE ON plan FOR EACH ROW
    EXECUTE FUNCTION refuse_new_terms()
    """,
    """
    CREATE TRIGGER opened AFTER INSERT ON invoice REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION open_new_invoices()
    """,
    """
    CREATE TRIGGER settled AFTER INSERT ON payment FOR EACH ROW
    EXECUTE FUNCTION settle_paid_invoice()
    """,
    """
    CREATE TRIGGER settled AFTER INSERT ON payment_reversal FOR EACH ROW
    EXECUTE FUNCTION settle_reversed_invoice()
    """,
)
