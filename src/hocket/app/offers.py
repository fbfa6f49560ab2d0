"""The plans that an operator offers: those of files named on the command line, and nothing else.

A request names a file and a plan of it by name; no path ever comes from a request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from hocket.app.load import checked, load_file, settle
from hocket.app.secrets import secret_problems
from hocket.core.errors import CallerError, NotFound, Refused, SpecError, suggest
from hocket.core.specs import InputSpec, RunSpec

_Mark: TypeAlias = tuple[int, int, int]


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that may be started by name.

    Fields:
        file: What its file is called here.
        plan: The plan's name; "" where the file cannot be read, which `problems` says.
        path: Where the file is.
        spec: What would run, or None if it has problems.
        problems: Why it cannot be started, a line each.
    """

    file: str
    plan: str
    path: Path
    spec: RunSpec | None = None
    problems: tuple[str, ...] = ()

    @property
    def inputs(self) -> dict[str, InputSpec]:
        """What the plan takes."""
        return {} if self.spec is None else self.spec.workflow.inputs


class Offers:
    """The offered files, each read again when it has changed on disk.

    Args:
        paths: The files.

    Raises:
        Refused: One is given twice.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files: Final = _named(paths)
        self._read: dict[str, tuple[_Mark, list[Offer]]] = {}

    def all(self) -> list[Offer]:
        """Give all plans of all files, in their order."""
        return [offer for name, path in self._files.items() for offer in self._of(name, path)]

    def find(self, file: str, plan: str) -> RunSpec:
        """Give what a plan runs.

        Raises:
            NotFound: No such file or plan is offered.
            SpecError: It has mistakes.
        """
        path = self._files.get(file)
        if path is None:
            hint = suggest(file, self._files) or f"there are {', '.join(self._files) or 'none'}"
            raise NotFound(f"no file {file!r} is offered here; {hint}")
        offers = {offer.plan: offer for offer in self._of(file, path)}
        offer = offers.get(plan) or offers.get("")
        if offer is None:
            hint = suggest(plan, offers) or f"there are {', '.join(offers)}"
            raise NotFound(f"{file} has no plan {plan!r}; {hint}")
        if offer.spec is None:
            raise SpecError((), offer.problems)
        return offer.spec

    def _of(self, name: str, path: Path) -> list[Offer]:
        mark = _mark(path)
        known = self._read.get(name)
        # A file that is not there may come at any time.
        if known is None or known[0] != mark or mark == _NONE:
            known = self._read[name] = (mark, _read(name, path))
        return known[1]


_NONE: Final[_Mark] = (0, 0, 0)


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Call each file by its name, or by its path where two have the same name."""
    resolved = [path.absolute() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise Refused("a file is offered twice; give each of them once")
    count = Counter(path.name for path in resolved)
    return {path.name if count[path.name] == 1 else str(path): path for path in resolved}


def _mark(path: Path) -> _Mark:
    """Give what changes when a file does."""
    try:
        found = path.stat()
    except OSError:
        return _NONE
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(name: str, path: Path) -> list[Offer]:
    try:
        loaded = load_file(path)
    except CallerError as error:
        return [Offer(file=name, plan="", path=path, problems=_lines(error))]
    offers: list[Offer] = []
    for plan in loaded.plans():
        try:
            spec = settle(checked(loaded, plan), path, loaded)
            if found := secret_problems(spec):
                raise loaded.mistakes(plan, found)
        except CallerError as error:
            offers.append(Offer(file=name, plan=plan, path=path, problems=_lines(error)))
        else:
            offers.append(Offer(file=name, plan=plan, path=path, spec=spec))
    return offers


def _lines(error: CallerError) -> tuple[str, ...]:
    return tuple(error.lines) if isinstance(error, SpecError) else (str(error),)
