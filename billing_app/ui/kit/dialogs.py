"""Dialogs. Native elements keep the focus inside, close with Escape and return the focus to the opener."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.kit.forms import OPENED_FORM
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, icon, link
from billing_app.ui.kit.buttons import button, copy_button, icon_button, submit_button
from billing_app.ui.kit.fields import DialogForm


def form_dialog(
    dialog: DialogForm,
    on_submit: Any,
    *content: rx.Component,
    submit: Text = "Save",
    dismiss: Text = "Cancel",
    explanation: Text | rx.Component = "",
    danger: bool = False,
) -> rx.Component:
    """Create a dialog with a form. One handler opens it (`open_dialog`), and another one submits it."""
    form, title_id = dialog.form, f"{dialog.name}-title"
    return rx.el.dialog(
        rx.el.form(
            rx.el.div(
                rx.el.h2(
                    form.title,
                    class_name="min-w-0 text-base font-semibold leading-6 [overflow-wrap:anywhere]",
                    custom_attrs={"id": title_id},
                ),
                icon_button("Close", "x", custom_attrs={"data-action": "close-dialog"}),
                class_name="flex items-start justify-between gap-3 pl-5 pr-3.5 pt-4",
            ),
            rx.el.div(
                rx.el.p(explanation, class_name="text-pretty text-sm text-soft empty:hidden"),
                *content,
                # Each opening has new fields, so that none keeps previously typed text.
                key=form.opened,
                class_name="flex flex-col gap-4 px-5 pb-5 pt-3",
            ),
            _problem(form),
            _status(),
            _hidden(form),
            _buttons(submit, dismiss, danger=danger),
            on_submit=on_submit,
            custom_attrs={"data-form": "", "data-opened": form.opened, "noValidate": True},
        ),
        class_name=classes.DIALOG,
        custom_attrs={"id": dialog.name, "aria-labelledby": title_id},
    )


def confirm_dialog(
    dialog: DialogForm,
    on_submit: Any,
    explanation: Text | rx.Component,
    *content: rx.Component,
    submit: Text,
    dismiss: Text = "Cancel",
    danger: bool = True,
) -> rx.Component:
    """Create a dialog that asks for confirmation before something that can't be undone."""
    return form_dialog(
        dialog, on_submit, *content, submit=submit, dismiss=dismiss, explanation=explanation, danger=danger
    )


def form_in_place(
    dialog: DialogForm, on_submit: Any, *content: rx.Component, submit: Text = "Save"
) -> rx.Component:
    """Create a form that is part of its page. `load` starts it (`start_form`), and a handler submits it."""
    form = dialog.form
    return rx.el.form(
        rx.el.div(*content, key=form.opened, class_name="flex flex-col gap-4 px-5 py-5"),
        _problem(form),
        _status(),
        _hidden(form),
        rx.el.div(
            submit_button(submit), class_name="flex justify-end border-t border-line bg-sunken px-5 py-3"
        ),
        on_submit=on_submit,
        class_name=f"{classes.PANEL} overflow-hidden",
        custom_attrs={"data-form": "", "data-opened": form.opened, "noValidate": True},
    )


def info_dialog(name: str, title: Text | rx.Component, *content: rx.Component) -> rx.Component:
    """Create a dialog that only shows something. A handler opens it: `run_in_browser("openDialog", name)`."""
    title_id = f"{name}-title"
    return rx.el.dialog(
        rx.el.div(
            rx.el.h2(
                title,
                class_name="min-w-0 text-base font-semibold leading-6 [overflow-wrap:anywhere]",
                custom_attrs={"id": title_id},
            ),
            icon_button("Close", "x", custom_attrs={"data-action": "close-dialog"}),
            class_name="flex items-start justify-between gap-3 pl-5 pr-3.5 pt-4",
        ),
        rx.el.div(*content, class_name="px-5 pb-5 pt-2"),
        rx.el.div(
            button("Done", custom_attrs={"data-action": "close-dialog", "data-cancel": ""}),
            class_name="sticky bottom-0 flex justify-end border-t border-line bg-sunken px-5 py-3",
        ),
        class_name=classes.DIALOG,
        custom_attrs={"id": name, "aria-labelledby": title_id},
    )


