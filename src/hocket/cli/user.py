"""Who is asking, for the journal."""

from __future__ import annotations

import getpass


def user() -> str:
    """Give the name of the user, or "somebody"."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"
