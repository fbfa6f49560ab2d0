"""``hocket work``: a process that drives runs which servers of the same journal have begun."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Annotated

from cyclopts import Parameter, validators

from hocket.app.host import MOST
from hocket.cli.options import Cluster
from hocket.cli.sharing import DRAIN, Drain, Most, seconds_of
from hocket.server.work import work


def work_(
    *,
    most: Most = MOST,
    drain: Drain = DRAIN,
    health_port: Annotated[
        int | None,
        Parameter(
            help="Answer /health and /ready at this port; 0 for any that is free.",
            validator=validators.Number(gte=0, lte=65535),
        ),
    ] = None,
    health_host: Annotated[
        str, Parameter(help="The address of that port.", show_default=True)
    ] = "127.0.0.1",
    cluster: Cluster = None,
    json_: Annotated[
        bool, Parameter(name="--json", help="Say what it is as a line of JSON.", negative=())
    ] = False,
) -> int:
    """Drive runs that servers have begun, beside them or on another machine.

    It takes up what nobody drives, as far as it has room, also what another one was driving that
    has died. Several may work on one journal, and servers on it may drive none themselves:
    hocket serve --drive 0.
    """

    def ready(port: int | None) -> None:
        if json_:
            print(json.dumps({"pid": os.getpid(), "health_port": port}), flush=True)
            return
        where = "" if port is None else f"; /health and /ready at {health_host}:{port}"
        print(f"at most {most} runs at once{where}; Ctrl-C stops it", file=sys.stderr, flush=True)

    how = work(
        most=most,
        drain=seconds_of("--drain", drain),
        health=None if health_port is None else (health_host, health_port),
        cluster=cluster,
        ready=ready,
        ending=lambda: print("stopping; Ctrl-C again stops at once", file=sys.stderr, flush=True),
    )
    left = asyncio.run(how)
    if left:
        print(f"left {', '.join(left)} for others to drive", file=sys.stderr)
    return 0
