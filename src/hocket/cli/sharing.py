"""Options of processes that drive runs: how many, how they leave them, and who else does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Parameter, validators

from hocket.app.host import MOST
from hocket.core.errors import Refused
from hocket.core.values import SECOND, parse_duration
from hocket.server.serve import Share

Most = Annotated[
    int,
    Parameter(help="The most runs at once.", show_default=True, validator=validators.Number(gte=1)),
]
Drain = Annotated[
    str,
    Parameter(help="How long calls in flight may take to end after SIGTERM.", show_default=True),
]
DRAIN: Final = "30s"


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Which part of the work a server does itself; its options are those of the command."""

    most: Most = MOST
    drive: Annotated[
        int | None,
        Parameter(
            help="The most runs that this process drives itself; hocket work drives the others.",
            validator=validators.Number(gte=0),
        ),
    ] = None
    cluster: Annotated[
        str,
        Parameter(
            help="Drive runs on this Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT."
        ),
    ] = ""
    supervisors: Annotated[
        int | None,
        Parameter(
            help="How many processes drive runs there; else one on each node.",
            validator=validators.Number(gte=1),
        ),
    ] = None
    drain: Drain = DRAIN

    @property
    def share(self) -> Share:
        """The same, as the server takes it.

        Raises:
            Refused: They don't fit together.
        """
        if self.cluster and self.drive:
            raise Refused("with --cluster, runs are driven there: leave --drive out")
        if self.supervisors is not None and not self.cluster:
            raise Refused("--supervisors says how many there are in a cluster: add --cluster")
        return Share(
            most=self.most,
            drive=0 if self.cluster else self.drive,
            drain=seconds_of("--drain", self.drain),
            cluster=self.cluster,
            supervisors=self.supervisors,
        )


def seconds_of(option: str, given: str) -> float:
    """Read how long something may take.

    Raises:
        Refused: It is no duration.
    """
    try:
        return parse_duration(given) / SECOND
    except ValueError as error:
        raise Refused(f"{option}: {error}") from error
