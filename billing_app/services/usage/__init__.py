"""Usage events: recording each exactly once, and listing them."""
