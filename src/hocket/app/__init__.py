"""Puts an engine together from a spec and a state folder; the only room that picks adapters."""
