"""Worlds: what agents act in, as pure functions of arrays."""
