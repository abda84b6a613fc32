"""The command line: `billing`, one module per group of commands."""
