"""What the benchmarks share: the machine, memory, the disk, and measurements in child processes."""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STATE = HERE / "out"
NOISE = (
    "Two or a few shared cores and a disk that others use are noisy: compare ratios within one "
    "table, never times of two."
)


# ---- in the child ----


class Memory:
    """The peak of this process's memory above what it had when this was made."""

    def __init__(self) -> None:
        gc.collect()
        try:
            # From here on the kernel counts the peak anew (Linux).
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass
        self.before = status("VmRSS")

    def peak(self) -> tuple[float, float]:
        """Give the peak and what of it is above the beginning, in MB (10⁶ bytes)."""
        peak = status("VmHWM")
        return peak / 1e6, (peak - self.before) / 1e6


def status(field: str) -> int:
    """Give a field of /proc/self/status in bytes; elsewhere the peak, which is all there is."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else used * 1024
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


# ---- in the parent ----


def in_child(
    arguments: Sequence[str], limit: float, environment: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run a Python script in a process of its own; gives the JSON of its last line.

    One that takes longer than `limit` seconds is killed, with all that it started, and gives
    ``{"late": limit}``; one that fails gives ``{"error": its last line}``.
    """
    child = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        out, err = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return {"late": limit}
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    if child.returncode:
        lines = err.strip().splitlines() or [f"ended with status {child.returncode}"]
        return {"error": lines[-1]}
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def probe_disk(folder: Path, times: int = 200) -> float:
    """Give the median of the milliseconds that a write of 4 KiB and its sync take."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "probe"
    took = []
    handle = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        sync = getattr(os, "fdatasync", os.fsync)
        for i in range(times):
            begin = time.perf_counter()
            os.pwrite(handle, b"x" * 4096, (i % 16) * 4096)
            sync(handle)
            took.append((time.perf_counter() - begin) * 1e3)
    finally:
        os.close(handle)
        path.unlink()
    return median(took)


def wait_for_calm(folder: Path, seconds: float) -> bool:
    """Wait until nobody else keeps the processor and the disk busy; tells whether that came."""
    until = time.monotonic() + seconds
    while True:
        if _idle(0.3) >= 0.85 and probe_disk(folder, 20) <= CALM_DISK:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.5)


CALM_DISK = 0.1
"""The most milliseconds that a write and its sync take on a disk that counts as quiet."""


def _idle(seconds: float) -> float:
    """Give the share of all cores' time that is idle in the next moment (Linux; else 1)."""
    try:
        before = _ticks()
        time.sleep(seconds)
        after = _ticks()
    except OSError:
        return 1.0
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return spent[3] / max(1, sum(spent))


def _ticks() -> list[int]:
    return [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def mood(folder: Path) -> str:
    """Say how busy the machine and its disk are now."""
    return f"disk: write + fdatasync {probe_disk(folder):.2f} ms (median); load {_load()}"


def _load() -> str:
    return " ".join(f"{load:.1f}" for load in os.getloadavg())


def machine(packages: Sequence[str] = ()) -> list[str]:
    """Describe what the figures were taken on."""
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"{_processor()}, {os.cpu_count()} cores, {_memory()}, {platform.system()} "
        f"{platform.release()}",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
    ]
    versions = [f"{name} {version}" for name in packages if (version := version_of(name))]
    return [*lines, ", ".join(versions)] if versions else lines


def version_of(package: str) -> str | None:
    """Give an installed package's version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{pages / 1e9:.0f} GB"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """Set a table; the first `texts` columns are texts, the others numbers."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if i < texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
