"""Dialogs: native ones, so that focus stays inside, Escape closes and the opener gets focus back."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.ui import classes
from billing_app.ui.components.basics import Text, icon, link
from billing_app.ui.components.buttons import button, icon_button, submit_button
from billing_app.ui.components.fields import FormOf


def form_dialog(
    at: FormOf,
    on_submit: Any,
    *content: rx.Component,
    submit: Text = "Save",
    explanation: Text | rx.Component = "",
    danger: bool = False,
) -> rx.Component:
    """A form of one column. Its handler opens it (`state.forms.opened`) and answers its submit."""
    form, title_id = at.form, f"{at.name}-title"
    return rx.el.dialog(
        rx.el.form(
            rx.el.div(
                rx.el.h2(
                    form.title,
                    class_name="min-w-0 text-base font-semibold leading-6",
                    custom_attrs={"id": title_id},
                ),
                icon_button("Close", "x", custom_attrs={"data-action": "close-dialog"}),
                class_name="flex items-start justify-between gap-3 pl-5 pr-3.5 pt-4",
            ),
            rx.el.div(
                rx.el.p(explanation, class_name="text-pretty text-sm text-soft empty:hidden"),
                *content,
                # Other fields at each opening, so that none keeps what was typed the last time.
                key=form.opened.to_string(),
                class_name="flex flex-col gap-4 px-5 pb-5 pt-3",
            ),
            _problem(form),
            rx.foreach(form.hidden, lambda pair: rx.el.input(type="hidden", name=pair[0], value=pair[1])),
            rx.el.div(
                button("Cancel", custom_attrs={"data-action": "close-dialog", "data-cancel": ""}),
                submit_button(submit, look="danger" if danger else "primary"),
                class_name="sticky bottom-0 flex justify-end gap-2 border-t border-line bg-sunken px-5 py-3",
            ),
            on_submit=on_submit,
            custom_attrs={"data-form": "", "noValidate": True},
        ),
        class_name=classes.DIALOG,
        custom_attrs={"id": at.name, "aria-labelledby": title_id},
    )


def confirm_dialog(
    at: FormOf,
    on_submit: Any,
    explanation: Text | rx.Component,
    *content: rx.Component,
    submit: Text,
    danger: bool = True,
) -> rx.Component:
    """Asks before something that can't be undone; its button says what it does."""
    return form_dialog(at, on_submit, *content, submit=submit, explanation=explanation, danger=danger)


def _problem(form: rx.Var[Any]) -> rx.Component:
    """What a refusal says of the whole form, with the way to what is in the way."""
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
