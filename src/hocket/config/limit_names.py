"""What limits are called that nobody has named: those of endpoints, agents and plans.

None of these can be the name of a limit under ``limits``, nor that of a run's own slots.
"""

from __future__ import annotations


def endpoint_name(model: str, base_url: str | None) -> str:
    """Name the limit of a model at an address: all who ask it there share it.

    Of the address only what tells servers apart is kept, so that nothing secret gets into a name.
    """
    if base_url is None:
        return model
    address = base_url.partition("://")[2] or base_url
    host, slash, path = address.partition("?")[0].partition("#")[0].rstrip("/").partition("/")
    return f"{model}@{host.rpartition('@')[2].lower()}{slash}{path}"


def is_endpoint(name: str) -> bool:
    """Tell whether a limit is a model's own."""
    return ":" in name or "@" in name


def limits_name(owner: str, name: str, place: str = "") -> str:
    """Name the limit that an agent or a plan states itself.

    Args:
        owner: Whether it is an ``agent`` or a ``plan``.
        name: What that is called.
        place: The file that it is in, so that others of its name elsewhere have their own.
    """
    return f"{owner}:{name} limits{_in(place)}"


def budget_name(owner: str, name: str, *, daily: bool, place: str = "") -> str:
    """Name the budget of an agent or a plan; that of each run needs no place."""
    return f"{owner}:{name} budget{f' per day{_in(place)}' if daily else ''}"


def _in(place: str) -> str:
    return f" in {place}" if place else ""
