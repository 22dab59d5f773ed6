"""What engines share that have several points of a line or plane in one batch."""
