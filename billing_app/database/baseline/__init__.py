"""The schema that the migration `2026_11_28_baseline` creates, with one file for each subject.

A file has the subject's tables with their checks and indexes, the triggers on these tables, and the functions
that these triggers call. The columns are written out, and not taken from `billing_app/models`: the models
describe the newest schema, and a migration the one that it creates. Until the first release, both are edited
together. Afterwards other migrations change the schema, and these files stay as they are.

Triggers enforce the rules that no key or CHECK can express. They also apply to the owner of the tables, so
they are the second safeguard of append-only tables, after the privileges of the application's role.
"""
