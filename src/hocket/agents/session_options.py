"""What a user says of a warm coding agent, and how many of its calls that lets run at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from hocket.core.values import Json

Kind: TypeAlias = Literal["claude", "codex", "acp"]
Permissions: TypeAlias = Literal["ask", "allow", "deny"]
OneShot: TypeAlias = Literal["auto", "never", "always"]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1_000)]

POOL: Final[Mapping[str, tuple[int, int]]] = {"claude": (4, 1), "codex": (1, 4), "acp": (4, 1)}
"""How many processes, and how many turns at once in each, where nobody says otherwise."""

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {"claude": ("claude",), "codex": ("codex",)}
"""The programs by default; an ACP agent has none."""


class SessionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a `session` agent.

    Fields:
        session: What it speaks: Claude Code's stream of JSON, Codex's app server, or the Agent
            Client Protocol.
        command: The program and its first arguments; needed for `acp`.
        model: Which model, as the program names it.
        args: More arguments for the program.
        pool: How many processes are kept.
        turns: How many calls one process works on at once; Claude Code can do one.
        max_jobs: After how many calls a process is replaced.
        max_memory: After a call at whose end its group has more than so many bytes, it is replaced.
        max_age: After how long it is replaced.
        idle: After how long without a call it is ended.
        silence: For how long it may say nothing during a call before it counts as hung.
        grace: How long a cancelled call may take to end before its process is killed.
        cwd: The working folder; by default an empty one for each call.
        worktree: Give each call a git worktree of the folder's repository at HEAD.
        branch: Keep what a call changed in its worktree as a branch with this beginning.
        permissions: Whether a person is asked, all is allowed, or all is denied.
        env: Variables to set; never secrets, for they stand in the journal.
        env_pass: Names of variables to hand on from Hocket's environment.
        one_shot: Whether a new process is started for each call: ``auto`` where the warm protocol
            is not understood.
        system: What it is told before the prompt.
    """

    session: Kind
    command: list[str] = []
    model: str | None = None
    args: list[str] = []
    pool: Count | None = None
    turns: Count | None = None
    max_jobs: Annotated[int, msgspec.Meta(ge=1)] = 50
    max_memory: Annotated[int, msgspec.Meta(ge=1)] = 2_000_000_000
    max_age: str | int | float = "1h"
    idle: str | int | float = "5m"
    silence: str | int | float = "10m"
    grace: str | int | float = "5s"
    cwd: str | None = None
    worktree: bool = False
    branch: str | None = None
    permissions: Permissions = "ask"
    env: dict[str, str] = {}
    env_pass: list[str] = []
    one_shot: OneShot = "auto"
    system: str = ""


def sizes(options: Mapping[str, Json]) -> tuple[int, int]:
    """Give how many processes an agent of these options keeps, and how many turns each does."""
    pool, turns = POOL.get(str(options.get("session")), (1, 1))
    own = (options.get("pool"), options.get("turns"))
    return (
        own[0] if isinstance(own[0], int) else pool,
        own[1] if isinstance(own[1], int) else turns,
    )
