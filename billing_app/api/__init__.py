"""The HTTP API: parse a request, call a service, respond. It uses services, never pages."""
