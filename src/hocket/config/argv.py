"""Keeps an operator's own words in a command apart from values that come from outside.

What stands before the first value is the command; what follows is data, which an agent refuses
where it could pass for an option.
"""

from __future__ import annotations

from hocket.core.values import Json


def split(items: list[str]) -> tuple[list[str], list[str]]:
    """Give the fixed part of a command, and its arguments from the first template on."""
    first = next((i for i, item in enumerate(items) if "{{" in item), len(items))
    return items[:first], items[first:]


def guard_dashes(args: list[str], options: dict[str, Json]) -> str:
    """Allow options among a command's arguments where no value from outside can become one.

    Gives what is wrong, or "".
    """
    own = next((arg for arg in args if arg.startswith("-")), None)
    if own is None or "allow_dashes" in options or "--" in options.get("command", ()):
        return ""
    # Behind dashes alone a value is as free as behind nothing.
    if any(arg.lstrip("-").startswith("{{") for arg in args):
        return (
            f"{own!r} stands beside a value that could become an option too: put options before "
            "all values, or set allow_dashes: true"
        )
    options["allow_dashes"] = True
    return ""
