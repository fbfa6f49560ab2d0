"""Where session agents work: folders of the user's, and worktrees whose changes are the output."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.agents.coding_agents import FAKES, session_agent
from tests.agents.context import FakeContext, request
from tests.agents.holders import ELSEWHERE, holder, need_elsewhere

from hocket.agents import session_place
from hocket.agents.scratch import Scratch, claim
from hocket.agents.session_options import SessionOptions
from hocket.agents.session_place import Place
from hocket.core.errors import AgentError

pytestmark = pytest.mark.anyio


def git(folder: Path, *args: str) -> str:
    who = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **dict.fromkeys(who, "x")}
    argv = ["git", *args]
    return subprocess.run(
        argv, cwd=folder, env=env, check=True, capture_output=True, text=True
    ).stdout


class Working(NamedTuple):
    """A process that has a place.

    Fields:
        popen: What was started.
        work: Where it works; a file of its own lies there.
    """

    popen: subprocess.Popen[str]
    work: Path


HOLD = """
import asyncio, sys
from pathlib import Path
from hocket.agents.session_options import SessionOptions
from hocket.agents.session_place import Place
state, repository = sys.argv[1:]
place = Place(
    SessionOptions(session="claude", cwd=repository or None, worktree=bool(repository)), Path(state)
)
asyncio.run(place.make())
(Path(place.path) / "file").write_text("mine")
print(place.path, flush=True)
"""


@contextmanager
def working(
    state: Path, repository: Path | None, *, within: Sequence[str] = ()
) -> Iterator[Working]:
    """Have another process make a place, and use it until the end of the block."""
    with holder(HOLD, str(state), str(repository or ""), within=within) as (popen, path):
        yield Working(popen, Path(path))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "src").mkdir(parents=True)
    git(folder, "init", "--quiet")
    (folder / "src" / "main.txt").write_text("one\n")
    (folder / ".gitignore").write_text("*.log\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    (folder / "src" / "main.txt").write_text("not committed\n")
    return folder


async def test_what_a_call_changed_is_its_diff_and_nothing_of_it_stays(
    repository: Path, tmp_path: Path
) -> None:
    agent = session_agent(
        tmp_path / "state",
        session="claude",
        command=FAKES["claude"],
        pool=1,
        cwd=str(repository / "src"),
        worktree=True,
    )
    reply = await agent.call(request("WRITE main.txt two"), FakeContext())
    assert reply.output["text"] == "wrote main.txt"
    assert "-not committed" not in reply.output["diff"]
    assert " one\n+two\n" in reply.output["diff"]
    assert reply.notes == ("files changed in the worktree: 1",)
    # The next call finds HEAD again, and what the last one left ignored is gone, too.
    await agent.call(request("WRITE left.log x"), FakeContext())
    listed = await agent.call(request("LIST"), FakeContext())
    assert listed.output == {"text": "main.txt", "diff": ""}
    assert listed.notes == ("nothing was changed in the worktree",)
    assert agent.pools.state()[0].spawned == 1
    await agent.close()
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert len(git(repository, "branch", "--list").splitlines()) == 1
    assert (repository / "src" / "main.txt").read_text() == "not committed\n"


async def test_a_branch_keeps_what_was_changed_where_it_is_asked_for(
    repository: Path, tmp_path: Path
) -> None:
    agent = session_agent(
        tmp_path / "state",
        session="claude",
        command=FAKES["claude"],
        cwd=str(repository),
        worktree=True,
        branch="hocket/",
    )
    reply = await agent.call(request("WRITE new.txt hello"), FakeContext())
    await agent.close()
    assert "kept as branch hocket/run/step" in reply.notes[0]
    branch = reply.notes[0].rpartition(" ")[2]
    assert git(repository, "show", f"{branch}:new.txt") == "hello\n"
    # What the output says can be applied, too.
    (repository / "patch").write_text(reply.output["diff"])
    git(repository, "apply", "patch")
    assert (repository / "new.txt").read_text() == "hello\n"


async def test_an_answer_of_json_stands_beside_the_diff(repository: Path, tmp_path: Path) -> None:
    agent = session_agent(
        tmp_path / "state",
        session="claude",
        command=FAKES["claude"],
        cwd=str(repository),
        worktree=True,
    )
    inner = {"type": "object", "required": ["nothing"]}
    schema: Any = {
        "type": "object",
        "properties": {"text": inner, "diff": {"type": "string"}},
        "required": ["text", "diff"],
    }
    with pytest.raises(AgentError, match="invalid_output"):
        await agent.call(request("```json\n{}\n```", output=schema), FakeContext())
    schema["properties"]["text"] = {"type": "object"}
    reply = await agent.call(request("```json\n{}\n```", output=schema), FakeContext())
    assert reply.output == {"text": {}, "diff": ""}
    with pytest.raises(AgentError, match="the output of a session with a worktree is"):
        await agent.call(request("x", output=inner), FakeContext())
    await agent.close()


async def test_what_the_agent_does_to_the_worktrees_git_is_not_followed(
    repository: Path, tmp_path: Path
) -> None:
    options = SessionOptions(session="claude", cwd=str(repository), worktree=True)
    place = Place(options, tmp_path)
    await place.make()
    evil = tmp_path / "evil"
    git(tmp_path, "init", "--quiet", "evil")
    hit = tmp_path / "hit"
    git(evil, "config", "core.fsmonitor", f"touch {hit}")
    (Path(place.path) / ".git").write_text(f"gitdir: {evil / '.git'}\n")
    (Path(place.path) / "new.txt").write_text("hello\n")
    change = await place.change("x")
    assert change is not None
    assert (change.files, hit.exists()) == (1, False)
    await place.drop()
    assert not list((tmp_path / "sessions").iterdir())


async def test_no_repository_and_no_commit_are_told_apart(repository: Path, tmp_path: Path) -> None:
    outside = SessionOptions(session="claude", cwd=str(tmp_path), worktree=True)
    with pytest.raises(AgentError, match="not a git repository"):
        await Place(outside, tmp_path / "state").make()
    (repository / "new").mkdir()
    unborn = SessionOptions(session="claude", cwd=str(repository / "new"), worktree=True)
    place = Place(unborn, tmp_path / "state")
    with pytest.raises(AgentError, match="in no commit yet"):
        await place.make()
    await place.drop()
    assert len(git(repository, "worktree", "list").splitlines()) == 1


async def test_a_folder_of_the_users_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    agent = session_agent(
        tmp_path / "state", session="claude", command=FAKES["claude"], cwd=str(tmp_path), pool=1
    )
    for _ in range(2):
        assert (await agent.call(request("PWD"), FakeContext())).output == str(tmp_path)
    await agent.close()
    assert (tmp_path / "mine").read_text() == "x"


async def test_what_a_killed_process_left_is_taken_away_by_the_next(
    repository: Path, tmp_path: Path
) -> None:
    with working(tmp_path / "state", repository) as its:
        its.popen.kill()
    assert its.work.exists() and len(git(repository, "worktree", "list").splitlines()) == 2
    place = Place(SessionOptions(session="claude"), tmp_path / "state")
    await place.make()
    assert list((tmp_path / "state" / "sessions").iterdir()) == [Path(place.path).parent]
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    await place.drop()


async def test_those_of_other_machines_and_containers_are_left_alone(
    repository: Path, tmp_path: Path
) -> None:
    need_elsewhere()
    state = tmp_path / "state"
    # The first process of a container has the same number in each.
    with (
        working(state, repository, within=ELSEWHERE) as one,
        working(state, None, within=ELSEWHERE) as other,
        working(state, repository, within=(*ELSEWHERE, "sh", "-c", '"$@"; true', "sh")) as third,
    ):
        place = Place(SessionOptions(session="claude", cwd=str(repository), worktree=True), state)
        await place.make()
        await place.drop()
        for its in (one, other, third):
            assert (its.work / "file").read_text() == "mine"
        for its in (one, third):
            assert git(its.work, "status", "--short", "file") == "?? file\n"


async def test_a_worktree_of_the_users_that_is_out_of_sight_is_not_forgotten(
    repository: Path, tmp_path: Path
) -> None:
    theirs, away = tmp_path / "theirs", tmp_path / "away"
    git(repository, "worktree", "add", "--quiet", "--detach", str(theirs))
    theirs.rename(away)
    options = SessionOptions(session="claude", cwd=str(repository), worktree=True)
    place = Place(options, tmp_path / "state")
    await place.make()
    await place.drop()
    away.rename(theirs)
    assert git(theirs, "status", "--short") == ""
    assert len(git(repository, "worktree", "list").splitlines()) == 2


async def test_a_place_whose_making_is_cancelled_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(base: Path, prefix: str) -> Scratch:
        begun.set()
        assert go_on.wait(30)
        return claim(base, prefix)

    monkeypatch.setattr(session_place, "claim", slowly)
    place = Place(SessionOptions(session="claude"), tmp_path)
    making = asyncio.create_task(place.make())
    assert await asyncio.to_thread(begun.wait, 30)
    making.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await making
    await place.drop()
    assert list((tmp_path / "sessions").iterdir()) == []


async def test_that_there_is_no_room_for_a_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = Place(SessionOptions(session="claude"), tmp_path / "file")
    with pytest.raises(AgentError, match=r"no folder can be made to work in: .*file") as refused:
        await place.make()
    assert refused.value.fault.kind == "unavailable"
    await place.drop()
