"""Runs as text and data for people and programs."""
