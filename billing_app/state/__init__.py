"""The state of the pages. Handlers identify the caller, call a service and show the result.

Only strings are sent to browsers. There are no SQL statements and no tables here."""
