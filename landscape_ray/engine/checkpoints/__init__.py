"""What checkpoints are, found out from their files before an engine starts."""
