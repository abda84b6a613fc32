"""Benchmarks: throughput relative to plain SQL in the same run, and response times."""
