"""The text for each rule that a value can break. It follows the field's name: `quantity must be ...`."""

from __future__ import annotations

from billing_app.errors import FieldError
from billing_app.wording.sentences import Template, capitalized, fill, format_fact

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}

RULES: dict[str, Template] = {
    # Text.
    "not_text": "must be text",
    "empty": "must not be empty",
    "too_long": "must be at most {at_most} characters",
    "length": "must be 1 to {at_most} characters",
    "control_characters": "must not contain control characters such as tabs or line breaks",
    "invisible_character": "must not contain the invisible character {character} ({name})",
    "nothing_visible": "must contain at least one visible character",
    "malformed_unicode": "must be well-formed Unicode",
    "not_utf8": "must be UTF-8 text",
    "not_an_email": "must be an email address, such as ada@example.com",
    "not_a_key": (
        "must be 1 to 63 letters, digits, dots, underscores or hyphens, and start with a letter or digit"
    ),
    "looks_like_an_id": "must not start with cus_, because customer IDs do",
    "not_a_customer": "must be the ID or the key of a customer",
    # Choices.
    "not_a_choice": "must be one of {choices}",
    "missing": "is required",
    "unknown_field": "is not a field of this request",
    "unknown_parameter": lambda facts: (
        "is not a query parameter of this request"
        + (". It takes {known}" if facts["known"] else ", which takes none")
    ),
    "repeated_parameter": "must be given only once",
    "repeated": "must not contain the same value twice",
    # Numbers.
    "not_a_number": "must be a decimal number",
    "not_a_local_number": "must be a number written like {example}",
    "not_a_whole_number": "must be a whole number",
    "not_finite": "must be a finite number",
    "negative": "must be zero or more",
    "not_positive": "must be greater than zero",
    "not_a_percentage": "must be above 0 and at most 100",
    "percent_or_amount": "or the amount must be given, but not both",
    "before_first_period": "must not be before the first month",
    "too_far_ahead": "must be at most {months} months ahead",
    "too_many_digits": "must have at most {digits} digits before the decimal point",
    "too_many_decimals": lambda facts: (
        "must have at most {decimals} decimals" if facts["decimals"] else "must be a whole number"
    ),
    "not_a_currency": "must be an ISO 4217 currency code, such as USD",
    "out_of_range": "must be between {at_least} and {at_most}",
    "exceeds_balance": "must be at most the outstanding {balance}",
    "exceeds_credit": "must be at most the credit of {credit}",
    # Prices of plans.
    "too_many_items": "must have at most {at_most} entries",
    "meter_repeated": "must be different for each charge",
    "not_a_term_of_model": "must not be given for the model {model}",
    "not_with_charges": "must not be given together with charges",
    "last_tier_has_no_bound": "must be empty for the last tier, which has no upper bound",
    "not_ascending": "must be greater than the upper bound of the tier before",
    # Simulations.
    "after_this_month": "must not be after the current month",
    "not_one_selection": "must name one customer, one plan or one currency",
    "not_with_plan_id": "must not be given together with plan_id",
    # Time.
    "not_a_date": "must be a date, such as 2026-10-31",
    "not_a_period": "must be a month written as YYYY-MM, such as 2026-10",
    "not_a_day": "must be a date, such as 2026-10-31, or a month, such as 2026-10",
    "not_with_cancel": "must not be given together with cancel",
    "not_a_first_day": "must be the first day of a month",
    "not_a_date_and_time": "must be a date and a time",
    "not_a_timestamp": "must be an RFC 3339 timestamp with an offset, such as 2026-10-31T23:00:00Z",
    "no_such_time": "must be a valid date and time",
    "no_offset": "must have an offset, such as Z",
    "out_of_years": lambda facts: f"must be between the years {facts['first']} and {facts['last']}",
    "in_the_future": "must not be after today",
    "occurred_in_future": "must not be more than 5 minutes in the future",
    "no_plan": "must be on a day on which the customer has a plan",
    "customer_suspended": "must be at a time when the customer was not suspended",
    # Lists.
    "not_a_cursor": "must be the next_cursor of an earlier page of this list",
    "not_a_cursor_of_this_order": "must be the next_cursor of an earlier page in the same order",
    # Usage.
    "customer_not_found": "does not exist",
    "meter_not_found": "does not exist",
    "not_a_meter": "must be the code of a meter",
    "not_a_meter_code": "must be 1 to 63 lower-case letters, digits and underscores",
    "only_of_default_meter": "can be set only for the default meter",
    "unknown_type": "is not taken by any meter",
    "item_missing": "is required, because the meter counts different items",
    "item_not_counted": "must not be given, because the meter doesn't count different items",
    "not_one": "must be 1 or omitted, because the meter counts different items",
    "used_before": "was already used with a different quantity or time",
    "used_elsewhere": "was already used with a different meter or item",
    "used_before_by": (
        "was already used for {customer} with a different quantity or time. That event is unchanged."
    ),
    "event_not_found": "must be the key of an event of this customer",
    "nothing_to_correct": "is already the quantity of the event",
    "not_zero_or_one": "must be 0 or 1 on a meter that counts different items",
    "not_zero_without_plan": "must be 0, because the customer had no plan on the day of the event",
    "used_for_another_correction": "was already used for a different correction",
    "too_many_corrections": "must contain at most {at_most} corrections",
    "too_many_events": "must contain at most {at_most} events",
    "not_an_object": "must be a JSON object",
    "not_a_cloudevent": "must be a CloudEvent, which is a JSON object",
    "not_version_1": 'must be "1.0"',
    "has_a_space": "must not contain a space",
    "no_quantity": "must be an object with quantity or value",
    "one_event": lambda facts: f"must be one event; send a list as {facts['media_type']}",
    "many_events": lambda facts: f"must be a list of events; send one event as {facts['media_type']}",
    "not_percent_encoded": "must be percent-encoded UTF-8",
    # Usage files, their headers and their rows.
    "no_header": "is empty. The first line must name the columns: {columns}",
    "missing_columns": lambda facts: (
        f"is missing the {'column' if len(facts['missing']) == 1 else 'columns'}"
        f" {format_fact(facts['missing'])}. It must name: {format_fact(facts['columns'])}"
    ),
    "repeated_columns": "names a column more than once: {repeated}. Keep one of them",
    "unknown_columns": lambda facts: (
        f"has an unknown column: {format_fact(facts['unknown'])}. Remove or rename it"
        if len(facts["unknown"]) == 1
        else f"has unknown columns: {format_fact(facts['unknown'])}. Remove or rename them"
    ),
    "unnamed_column": "has no name in column {number}. Remove the empty column",
    "wrong_separator": lambda facts: (
        f"separates columns with {_SEPARATORS[facts['separator']]}."
        " Save it with commas, in Excel as CSV UTF-8 (comma delimited)"
    ),
    "separator_line": "starts with a line that only Excel reads (sep=). Remove that line and use commas",
    "utf16": "is UTF-16 text. Save it as UTF-8, in Excel as CSV UTF-8 (comma delimited)",
    "workbook": "is an Excel workbook. Save the sheet as CSV UTF-8 (comma delimited) and import that file",
    "compressed": "is compressed with {format}. Decompress it, or use gzip",
    "compressed_twice": "is compressed twice. Decompress it once",
    "not_a_text_file": "is not a text file. Choose a CSV file",
    "damaged": lambda facts: (
        (f"is damaged after line {facts['line']:,}" if facts["line"] else "is damaged")
        + ". Download or compress it again"
    ),
    "changed_while_reading": "changed while it was being read. Import it again when it is complete",
    "file_too_large": "must be at most {at_most} bytes",
    "unreadable_file": "can't be read: {reason}",
    "row_too_long": "must have at most {at_most} characters",
    "wrong_width": "must have {expected} columns, but has {found}",
    "unclosed_quote": "has an opening quote without a closing quote on the same line",
    "stray_quote": (
        "has a quote inside an unquoted value. Put the value in quotes and write each quote in it twice"
    ),
    "text_after_quote": (
        "has text after a closing quote. Write a quote that is part of a quoted value twice"
    ),
    # Passwords and tokens.
    "password_too_short": "must have at least {at_least} characters",
    "password_too_long": "must be at most {at_most} bytes",
    "password_too_common": "is one of the most common passwords",
    "password_unchanged": "must be different from the current password",
    "wrong_password": "is not the current password",
    "no_scope": "must name at least one scope",
    # What people type on pages.
    "ambiguous_customer": "is the name of several customers. Enter a key instead: {keys}",
    "part_of_a_customer": "is only part of a customer's name or key. Did you mean {keys}?",
    "no_such_customer": "is not the name or key of a customer",
    "no_plan_chosen": "is required",
    "no_such_plan": "is not the name of a plan",
}


def rule_text(error: FieldError) -> str:
    """Write the rule as the rest of a sentence that starts with the field: `must be zero or more`."""
    return fill(RULES[error.rule], error.facts)


def rule_sentence(error: FieldError) -> str:
    """Write the rule as a sentence for a form that shows it under the field: `Must be zero or more.`"""
    text = rule_text(error)
    text = capitalized(text if text.startswith("must ") else f"this {text}")
    return text if text.endswith(("?", ".")) else f"{text}."
