"""What a population takes, by component, asked before any of it is allocated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jax

from hocket.core.errors import Refused


def bytes_of(tree: Any) -> int:
    """What the arrays of a tree take, allocated or only described."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def free_memory(device: jax.Device) -> int | None:
    """How many bytes are free where a device keeps its arrays; None if it does not say."""
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else int(limit) - int(stats.get("bytes_in_use", 0))
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(available.split()[1]) * 1024
    except (OSError, StopIteration):
        # Where there is no such file, the free pages are what the system tells.
        if "SC_AVPHYS_PAGES" in os.sysconf_names:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return None


def check_memory(wanted: int, allowed: int | None, device: jax.Device, agents: int) -> None:
    """See that there is room.

    Args:
        wanted: Bytes that the population takes at its largest.
        allowed: What it may take; what is free, if None.
        device: Where.
        agents: How many agents there is room for, for the message.

    Raises:
        Refused: if there is not, saying how many agents there would be room for.
    """
    room = free_memory(device) if allowed is None else allowed
    if room is None or wanted <= room:
        return
    fitting = int(agents * room / wanted)
    raise Refused(
        f"{agents:,} agents would take {human(wanted)}, and {human(room)} may be taken: "
        f"about {fitting:,} agents would fit; or share a smaller model, or take more devices"
    )


def human(size: int) -> str:
    """Bytes in words: 1.2 GB, 340 kB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"
