"""The files of calls: stored by content in the journal, read again as copies on disk."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path, PurePosixPath

from hocket.core.errors import NotFound
from hocket.core.values import FileRef
from hocket.journal.base import Blobs

_PART = 1 << 20


class StoredFiles:
    """Files of calls on a state folder.

    Args:
        blobs: Where their bytes are.
        state: The state folder; copies lie under ``files``.
    """

    def __init__(self, blobs: Blobs, state: Path) -> None:
        self._blobs = blobs
        self._state = state

    async def store(self, path: Path, name: str) -> FileRef:
        """Store a file by content.

        Raises:
            JournalError: It cannot be read or written.
        """
        return await asyncio.to_thread(self._blobs.put, path, name)

    async def fetch(self, ref: FileRef) -> Path:
        """Give a read-only copy on disk; equal content gives the same copy.

        Raises:
            NotFound: It is not stored.
        """
        return await asyncio.to_thread(self.copy, ref)

    def copy(self, ref: FileRef) -> Path:
        """Do as `fetch` does, here and now.

        Raises:
            NotFound: It is not stored.
        """
        # A name from an output is only ever a last part here, so it cannot lead out of the folder.
        target = self._state / "files" / ref.digest / (PurePosixPath(ref.name).name or "file")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            save(self._blobs, ref, target)
            target.chmod(0o400)
        return target


def save(blobs: Blobs, ref: FileRef, target: Path) -> None:
    """Write a stored file; it is there whole or not at all.

    Raises:
        NotFound: It is not stored.
        OSError: It cannot be written.
    """
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".hocket-")
    try:
        with os.fdopen(handle, "wb") as out:
            for start in range(0, ref.size, _PART):
                out.write(blobs.read(ref.digest, start, min(_PART, ref.size - start)))
        os.replace(temporary, target)
    except (OSError, NotFound):
        Path(temporary).unlink(missing_ok=True)
        raise