def secret_dialog(
    name: str, title: Text | rx.Component, label: Text, explanation: Text | rx.Component
) -> rx.Component:
    """Create a dialog that shows a secret once; `run_in_browser("showSecret", name, secret)` opens it.

    The secret is sent directly to the browser. It is never stored in a state, and removed when the dialog
    closes.
    """
    title_id = f"{name}-title"
    return rx.el.dialog(
        rx.el.div(
            rx.el.h2(title, class_name="text-base font-semibold leading-6", custom_attrs={"id": title_id}),
            rx.el.p(explanation, class_name="mt-3 text-pretty text-sm text-soft"),
            rx.el.div(label, class_name=f"mt-4 {classes.LABEL}"),
            rx.el.div(
                rx.el.code(
                    class_name="min-w-0 flex-1 select-all break-all font-mono text-[13px] leading-5 text-ink",
                    custom_attrs={"data-secret": ""},
                ),
                copy_button(),
                class_name="mt-1.5 flex items-center gap-3 rounded-md border border-line bg-sunken p-2 pl-3",
            ),
            rx.el.p(
                icon("triangle-alert", 16, "mt-0.5 shrink-0"),
                "Copy it now. You won't be able to see it again after you close this.",
                class_name="mt-4 flex gap-2 rounded-md bg-warn-soft px-3 py-2 text-sm text-warn",
            ),
            class_name="px-5 pb-5 pt-4",
        ),
        rx.el.div(
            button("Done", look="primary", custom_attrs={"data-action": "close-dialog"}),
            class_name="flex justify-end border-t border-line bg-sunken px-5 py-3",
        ),
        class_name=classes.DIALOG,
        custom_attrs={"id": name, "aria-labelledby": title_id},
    )


def _buttons(submit: Text, dismiss: Text, *, danger: bool) -> rx.Component:
    """Return the buttons, and the question that assets/js/dialogs.js shows instead of them."""
    return rx.el.div(
        rx.el.div(
            button(dismiss, custom_attrs={"data-action": "cancel-dialog", "data-cancel": ""}),
            submit_button(submit, look="danger" if danger else "primary"),
            class_name="flex flex-wrap justify-end gap-2",
            custom_attrs={"data-usual": ""},
        ),
        rx.el.div(
            rx.el.p(class_name="mr-auto text-sm font-medium", custom_attrs={"data-question": ""}),
            button("Keep editing", custom_attrs={"data-action": "keep-editing"}),
            button("Discard", look="danger", custom_attrs={"data-action": "discard"}),
            role="group",
            class_name="flex flex-wrap items-center justify-end gap-2",
            custom_attrs={"data-question-group": ""},
        ),
        class_name="sticky bottom-0 border-t border-line bg-sunken px-5 py-3",
    )


def _status() -> rx.Component:
    """Return the element in which assets/js/forms.js shows that the response is missing."""
    return rx.el.p(
        role="status",
        class_name="mx-5 mb-5 rounded-md bg-warn-soft px-3 py-2 text-sm text-warn empty:hidden",
        custom_attrs={"data-form-status": ""},
    )


def _hidden(form: rx.Var[Any]) -> rx.Component:
    """Return the hidden fields: the hidden values, and the form as it was opened."""
    return rx.fragment(
        rx.foreach(form.hidden, lambda pair: rx.el.input(type="hidden", name=pair[0], value=pair[1])),
        rx.el.input(type="hidden", name=OPENED_FORM, value=form.to_string()),
    )


def _problem(form: rx.Var[Any]) -> rx.Component:
    """Return the element that shows an error about the whole form, with a link if the error has one."""
    return rx.el.div(
        rx.cond(
            form.problem != "",
            rx.el.div(
                icon("circle-alert", 16, "mt-0.5 shrink-0"),
                rx.el.div(
                    form.problem,
                    rx.cond(
                        form.problem_href != "",
                        link(
                            form.problem_link,
                            form.problem_href,
                            "block font-medium underline underline-offset-4",
                        ),
                    ),
                    class_name="min-w-0 [overflow-wrap:anywhere]",
                ),
                class_name="mx-5 mb-5 flex gap-2 rounded-md bg-bad-soft px-3 py-2 text-sm text-bad",
            ),
        ),
        role="alert",
    )
