"""What limits are called that nobody has named: those of endpoints, agents and plans.

None of these can be the name of a limit under ``limits``, nor that of a run's own slots.
"""

from __future__ import annotations

from typing import Final

PER_DAY: Final = " per day"


def endpoint_name(model: str, base_url: str | None) -> str:
    """Name the limit of a model at an address: all who ask it there share it.

    Of the address only what tells servers apart is kept, so that nothing secret gets into a name.
    """
    if base_url is None:
        return model
    address = base_url.partition("://")[2] or base_url
    host, slash, path = address.partition("?")[0].partition("#")[0].rstrip("/").partition("/")
    return f"{model}@{host.rpartition('@')[2].lower()}{slash}{path}"


def limits_name(owner: str, name: str) -> str:
    """Name the limit that an agent or a plan states itself; `owner` says which of them."""
    return f"{owner}:{name} limits"


def budget_name(owner: str, name: str, *, daily: bool) -> str:
    """Name the budget of an agent or a plan."""
    return f"{owner}:{name} budget{PER_DAY if daily else ''}"


def owned(name: str) -> bool:
    """Tell whether it is the limit or the budget of an agent or a plan."""
    return name.startswith(("agent:", "plan:"))
