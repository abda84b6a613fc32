"""ASGI middleware. `stack` puts it together in the order that a request meets it."""
