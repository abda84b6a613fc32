"""All that may reach a browser: frozen rows of strings, made from what services return."""
