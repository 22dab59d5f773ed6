"""Inspect (`inspect_ai`), both ways: results as its eval logs, and points of a landscape as its models."""
