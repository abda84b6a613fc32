"""One invoice as printed, with its payments and the explanation of its amounts."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.invoice import InvoiceState
from billing_app.state.presenters.invoices import PaymentItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import (
    Text,
    action_button,
    by_phase,
    icon,
    link,
    notice,
    payment_badge,
    skeleton,
)
from billing_app.ui.kit.layout import page
from billing_app.ui.pages.invoice_lines import lines
from billing_app.ui.pages.payments import apply_credit_button, payment_dialogs, payments, record_button


def invoice() -> rx.Component:
    """Render one invoice."""
    return page(
        rx.fragment(rx.el.span(_kind(), " ", class_name="md:sr-only"), InvoiceState.number),
        "Invoices",
        rx.el.div(
            by_phase(
                InvoiceState.phase,
                InvoiceState.problem,
                loading=_skeleton(),
                missing=_missing(),
                ready=rx.fragment(_actions(), _sheet(), payments(), _integrity()),
            ),
            class_name="mx-auto max-w-3xl print:max-w-none",
        ),
        payment_dialogs(),
        above=rx.el.span(
            link("Invoices", "/invoices", "text-sm text-soft hover:text-ink"),
            icon("chevron-right", 14, "shrink-0 text-faint"),
            class_name="hidden shrink-0 items-center gap-2 md:flex",
        ),
    )


def _kind() -> rx.Var[str]:
    """Head an invoice with a total below zero as a credit."""
    return rx.cond(InvoiceState.invoice.status == "credit", "Credit", "Invoice")


def _actions() -> rx.Component:
    sheet = InvoiceState.invoice
    return rx.el.div(
        payment_badge(InvoiceState.invoice.status),
        rx.el.span(_due_sentence(), class_name="text-sm text-soft"),
        rx.el.div(
            _neighbour("Previous", "chevron-left", sheet.previous_number, sheet.previous_href),
            _neighbour("Next", "chevron-right", sheet.next_number, sheet.next_href),
            action_button("Print", "print", "printer", icon_only_when_narrow=True),
            link(
                rx.fragment(icon("file-down"), rx.el.span("PDF", class_name="max-sm:sr-only")),
                sheet.pdf_href,
                classes.BUTTON,
                reload_document=True,
                custom_attrs={"target": "_blank", "rel": "noopener"},
            ),
            apply_credit_button(),
            record_button(),
            class_name="flex flex-wrap items-center gap-2 sm:ml-auto",
        ),
        class_name="mb-3 flex flex-wrap items-center gap-x-3 gap-y-2 print:hidden",
    )


def _neighbour(which: str, icon_name: str, number: rx.Var[str], href: rx.Var[str]) -> rx.Component:
    """Link to the customer's previous or next invoice."""
    return rx.cond(
        number != "",
        link(
            icon(icon_name),
            href,
            classes.BUTTON_ICON,
            aria_label=f"{which} invoice of this customer, {number}",
            title=f"{which} invoice of this customer, {number}",
        ),
        rx.el.span(icon(icon_name), class_name=f"{classes.BUTTON_ICON} opacity-30", aria_hidden=True),
    )


def _due_sentence() -> rx.Var[str]:
    sheet = InvoiceState.invoice
    return rx.match(
        sheet.status,
        ("paid", "Nothing due"),
        ("overdue", f"{sheet.balance} was due by {sheet.due}"),
        ("credit", "Nothing to pay"),
        f"{sheet.balance} due by {sheet.due}",
    )


def _sheet() -> rx.Component:
    """Render the printed part of the invoice."""
    return rx.el.article(
        _issuer_and_number(),
        _customer_and_dates(),
        lines(),
        _totals(),
        _payment_instructions(),
        class_name=f"{classes.PANEL} px-5 py-6 text-sm sm:px-8 sm:py-8 print:border-0 print:p-0",
    )


