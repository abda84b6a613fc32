"""English for people: values, refusals and rules, shared by pages, API, command line and documents.

Services raise codes and facts. The edges turn them into sentences here, and nothing parses a sentence.
"""
