"""Where a call works: a folder of the user's, an empty one of its own, or a git worktree.

What lies under the state folder is held by the process that made it (`hocket.agents.scratch`),
so that a later one takes away what was left behind by one that was killed, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from typing import Final, NamedTuple

from hocket.agents.environment import child_environment
from hocket.agents.output import clip, fault
from hocket.agents.scratch import Scratch, claim, remove, sweep
from hocket.agents.session_options import SessionOptions

DIFF: Final = 16_000_000
"""The longest diff that is given."""
_GIT: Final = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
_WHO: Final = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Hocket"), ("EMAIL", "hocket@localhost"))
}
_PREFIX: Final = "session-"
_WORK: Final = "work"
"""The folder to work in; what says whose it is stands beside it, where no agent cleans up."""
_REPOSITORY: Final = "repository"
"""The file that says which repository knows of the worktree."""


class Change(NamedTuple):
    """What a call changed in its worktree.

    Fields:
        diff: The patch, or "" if nothing was changed.
        files: How many files.
        branch: The branch that keeps it, or "".
        cut: Whether the patch is not whole.
    """

    diff: str
    files: int
    branch: str
    cut: bool


class Place:
    """A working folder.

    Args:
        options: The agent's.
        state: The state folder; what Hocket makes is made below it.

    Attributes:
        path: The folder; it is there between `make` and `drop`.
    """

    def __init__(self, options: SessionOptions, state: Path) -> None:
        self._own = options.cwd is None or options.worktree
        self._worktree = options.worktree
        self._branch = options.branch
        self._cwd = os.path.abspath(os.path.expanduser(options.cwd or "."))
        self._base = state / "sessions"
        self._scratch: Scratch | None = None
        self._root = ""
        self._git_dir = ""
        self._head = ""
        self.path = self._cwd

    async def make(self) -> None:
        """Make the folder.

        Raises:
            AgentError: ``permanent``: it is in no git repository, or in no commit of it;
                ``unavailable``: there is no room for it.
        """
        if not self._own:
            # The process is started in it, or told of it: whether it is there is seen then.
            return
        if not self._worktree:
            await self._claim()
            return
        top = (await self._git(self._cwd, "rev-parse", "--show-toplevel")).strip()
        self._head = (await self._git(top, "rev-parse", "HEAD")).strip()
        common = (await self._git(top, "rev-parse", "--git-common-dir")).strip()
        await self._claim(os.path.join(top, common))
        await self._git(top, "worktree", "add", "--detach", self._root, self._head)
        found = await self._git(self._root, "rev-parse", "--absolute-git-dir")
        self._git_dir = found.strip()
        # The agent works where the user's folder lies within the repository.
        self.path = _below(self._root, self._cwd, top)

    async def renew(self) -> None:
        """Make the folder as it was, for the next call of the same process.

        Raises:
            AgentError: It cannot be.
        """
        if not self._own:
            return
        if not self._worktree:
            await asyncio.to_thread(_empty, Path(self.path))
            return
        self._head = (await self._git(self._cwd, "rev-parse", "HEAD")).strip()
        await self._inside("checkout", "--quiet", "--force", "--detach", self._head)
        await self._inside("clean", "-ffdxq")

    async def change(self, name: str) -> Change | None:
        """Say what was changed since it was made or renewed; None if it is no worktree.

        Args:
            name: What to call the branch, if one is kept.

        Raises:
            AgentError: ``failed``: git cannot say.
        """
        if not self._worktree:
            return None
        await self._inside("add", "--all")
        names = await self._inside("diff", "--cached", "--name-only", "-z", self._head)
        files = names.count("\0")
        if not files:
            return Change("", 0, "", False)
        diff = await self._inside("diff", "--cached", "--binary", "--no-ext-diff", self._head)
        branch = ""
        if self._branch is not None:
            branch = self._branch + name
            tree = (await self._inside("write-tree")).strip()
            made = await self._inside("commit-tree", tree, "-p", self._head, "-m", name)
            await self._inside("branch", "--force", branch, made.strip())
        return Change(diff[:DIFF], files, branch, len(diff) > DIFF)

    async def drop(self) -> None:
        """Take the folder away, if it was Hocket's."""
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            await asyncio.to_thread(_forget, scratch.path)
            await asyncio.to_thread(scratch.drop)
            self._root = self._git_dir = ""

    async def _claim(self, repository: str = "") -> None:
        await asyncio.to_thread(_sweep, self._base)
        claimed = asyncio.ensure_future(asyncio.to_thread(_claimed, self._base, repository))
        try:
            self._scratch = await asyncio.shield(claimed)
        except asyncio.CancelledError:
            # It is made all the same, and dropped by whoever is cancelled.
            with contextlib.suppress(OSError):
                self._scratch = await claimed
            raise
        except OSError as error:
            raise fault("unavailable", f"no folder can be made to work in: {error}") from error
        self._root = self.path = str(self._scratch.path / _WORK)

    async def _inside(self, *args: str) -> str:
        # Named outright: what the agent may have written into the worktree's .git does not count.
        return await self._git(
            self._root, *args, env={"GIT_DIR": self._git_dir, "GIT_WORK_TREE": self._root}
        )

    async def _git(self, folder: str, *args: str, env: dict[str, str] | None = None) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *_GIT,
                *args,
                cwd=folder,
                env=child_environment({**_WHO, **(env or {})}),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            missing = "git is not installed" if error.filename == "git" else str(error)
            raise fault("permanent", f"a worktree cannot be made: {missing}") from None
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if process.returncode:
            said = err.decode("utf-8", "replace").strip()
            raise fault("permanent", clip(f"git {args[0]} in {folder}: {said}"), said)
        return out.decode("utf-8", "replace")


def _below(root: str, cwd: str, top: str) -> str:
    """Give the folder of a worktree that lies where `cwd` lies in the repository."""
    path = os.path.normpath(os.path.join(root, os.path.relpath(os.path.realpath(cwd), top)))
    if not os.path.isdir(path):
        raise fault("permanent", f"the folder {cwd!r} is in no commit yet")
    return path


def _empty(folder: Path) -> None:
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            remove(child)
        else:
            child.unlink()


_swept: set[Path] = set()


def _sweep(base: Path) -> None:
    """Take away what killed processes have left, once for each state folder."""
    if base not in _swept:
        _swept.add(base)
        sweep(base, _PREFIX, _forget)


def _claimed(base: Path, repository: str) -> Scratch:
    base.mkdir(parents=True, exist_ok=True)
    scratch = claim(base, _PREFIX)
    try:
        if repository:
            (scratch.path / _REPOSITORY).write_text(repository, "utf-8")
        else:
            (scratch.path / _WORK).mkdir(mode=0o700)
    except BaseException:
        scratch.drop()
        raise
    return scratch


def _forget(folder: Path) -> None:
    """Have a repository forget the worktree in a folder, and no other one.

    ``git worktree prune`` forgets, too, what lies where it is not seen from here.
    """
    mine = os.path.join(os.path.realpath(folder), _WORK, ".git")
    try:
        repository = (folder / _REPOSITORY).read_text("utf-8")
        for known in Path(os.path.realpath(repository)).glob("worktrees/*/gitdir"):
            if os.path.normpath(known.parent / known.read_text("utf-8").strip()) == mine:
                shutil.rmtree(known.parent)
    except (OSError, ValueError):
        # It is no worktree, or nothing more is known of it: git forgets it by itself after months.
        return
