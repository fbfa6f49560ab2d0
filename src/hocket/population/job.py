"""The process of a step that runs a population: ``python -m hocket.population.job FOLDER``.

It reads its settings as JSON from standard input, tells how far it is on standard output, and
writes ``answer.json`` into the folder; what it saves on the way lies there as well.
Told to end, it saves what it has done first.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from hocket.core.errors import CallerError, SpecError
from hocket.core.values import Json
from hocket.population.performing import Places, perform, use_devices
from hocket.population.results import course
from hocket.population.running import Progress, progress_line, write_whole
from hocket.population.settings import Settings, need_extra, read_settings

ANSWER: Final = "answer.json"
STOPPED: Final = 143
"""The exit status of one that was told to end."""
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


def main(arguments: Sequence[str]) -> int:
    """Run a population as standard input says; gives the exit status."""
    folder = Path(arguments[0])
    teller = _Teller()
    signal.signal(signal.SIGTERM, teller.stop)
    with (folder / "lock").open("w") as lock:
        # An attempt that has not quite ended yet must not write beside this one.
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = _answer(json.load(sys.stdin), folder, teller)
        if answer is None:
            return STOPPED
        write_whole(folder / ANSWER, json.dumps(answer, allow_nan=False).encode())
    return 0


def _answer(given: dict[str, Json], folder: Path, teller: _Teller) -> dict[str, Json] | None:
    try:
        need_extra()
        settings: Settings = read_settings(given)
        use_devices(settings)
        picture = None if settings.picture is None else folder / f"world.{settings.picture}"
        done = perform(
            settings,
            Places(
                checkpoint=folder / _checkpoint(settings), out=folder / "results", picture=picture
            ),
            resume="if same",
            say=teller.say,
            on_progress=teller.progress,
            stop=lambda: teller.stopped,
        )
    except SpecError as error:
        return {"problems": list(error.lines)}
    except CallerError as error:
        return {"problems": [str(error)]}
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
