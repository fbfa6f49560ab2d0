"""The processes of a population on one node of a group; a seat hosts it there.

It has a folder of its own, into which the caller puts what is read, and out of which it takes what
was made: nodes need no folder in common.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from hocket.agents.environment import child_environment
from hocket.agents.guard import guard
from hocket.agents.population import PASSED
from hocket.agents.scratch import claim, sweep
from hocket.config.population import ANSWER, PROGRESS
from hocket.core.values import Json
from hocket.population.files import HEAD

PIECE: Final = 8_000_000
"""How many bytes of a file go at once."""

_PREFIX: Final = "hocket-population-"
_LOOK: Final = 0.1
"""Seconds between two looks at what the processes have made."""
_LOOKS: Final = 20
"""How many looks there are before it is said that there is no news."""
_WORDS: Final = 10
"""How many lines of a dead process are shown."""
_NOISE: Final = re.compile(r"\[Gloo\]|\s+@ |\*\*\*")
"""Greetings of processes, and what a library says of its own insides when it fails."""
_GIVEN: Final = "given"
"""The folder of what is being handed over, which its maker may replace meanwhile."""


class Saved(NamedTuple):
    """A checkpoint.

    Fields:
        tick: After which tick it was saved.
        files: The names of its files, besides that which names them.
    """

    tick: int
    files: list[str]


def saved_in(folder: Path) -> Saved | None:
    """Look what is saved in a folder; None if nothing is, or nobody can tell what."""
    try:
        head = json.loads((folder / HEAD).read_bytes())
        return Saved(head.pop("tick"), [name for name in head.values() if name])
    except (OSError, ValueError, KeyError, AttributeError):
        # Whoever goes on with it finds out, and says, why it cannot be read.
        return None


class PopulationSeat:
    """Starts processes in a folder, and tells what becomes of them."""

    def __init__(self) -> None:
        base = Path(tempfile.gettempdir())
        sweep(base, _PREFIX)
        self._scratch = claim(base, _PREFIX)
        self._folder = self._scratch.path
        self._kept = self._folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._heard = 0
        self._noted: Any = None
        self._given: int | None = None
        self._codes: list[int | None] = []
        self._asked: tuple[int, asyncio.Future[dict[str, Any]]] | None = None

    def about(self) -> dict[str, Json]:
        """Say where this node is found, at a port that is free, and how many cores it has."""
        import ray

        address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(kind) as listener:
            listener.bind((address, 0))
            port: int = listener.getsockname()[1]
        host = f"[{address}]" if ":" in address else address
        cores = len(os.sched_getaffinity(0))
        return {"host": socket.gethostname(), "address": f"{host}:{port}", "cores": cores}

    def put(self, name: str, begin: int, piece: bytes) -> None:
        """Write a piece of a file, which is made with its folder if it is not there."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if begin else "wb") as file:
            file.seek(begin)
            file.write(piece)

    def start(
        self, settings: bytes, kept: str, resume: str, places: Sequence[Mapping[str, str]]
    ) -> None:
        """Start the processes; asked again it does nothing.

        Args:
            settings: What the population is told.
            kept: The name of the folder of what is saved on the way.
            resume: Whether it goes on from what is saved.
            places: For each process what its environment says.
        """
        if self._running:
            return
        self._kept = self._folder / kept
        before = saved_in(self._kept)
        # What was put here needs not be given back.
        self._given = None if before is None else before.tick
        (self._folder / "settings.json").write_bytes(settings)
        guard.ready()
        for number, place in enumerate(places):
            with (
                (self._folder / "settings.json").open("rb") as told,
                self._out(number).open("wb") as out,
                self._errors(number).open("wb") as errors,
            ):
                process = subprocess.Popen(
                    (sys.executable, "-P", "-m", "hocket.population.job", ".", resume),
                    env=child_environment(place, env_pass=PASSED),
                    cwd=self._folder,
                    stdin=told,
                    stdout=out,
                    stderr=errors,
                    start_new_session=True,
                )
            guard.add(process.pid)
            self._running.append(process)

    async def follow(self, number: int) -> dict[str, Any]:
        """Wait a moment for news, and tell it.

        Args:
            number: Counts the questions; one whose answer was lost may be asked again.

        Returns:
            ``said``, lines of the first process; ``noted``, how far it is; ``saved``, the files of
            a checkpoint by name, to be read and then let go; ``codes``, how processes have ended,
            None for those that have not.
            Each only where it is news.
        """
        if self._asked is None or number != self._asked[0]:
            self._asked = number, asyncio.ensure_future(self._look())
        return await asyncio.shield(self._asked[1])

    def read(self, name: str, begin: int) -> bytes:
        """Give a piece of a file; nothing at its end, and of a file that is not there."""
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(begin)
                return file.read(PIECE)
        except FileNotFoundError:
            return b""

    def saved(self) -> dict[str, Json]:
        """Take hold of a checkpoint that is new; the one before must have been let go."""
        saved, given = saved_in(self._kept), self._folder / _GIVEN
        if saved is None or saved.tick == self._given or given.exists():
            return {}
        given.mkdir()
        try:
            for name in (*saved.files, HEAD):
                (given / name).hardlink_to(self._kept / name)
        except FileNotFoundError:
            # A newer one has replaced it in this moment.
            self.let_go()
            return {}
        again = saved_in(given)
        if again != saved:
            self.let_go()
            return {}
        self._given = saved.tick
        return {name: f"{_GIVEN}/{name}" for name in (*saved.files, HEAD)}

    def let_go(self) -> None:
        """Forget what was handed over."""
        shutil.rmtree(self._folder / _GIVEN, ignore_errors=True)

    def answer(self) -> bytes:
        """Give what the first process has answered; nothing if it has not."""
        return self.read(ANSWER, 0)

    def last_words(self) -> list[list[str]]:
        """Give the last lines that each process has said on standard error, but for addresses."""
        said = []
        for number in range(len(self._running)):
            lines = self._errors(number).read_text("utf-8", "replace").strip().splitlines()
            said.append([line for line in lines if not _NOISE.match(line)][-_WORDS:])
        return said

    def stop(self) -> None:
        """Have the processes end after the ticks that are being done, and save them."""
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End all of it at once, and leave nothing."""
        for process in self._running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            guard.remove(process.pid)
        self._running.clear()
        self._scratch.drop()

    async def _look(self) -> dict[str, Any]:
        for _ in range(_LOOKS):
            # The codes first: what a process has made is there once it has ended.
            codes = [process.poll() for process in self._running]
            news = self._news()
            if codes != self._codes and any(code is not None for code in codes):
                self._codes = news["codes"] = codes
            if news:
                return news
            await asyncio.sleep(_LOOK)
        return {}

    def _news(self) -> dict[str, Any]:
        news: dict[str, Any] = {}
        if self._running and (said := self._said()):
            news["said"] = said
        with suppress(FileNotFoundError):
            noted = json.loads((self._folder / PROGRESS).read_bytes())
            if noted != self._noted:
                self._noted = news["noted"] = noted
        if saved := self.saved():
            news["saved"] = saved
        return news

    def _said(self) -> list[str]:
        """What the first process has said since the last look, in whole lines."""
        with self._out(0).open("rb") as file:
            file.seek(self._heard)
            text, newline, _ = file.read().rpartition(b"\n")
        self._heard += len(text) + len(newline)
        return text.decode("utf-8", "replace").splitlines()

    def _out(self, number: int) -> Path:
        return self._folder / f"out-{number}"

    def _errors(self, number: int) -> Path:
        return self._folder / f"errors-{number}"
