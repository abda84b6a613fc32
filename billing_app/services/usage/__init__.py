"""Usage events: recording each exactly once, and reading them as a log."""
