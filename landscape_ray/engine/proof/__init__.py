"""The proof that a placed point computes what its weights compute, and where it is remembered."""
