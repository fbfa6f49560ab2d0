"""Remembers where in a file each piece of a spec came from."""

from __future__ import annotations

from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]


class Places:
    """Where pieces of steps stand in the file, where their paths differ from those of the spec."""

    def __init__(self) -> None:
        self._notes: dict[Path, list[tuple[Path, Path]]] = {}

    def note(self, part: Path, spec: Path, file: Path) -> None:
        """Note that what the spec of a step or tool has at a path stands at another in the file.

        Args:
            part: Where the step or the tool stands in the file.
            spec: The path below its spec.
            file: The path below `part`.
        """
        self._notes.setdefault(part, []).append((spec, file))

    def find(self, part: Path, rest: Path) -> Path:
        """Give the place of what a part's spec has at a path: what was noted first counts."""
        for spec, file in self._notes.get(part, ()):
            if rest[: len(spec)] == spec:
                return (*part, *file, *rest[len(spec) :])
        return (*part, *(rest[1:] if rest[:1] == ("options",) else rest))
