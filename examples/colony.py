"""What came of a wish, for colony.yaml."""

from typing import Any


def told(wish: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    """Say what share of a colony smelled what it was told to look for, before and after."""
    lives = [life["summary"] for life in (before, after)]
    was, now = (life["groups"][0]["seen"]["smell"][wish] for life in lives)
    first, last = (life["ticks"] for life in lives)
    return (
        f"Told at tick {first} to look for {wish}: {was:.0%} smelled it then, {now:.0%} at {last}."
    )
