"""Database tables, with their columns and named constraints. They contain no logic.

`customer_id` is the first column of every key of a customer-owned table, so that the same schema can be
distributed by it. The other tables, such as `plan` and `customer`, are then copied to every node.
Append-only tables are protected twice: by the privileges in `database/privileges.py`, and by the
triggers in `database/baseline`.
"""

from billing_app.models.adjustment import Discount, OneOffItem
from billing_app.models.customer import Customer, CustomerBilling, Subscription, Suspension
from billing_app.models.figures import CustomerFigures, DashboardFigures
from billing_app.models.getting_started import GettingStartedDismissal
from billing_app.models.idempotency import IdempotentRequest
from billing_app.models.identity import ApiToken, KnownPlace, SignInAttempt, UserAccount, UserSession
from billing_app.models.imports import UsageImport, UsageImportPart, UsageImportRejectedRow
from billing_app.models.invoice import Invoice, NumberGap, OpenInvoice, Payment, PaymentReversal
from billing_app.models.invoice_line import InvoiceLine
from billing_app.models.issuer import Issuer
from billing_app.models.ledger import AuditEntry, InvoiceRun, InvoiceRunFailure, Verification
from billing_app.models.plan import Meter, Plan, PlanCharge, PlanTier
from billing_app.models.refund import Refund, RefundReversal
from billing_app.models.simulation import SimulatedCustomer, Simulation
from billing_app.models.usage import UsageCorrection, UsageEvent

__all__ = [
    "ApiToken",
    "AuditEntry",
    "Customer",
    "CustomerBilling",
    "CustomerFigures",
    "DashboardFigures",
    "Discount",
    "GettingStartedDismissal",
    "IdempotentRequest",
    "Invoice",
    "InvoiceLine",
    "InvoiceRun",
    "InvoiceRunFailure",
    "Issuer",
    "KnownPlace",
    "Meter",
    "NumberGap",
    "OneOffItem",
    "OpenInvoice",
    "Payment",
    "PaymentReversal",
    "Plan",
    "PlanCharge",
    "PlanTier",
    "Refund",
    "RefundReversal",
    "SignInAttempt",
    "SimulatedCustomer",
    "Simulation",
    "Subscription",
    "Suspension",
    "UsageCorrection",
    "UsageEvent",
    "UsageImport",
    "UsageImportPart",
    "UsageImportRejectedRow",
    "UserAccount",
    "UserSession",
    "Verification",
]
