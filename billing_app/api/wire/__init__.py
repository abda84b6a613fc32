"""Conventions of the HTTP API: values, errors, pagination and the OpenAPI document."""
