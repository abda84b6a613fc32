"""ASGI middleware, in the order that a request meets it: see `billing_app.create_asgi`."""
