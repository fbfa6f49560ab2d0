"""On what, and with what, a report was made: it stands in the caption of every figure."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from hocket._version import __version__
from hocket.population.bench.timing import load


def machine() -> dict[str, Any]:
    """Describe the machine, the versions and the hour."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "load": load(),
        "python": platform.python_version(),
        "jax": version_of("jax"),
        "numpy": version_of("numpy"),
        "pymdp": version_of("inferactively-pymdp"),
        "hocket": __version__,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def caption(found: dict[str, Any], dtype: str) -> str:
    """One line about the machine, for people."""
    versions = [f"Python {found['python']}", f"JAX {found['jax']}", f"NumPy {found['numpy']}"]
    if found.get("device"):
        versions.append(str(found["device"]))
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory_bytes'] / 1e9:.0f} GB, "
        f"load {found['load']:.1f}; {', '.join(versions)}, Hocket {found['hocket']}; "
        f"{dtype}; {found['date']}"
    )


def version_of(package: str) -> str | None:
    """An installed package's version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def resident() -> int:
    """How many bytes of memory this process holds now (Linux; elsewhere 0)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cores() -> int:
    return os.cpu_count() or 1


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0
