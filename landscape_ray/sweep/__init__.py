"""Which engine visits which point: driver, scheduler and actors on Ray."""
