"""A step that runs a population, within its process; it needs JAX, which `job` sees to first."""

from __future__ import annotations

import hashlib
import signal
import time
from pathlib import Path
from typing import Final

import msgspec

from hocket.core.values import Json
from hocket.population.performing import Places, perform, use_devices
from hocket.population.results import course
from hocket.population.running import Progress, progress_line
from hocket.population.settings import Settings

_PERIOD: Final = 1.0
"""The least seconds between two lines."""


class _Teller:
    """Tells how far it is, now and then."""

    def __init__(self) -> None:
        self._told = float("-inf")
        self.stopped = False

    def say(self, text: str) -> None:
        """Write a line."""
        print(text, flush=True)

    def progress(self, progress: Progress) -> None:
        """Write a line, if the last one is old or this is the end."""
        now = time.monotonic()
        if now - self._told >= _PERIOD or progress.tick == progress.ticks:
            self._told = now
            self.say(progress_line(progress))

    def stop(self, *_: object) -> None:
        """End after the ticks that are being done."""
        self.stopped = True


def run_step(settings: Settings, folder: Path) -> dict[str, Json] | None:
    """Run a population in a folder.

    Returns:
        The step's ``output`` and ``files``; None if it was told to end.

    Raises:
        CallerError: What it was told makes no sense.
    """
    teller = _Teller()
    signal.signal(signal.SIGTERM, teller.stop)
    use_devices(settings)
    picture = None if settings.picture is None else folder / f"world.{settings.picture}"
    done = perform(
        settings,
        Places(checkpoint=folder / _checkpoint(settings), out=folder / "results", picture=picture),
        resume="if same",
        say=teller.say,
        on_progress=teller.progress,
        stop=lambda: teller.stopped,
    )
    if done.outcome.stopped:
        return None
    return {
        "output": {
            "summary": done.summary,
            "means": course(done.outcome.means, last=done.outcome.progress.tick),
            "checksum": done.outcome.checksum,
        },
        "files": {name: str(path.relative_to(folder)) for name, path in done.files.items()},
    }


def _checkpoint(settings: Settings) -> str:
    """Name the folder of what is saved on the way.

    A population that goes on was made with the same, whatever it prefers now: so the name says it.
    """
    if settings.continues is None:
        return "checkpoint"
    wishes = msgspec.json.encode((settings.continues.digest, settings.groups), order="sorted")
    return f"checkpoint-{hashlib.sha256(wishes).hexdigest()[:16]}"
