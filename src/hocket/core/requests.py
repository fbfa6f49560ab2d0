"""What people and other processes may ask of a run.

A request lies in the journal's inbox until the run's owner turns it into an event, or refuses it
and says why.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from hocket.core.values import Json


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="ask"):
    """The base of all requests. `by` says who asks: a user's name, ``ctrl-c``, an address."""

    by: str = ""


class Pause(Request, frozen=True, kw_only=True, tag="pause"):
    """Start nothing new, let what is in flight finish, then stop."""


class Continue(Request, frozen=True, kw_only=True, tag="continue"):
    """Go on with a paused run."""


class Cancel(Request, frozen=True, kw_only=True, tag="cancel"):
    """End the run; `hard` kills what is in flight at once."""

    hard: bool = False


class Approve(Request, frozen=True, kw_only=True, tag="approve"):
    """Decide about exactly the bytes named by `digest`."""

    path: str
    approved: bool
    digest: str
    note: str = ""


class Send(Request, frozen=True, kw_only=True, tag="send"):
    """Give a waiting step its input, or a held call the output that it is known to have had."""

    path: str
    value: Json


class Retry(Request, frozen=True, kw_only=True, tag="retry"):
    """Do a failed or held step again."""

    path: str


AnyRequest: TypeAlias = Pause | Continue | Cancel | Approve | Send | Retry
