"""Hocket runs teams of agents as plans: crash-safe, within their limits, accountable afterwards.

Only public names live here; each is defined in the room that it belongs to.
"""

from hocket._version import __version__

__all__ = ["__version__"]
