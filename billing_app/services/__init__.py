"""The use cases: `fn(session, actor, ...) -> frozen result`.

Each one checks the permission first, states its invariant in the first line of its docstring, and leaves the
commit to `Database.transaction`.
"""
