"""Judges of a later pass: a model, an endpoint, or a function of the user."""
