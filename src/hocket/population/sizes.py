"""What a population takes, by component, asked before any of it is allocated."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import jax

from hocket.core.errors import Refused
from hocket.population.group import Group
from hocket.population.program import State

WORKING: Final = 256
"""Bytes that each agent takes for a while besides its state, in a tick or when it is looked at.

Measured: 60 to 150 in ticks of the examples, by XLA's analysis; 210 in a whole run of 1,000,000
explorers with checkpoint and results, by its peak.
"""


def bytes_of(tree: Any) -> int:
    """What the arrays of a tree take, allocated or only described."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def wanted_bytes(state: State, groups: Sequence[Group]) -> tuple[int, int]:
    """What a population takes at its largest.

    Args:
        state: Its arrays, which need only be described.
        groups: Its groups.

    Returns:
        Bytes: what models and the world take however many agents there are, and what agents take.
    """
    agents = 0
    for made, kept in zip(groups, state.groups, strict=True):
        agents += bytes_of(kept) + WORKING * kept.ids.size
        if made.sharing is not None:
            # Beliefs that are pooled are there twice meanwhile.
            agents += bytes_of(kept.mind["belief"][made.sharing.factor])
    return bytes_of(state) - bytes_of(state.groups), agents


def free_memory(devices: Sequence[jax.Device], root: Path = Path("/")) -> int | None:
    """How many bytes are free where devices keep their arrays; None if they don't say.

    Args:
        devices: The devices, which share agents evenly.
        root: Where the system's files are.
    """
    if devices[0].platform == "cpu":
        known = [room for room in (_of_system(root), *_of_groups(root)) if room is not None]
        return min(known, default=None)
    rooms = []
    for device in devices:
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            return None
        rooms.append(int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0)))
    return min(rooms) * len(rooms)


def _of_system(root: Path) -> int | None:
    """What is free in the whole machine."""
    try:
        lines = (root / "proc/meminfo").read_text("ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(available.split()[1]) * 1024
    except (OSError, StopIteration):
        # Where there is no such file, the free pages are what the system tells.
        if "SC_AVPHYS_PAGES" in os.sysconf_names:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return None


_VERSIONS: Final[dict[int, tuple[str, str, str, str]]] = {
    1: ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    2: ("sys/fs/cgroup", "memory.max", "memory.current", ""),
}
"""Of both versions of control groups: where they are, the files that tell what may be taken and
what is taken, and how names begin in ``memory.stat``."""


def _of_groups(root: Path) -> Iterator[int]:
    """What this process's control groups leave, as containers and jobs have them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, kinds, path = line.split(":", 2)
        if number != "0" and "memory" not in kinds.split(","):
            continue
        top, most, taken, prefix = _VERSIONS[2 if number == "0" else 1]
        # What a group may take, those that it is in may forbid.
        # A container often does not see its own path, only its group as if it were the top.
        own = Path(path.lstrip("/"))
        for folder in (own, *own.parents):
            room = _left(root / top / folder, most, taken, f"{prefix}inactive_file")
            if room is not None:
                yield room


def _left(folder: Path, most: str, taken: str, cache: str) -> int | None:
    """What one control group leaves; None if it sets no bound."""
    try:
        limit = (folder / most).read_text().strip()
        if limit == "max":
            return None
        held = int((folder / taken).read_text())
    except OSError:
        return None
    try:
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        stat = {}
    # Files that are only remembered give way.
    return max(0, int(limit) - held + int(stat.get(cache, 0)))


def check_memory(wanted: tuple[int, int], room: int | None, agents: int) -> None:
    """See that there is room.

    Args:
        wanted: Bytes that the population takes at its largest; see `wanted_bytes`.
        room: What it may take; None if nobody knows.
        agents: How many agents were asked for.

    Raises:
        Refused: if there is not, saying how many agents there would be room for.
    """
    shared, own = wanted
    if room is None or shared + own <= room:
        return
    fitting = int(agents * (room - shared) / own) if room > shared else 0
    would = f"about {fitting:,} agents would fit" if fitting > 1 else "hardly one would fit"
    raise Refused(
        f"{_agents(agents)} would take {human(shared + own)}, and {human(room)} may be taken: "
        f"{would}; or share a smaller model, or take more devices"
    )


def _agents(many: int) -> str:
    return f"{many:,} agent{'' if many == 1 else 's'}"


def human(size: int) -> str:
    """Bytes in words: 1.2 GB, 340 kB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"