def _issuer_and_number() -> rx.Component:
    sheet = InvoiceState.invoice
    return rx.el.div(
        rx.el.div(
            rx.el.div(
                sheet.issuer_name,
                class_name="text-base font-semibold leading-6 [overflow-wrap:anywhere]",
            ),
            _lines_of_text(sheet.issuer_address),
            rx.el.div(sheet.issuer_email, class_name="text-soft [overflow-wrap:anywhere]"),
            class_name="min-w-0",
        ),
        rx.el.div(
            rx.el.div(_kind(), class_name=classes.EYEBROW),
            rx.el.div(
                sheet.number,
                class_name="text-base font-semibold leading-6 tabular-nums [overflow-wrap:anywhere]",
            ),
            class_name="min-w-0 sm:text-right",
        ),
        class_name="flex flex-col justify-between gap-4 sm:flex-row",
    )


def _customer_and_dates() -> rx.Component:
    sheet = InvoiceState.invoice
    return rx.el.div(
        rx.el.div(
            rx.el.div("Bill to", class_name=classes.EYEBROW),
            rx.el.div(
                link(sheet.customer_name, sheet.customer_href, "font-medium text-ink hover:underline"),
                class_name="mt-1 [overflow-wrap:anywhere]",
            ),
            _lines_of_text(sheet.customer_address),
            rx.el.div(sheet.customer_email, class_name="text-soft [overflow-wrap:anywhere]"),
            class_name="min-w-0 flex-1 sm:min-w-40",
        ),
        rx.el.dl(
            _fact("Period", sheet.period),
            _fact("Issue date", sheet.issued),
            rx.cond(sheet.status != "credit", _fact("Due date", sheet.due)),
            class_name="grid grid-cols-2 gap-x-8 gap-y-3 sm:flex sm:text-right",
        ),
        class_name="mt-8 flex flex-col gap-6 sm:flex-row sm:flex-wrap",
    )


def _payment_instructions() -> rx.Component:
    instructions = InvoiceState.invoice.payment_instructions
    return rx.cond(
        (instructions != "") & (InvoiceState.invoice.status != "credit"),
        rx.el.div(
            rx.el.div("How to pay", class_name=classes.EYEBROW),
            rx.el.p(
                instructions,
                class_name="mt-1 whitespace-pre-line text-soft [overflow-wrap:anywhere]",
            ),
            class_name="mt-8",
        ),
    )


def _lines_of_text(text: rx.Var[str]) -> rx.Component:
    return rx.el.div(text, class_name="whitespace-pre-line text-soft [overflow-wrap:anywhere] empty:hidden")


def _fact(name: str, value: Text) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name, class_name=classes.EYEBROW),
        rx.el.dd(value, class_name="mt-1 whitespace-nowrap font-medium tabular-nums"),
    )


def _totals() -> rx.Component:
    sheet = InvoiceState.invoice
    return rx.el.dl(
        _total("Total", sheet.total, "font-semibold text-ink"),
        rx.cond(
            InvoiceState.has_all_payments,
            rx.foreach(InvoiceState.payments, _payment),
            _total("Paid", sheet.paid, "text-soft"),
        ),
        rx.cond(
            sheet.status != "credit",
            _total("Amount due", sheet.balance, "border-t border-line pt-2 text-base font-semibold text-ink"),
        ),
        class_name="ml-auto mt-4 flex w-full flex-col gap-2 sm:max-w-sm",
    )


def _payment(payment: rx.Var[PaymentItem]) -> rx.Component:
    return _total(
        rx.el.span(
            rx.cond(
                payment.is_credit,
                "Credit applied on ",
                rx.cond(payment.reversal_reason != "", "Payment of ", "Paid on "),
            ),
            payment.received,
            rx.cond((payment.method != "") & ~payment.is_credit, f", {payment.method}", ""),
            rx.cond(payment.reference != "", f" ({payment.reference})", ""),
            rx.cond(
                payment.reversal_reason != "",
                rx.el.span(
                    f"Reversed: {payment.reversal_reason}",
                    class_name="block text-xs leading-4 text-bad",
                ),
            ),
        ),
        rx.cond(
            payment.reversal_reason != "",
            rx.el.s(payment.amount),
            rx.fragment("\N{MINUS SIGN}", payment.amount),
        ),
        "text-soft",
    )


