"""What is told of a sweep under way, and kept: progress, metrics, the journal, where the time went."""
