"""The demo: twelve months of a made-up business, created by the services themselves.

It is above services and jobs, and below the command line.
"""

from billing_app.demo.loading import DemoLoaded, load_demo

__all__ = ["DemoLoaded", "load_demo"]
