"""A context for tests of agents: remembers what was shown and spent, stores files in a folder."""

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from hocket.agents.base import Request
from hocket.core.events import Usage
from hocket.core.people import Consent
from hocket.core.values import Call, FileRef, Json
from hocket.limits.claim import Quota


class FakeContext:
    """What the engine lends to a call, as plain lists."""

    def __init__(self, store: Path | None = None, hard: bool = False) -> None:
        self.hard = hard
        self.shown: list[tuple[str, str]] = []
        self.spent: list[Usage] = []
        self.stored: list[tuple[Path, str]] = []
        self.sent_after: list[int] = []
        """For each `sent`, how much had been shown before."""
        self.quotas: list[Quota] = []
        self.answers = 0
        """How often the peer began to answer."""
        self.asked: list[str] = []
        self.consent = Consent(True, "approved by anna")
        """What people say to all that they are asked."""
        self._store = store

    def emit(self, text: str, stream: str = "out") -> None:
        self.shown.append((stream, text))

    def spend(self, usage: Usage) -> None:
        self.spent.append(usage)

    def sent(self, ago: int = 0) -> None:
        self.sent_after.append(len(self.shown))

    def told(self, quotas: Sequence[Quota]) -> None:
        self.answers += 1
        self.quotas.extend(quotas)

    async def store(self, path: Path, name: str) -> FileRef:
        self.stored.append((path, name))
        return self._keep(path, name)

    def _keep(self, path: Path, name: str) -> FileRef:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if self._store is not None:
            shutil.copyfile(path, self._store / digest)
        return FileRef(name=name, digest=digest, size=len(data))

    async def fetch(self, ref: FileRef) -> Path:
        assert self._store is not None, "this context stores nothing"
        return self._store / ref.digest

    async def ask(self, shown: str) -> Consent:
        self.asked.append(shown)
        return self.consent

    def text(self, stream: str = "out") -> str:
        """All that was shown on a stream."""
        return "".join(text for name, text in self.shown if name == stream)


def request(
    input: Json = None,
    *,
    output: Json = None,
    options: dict[str, Json] | None = None,
    path: str = "step",
    attempt: int = 1,
) -> Request:
    return Request(
        run="run",
        call=Call(path, attempt),
        agent="agent",
        input=input,
        output=output,
        options=options or {},
    )


async def started(context: FakeContext, word: str) -> None:
    """Wait until a word was shown."""
    for _ in range(2_000):
        if word in context.text():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"it never printed {word!r}: {context.shown}")
