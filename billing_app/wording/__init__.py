"""English texts: values, refusals and rules, shared by pages, API, command line and documents.

Services raise codes and facts. Pages, API and command line turn them into sentences here, and no code parses
a sentence.
"""
