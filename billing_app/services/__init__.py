"""The use cases: `fn(session, actor, ...) -> frozen result`.

Each asks for its permission first, says its invariant in the first docstring line, and leaves the
commit to `db.transaction`.
"""
