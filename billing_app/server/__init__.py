"""Serving HTTP: the server process, the page build, and the middleware in front of pages and API."""
