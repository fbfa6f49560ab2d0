"""Engines with the same work in the same fault; see ``bench/faults.py``."""
