"""A judge's pass over stored generations."""
