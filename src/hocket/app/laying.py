"""Runs that are recorded here and driven elsewhere: the journal is the queue between the two.

Whoever lays a run does not know who will drive it; any process with room on the same journal does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hocket.app.engine import Engine
from hocket.app.learned import resolve
from hocket.app.mistakes import refuse_mistakes
from hocket.app.state import new_seed
from hocket.core.requests import AnyRequest
from hocket.core.specs import RunSpec
from hocket.core.values import Json
from hocket.journal.slices import aside


async def lay(engine: Engine, spec: RunSpec, inputs: Mapping[str, Json], run: str) -> None:
    """Record a new run for others to drive; it is on disk when this returns.

    Raises:
        SpecError: The spec has mistakes.
        Refused: An input is missing or unknown.
        JournalError: It could not be recorded.
    """
    refuse_mistakes(spec)
    settled = await aside(engine.journal, lambda: resolve(spec, engine.journal.book))
    await engine.shell().lay(settled, dict(inputs), run=run, seed=new_seed())


async def lay_fork(
    engine: Engine,
    source: str,
    run: str,
    *,
    after: int | None,
    inputs: Mapping[str, Json],
    by: str,
) -> None:
    """Record a run that goes on from a point of another, for others to drive.

    Raises:
        NotFound: No such run.
        Refused: There is no such event or input, or what has failed cannot be done again.
        JournalError: It could not be read or recorded.
    """
    await engine.shell().lay_fork(source, run=run, after=after, inputs=inputs, by=by)


async def hand(engine: Engine, run: str, requests: Sequence[AnyRequest]) -> None:
    """Ask something of a run that nobody drives, and leave it for others to drive.

    Raises:
        NotFound: No such run.
        Refused: Its owner is alive, it has ended, or a request does not fit.
        JournalError: It could not be read or recorded.
    """
    await engine.shell().hand(run, requests)
