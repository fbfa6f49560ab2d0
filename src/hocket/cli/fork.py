"""``hocket fork``: a run that goes on from a point of another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from hocket.app.engine import Engine
from hocket.app.load import find_functions_beside
from hocket.app.run import Run
from hocket.app.state import find_run
from hocket.cli.drive import choose, drive
from hocket.cli.options import AsJson, Cluster, Inputs, Jsonl, NoWait, Plain, Quiet
from hocket.cli.start import read_inputs
from hocket.cli.user import user
from hocket.cli.weights import fetch_weights
from hocket.engine.runner import Observer


def fork(
    run: str,
    /,
    *,
    after: Annotated[
        int | None,
        Parameter(help="The last event that counts, as `hocket logs` numbers them; else the last."),
    ] = None,
    input: Inputs | None = None,
    run_id: Annotated[
        str | None, Parameter(name="--id", help="The new run's id; else one is made.")
    ] = None,
    cluster: Cluster = None,
    no_wait: NoWait = False,
    plain: Plain = False,
    quiet: Quiet = False,
    json_: AsJson = False,
    jsonl: Jsonl = False,
) -> int:
    """Run on from a point of another run, with other inputs if you like.

    What had finished by then stays as it is, and is not paid again; what had failed is done again.
    The other run stays as it is.

    Args:
        run: The run's id, its beginning, or "last".
    """
    show = choose(plain=plain, quiet=quiet, json_=json_, jsonl=jsonl)
    inputs = read_inputs(input or [])

    async def whole() -> int:
        async with Engine(cluster=cluster) as engine:
            source = find_run(engine.journal, run)
            spec = engine.fold(source).spec
            find_functions_beside(spec.source)
            if cluster is None:
                fetch_weights(spec)

            async def begin(observers: Sequence[Observer]) -> Run:
                return await engine.fork(
                    source,
                    run_id=run_id,
                    after=after,
                    inputs=inputs,
                    by=user(),
                    observers=observers,
                    stay=False,
                    wait=not no_wait,
                )

            return await drive(begin, show, json_=json_)

    return asyncio.run(whole())
