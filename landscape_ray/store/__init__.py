"""Keyed Parquet parts: published atomically, listed, validated, read."""
