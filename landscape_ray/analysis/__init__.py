"""Arrays in, numbers with intervals out. Pure."""
