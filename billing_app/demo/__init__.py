"""The demo: twelve months of a business that looks like one, made by the services themselves.

Above services and jobs, below the command line.
"""

from billing_app.demo.loading import DemoLoaded, load_demo

__all__ = ["DemoLoaded", "load_demo"]
