"""Conventions of the HTTP API: values, errors, pages, and the OpenAPI document."""
