"""The oracle and the fallback: transformers, read top to bottom."""
