"""The perturbation itself: base weights plus coefficients times vectors."""
