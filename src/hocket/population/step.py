"""A step that runs a population, within its process; it needs JAX, which `job` sees to first."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Final

import msgspec

from hocket.config.population import PROGRESS
from hocket.core.values import Json
from hocket.population.distributed import leads
from hocket.population.files import PART
from hocket.population.performing import Places, Resume, perform, use_devices
from hocket.population.place import my_place
from hocket.population.results import course
from hocket.population.running import Progress, progress_line
from hocket.population.settings import Settings, kept_in

_PERIOD: Final = 1.0
"""The least seconds between two lines."""
_LOOKS: Final = 0.2
"""The least seconds between two notes of whom somebody looks at."""


class _Teller:
    """Tells how far it is, now and then."""

    period = _PERIOD

    def __init__(self) -> None:
        self._told = float("-inf")
        self.stopped = False

    def say(self, text: str) -> None:
        """Write a line."""
        print(text, flush=True)

    def progress(self, progress: Progress) -> None:
        """Tell it, if that was told a while ago or this is the end."""
        now = time.monotonic()
        if now - self._told >= self.period or progress.tick == progress.ticks:
            self._told = now
            self.tell(progress)

    def tell(self, progress: Progress) -> None:
        """Tell how far it is."""
        self.say(progress_line(progress))

    def stop(self, *_: object) -> None:
        """End after the ticks that are being done."""
        self.stopped = True


class _Noter(_Teller):
    """Notes how far it is in a file that somebody looks at; only the leading process does.

    Args:
        folder: Where.
    """

    period = _LOOKS

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._file = folder / PROGRESS
        self._leads = leads()

    def say(self, text: str) -> None:
        """Write a line."""
        if self._leads:
            super().say(text)

    def tell(self, progress: Progress) -> None:
        """Note how far it is; the file is whole at every instant."""
        if self._leads:
            noted = {"progress": msgspec.to_builtins(progress), "line": progress_line(progress)}
            part = self._file.with_name(self._file.name + PART)
            part.write_text(json.dumps(noted))
            part.replace(self._file)


def run_step(
    settings: Settings, folder: Path, resume: Resume = "if same"
) -> dict[str, Json] | None:
    """Run a population in a folder.

    Returns:
        The step's ``output`` and ``files``; None if it was told to end.

    Raises:
        CallerError: What it was told makes no sense.
    """
    use_devices(settings)
    teller = _Teller() if my_place() is None else _Noter(folder)
    # Only now, as JAX takes this signal when processes join.
    signal.signal(signal.SIGTERM, teller.stop)
    picture = None if settings.picture is None else folder / f"world.{settings.picture}"
    done = perform(
        settings,
        Places(checkpoint=folder / kept_in(settings), out=folder / "results", picture=picture),
        resume=resume,
        say=teller.say,
        on_progress=teller.progress,
        stop=lambda: teller.stopped,
    )
    if done.outcome.stopped:
        teller.tell(done.outcome.progress)
        return None
    return {
        "output": {
            "summary": done.summary,
            "means": course(done.outcome.means, last=done.outcome.progress.tick),
            "checksum": done.outcome.checksum,
        },
        "files": {name: str(path.relative_to(folder)) for name, path in done.files.items()},
    }
