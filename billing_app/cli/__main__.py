"""Run the command line as `python -m billing_app.cli`."""

from billing_app.cli.app import main

main()
