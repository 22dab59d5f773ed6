"""Measure how robust the safety of a language model is in weight space: safety landscapes and VISAGE on Ray."""

__version__ = "0.1.0"
