"""Measures what populations cost, and writes a report whose every number is of that run."""
