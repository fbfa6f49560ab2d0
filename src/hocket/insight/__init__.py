"""Pure: views folded from a run's events."""
