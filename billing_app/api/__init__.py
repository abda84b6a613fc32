"""The HTTP API: parse, call a service, answer. It knows services, never the pages."""