def _total(name: Text | rx.Component, amount: Text | rx.Component, class_name: str) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name, class_name="min-w-0 flex-1 [overflow-wrap:anywhere]"),
        # A sum only wraps if it takes more than its share of the line.
        rx.el.dd(amount, class_name="max-w-[70%] shrink-0 text-right tabular-nums [overflow-wrap:anywhere]"),
        class_name=f"flex justify-between gap-6 {class_name}",
    )


def _integrity() -> rx.Component:
    sheet = InvoiceState.invoice
    return rx.el.section(
        rx.el.div(
            rx.cond(sheet.chain_ok, *_integrity_results()),
            class_name="flex items-center gap-2 text-soft",
        ),
        rx.cond(sheet.gap != "", rx.el.p(sheet.gap, class_name="mt-1 pl-6 text-soft")),
        rx.el.dl(
            _hash("Content SHA-256", sheet.content_sha256),
            rx.cond(
                sheet.previous_sha256 != "",
                _hash(rx.cond(sheet.gap != "", "Skipped numbers", "Previous invoice"), sheet.previous_sha256),
            ),
            class_name="mt-2 flex flex-col gap-1 pl-6",
        ),
        rx.el.p(
            "The hash covers the whole invoice, including every line and the previous invoice’s hash, so that"
            " changing or removing an invoice would break every later hash. It was recomputed when this page"
            " loaded. Payments are not part of it.",
            class_name="mt-2 max-w-prose text-pretty pl-6 text-faint print:hidden",
        ),
        aria_label="Integrity",
        class_name="mt-8 px-1 text-xs leading-4",
    )


def _integrity_results() -> tuple[rx.Component, rx.Component]:
    """What is shown for an invoice that is unchanged, and for one that was changed."""
    sheet = InvoiceState.invoice
    return (
        rx.fragment(
            icon("shield-check", 16, "shrink-0 text-good"),
            rx.cond(
                sheet.gap != "",
                "Unchanged since it was issued, and linked to the numbers skipped before it",
                rx.cond(
                    sheet.previous_sha256 != "",
                    "Unchanged since it was issued, and linked to the previous invoice",
                    "Unchanged since it was issued. This is the customer’s first invoice.",
                ),
            ),
        ),
        rx.fragment(
            icon("shield-alert", 16, "shrink-0 text-bad"),
            rx.el.span(
                "Changed since it was issued, or not linked to the previous invoice. See Verification for details.",
                class_name="font-medium text-bad",
            ),
        ),
    )


def _hash(name: Text, value: rx.Var[str]) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name, class_name="w-28 shrink-0 text-faint"),
        rx.el.dd(value, class_name="min-w-0 font-mono text-[11px] text-soft [overflow-wrap:anywhere]"),
        class_name="flex flex-col sm:flex-row",
    )


def _missing() -> rx.Component:
    return rx.el.div(
        notice(
            "file-x",
            "Invoice not found",
            rx.fragment("No invoice has the number “", InvoiceState.number, "”."),
            link("All invoices", "/invoices", classes.BUTTON),
        ),
        class_name=classes.PANEL,
    )


def _skeleton() -> rx.Component:
    return rx.el.div(
        skeleton("h-5 w-40"),
        skeleton("mt-2 h-4 w-56"),
        skeleton("mt-10 h-4 w-48"),
        *[skeleton("mt-6 h-4 w-full") for _ in range(4)],
        class_name=f"{classes.PANEL} mt-11 h-[32rem] p-8",
    )
