"""Which texts a database can hold."""

from __future__ import annotations


def is_text(value: str) -> bool:
    """Tell whether a text can be in a database at all, as an argument of a command need not be."""
    return "\0" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value)
