"""Session agents in plans: from a file, in Python, over several runs of one engine."""

from pathlib import Path

import pytest
from tests.agents.coding_agents import FAKES

from hocket.agents.session_options import SessionOptions, sizes
from hocket.app.adapters import capacity
from hocket.app.engine import Engine
from hocket.app.load import load_plan
from hocket.config.agent import Agent
from hocket.core.errors import SpecError
from hocket.core.specs import AgentSpec

pytestmark = pytest.mark.anyio
FAKE = FAKES["claude"]

FILE = f"""
version: 1
agents:
  coder:
    session: claude
    command: {FAKE}
    model: some-model
    pool: 2
    max_age: 10m
    silence: 90s
    permissions: deny
  careful:
    session: codex
    command: {FAKES["codex"]}
    cwd: sub
    effects: false
plans:
  main:
    inputs: [word]
    steps:
      first: {{agent: coder, each: inputs.words, prompt: "say {{{{item}}}}"}}
      last: {{agent: careful, prompt: "PWD", needs: [first]}}
"""
FILE = FILE.replace("[word]", "[words]")


def test_a_file_says_what_a_session_is(tmp_path: Path) -> None:
    path = tmp_path / "hocket.yaml"
    path.write_text(FILE)
    agents = load_plan(path).agents
    coder = agents["coder"]
    assert coder.kind == "session"
    assert coder.effects
    assert coder.options["max_age"] == 600
    assert coder.options["silence"] == 90
    assert "cwd" not in coder.options, "an empty folder for each call"
    assert not agents["careful"].effects
    assert agents["careful"].options["cwd"] == str(tmp_path / "sub")


def test_as_many_calls_at_once_as_there_are_turns() -> None:
    for options, slots in (
        ({"session": "claude"}, 4),
        ({"session": "claude", "pool": 7}, 7),
        ({"session": "codex", "pool": 2, "turns": 3}, 6),
    ):
        assert capacity("x", AgentSpec(kind="session", options=options)) == slots
        assert slots == sizes(options)[0] * sizes(options)[1]
    assert capacity("x", AgentSpec(kind="session", options=options, concurrency=1)) == 1


async def test_runs_of_an_engine_share_the_processes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    path = tmp_path / "hocket.yaml"
    path.write_text(FILE)
    spec = load_plan(path)
    words = ["a", "b", "c", "d", "e"]
    async with Engine(tmp_path / "state") as engine:
        for _ in range(2):
            result = await engine.run(spec, words=words)
            assert result["first"] == [f"say {word}" for word in words]
            assert result["last"] == str(tmp_path / "sub")
        claude, codex = engine.sessions.state()
        assert (claude.agent, claude.size, claude.jobs, claude.exhausted) == ("coder", 2, 10, 0)
        assert claude.spawned <= 2
        assert (codex.spawned, codex.jobs) == (1, 2)
        pids = engine.sessions.pids()
        assert len(pids) == claude.spawned + 1
    assert engine.sessions.pids() == []


def test_python_says_the_same() -> None:
    agent = Agent("coder", session="acp", command=["opencode", "acp"], pool=2, permissions="deny")
    assert agent.spec.kind == "session"
    assert agent.spec.effects
    assert agent.spec.options == {
        "session": "acp",
        "command": ["opencode", "acp"],
        "pool": 2,
        "permissions": "deny",
    }
    with pytest.raises(SpecError, match="unknown setting 'pols'"):
        Agent("coder", session="claude", pols=2)  # type: ignore[call-overload]


def test_every_option_can_be_said_in_python_and_in_a_file() -> None:
    from hocket.config.agent import AgentSettings
    from hocket.config.models import SessionAgent
    from hocket.config.settings import SETTINGS

    options = set(SessionOptions.__struct_fields__)
    assert set(SETTINGS["session"]) == options
    assert options <= set(AgentSettings.__annotations__)
    assert options <= set(SessionAgent.model_fields)


def test_a_worktrees_diff_can_be_read_by_later_steps(tmp_path: Path) -> None:
    path = tmp_path / "hocket.yaml"
    path.write_text(
        "version: 1\n"
        "agents:\n"
        f"  coder: {{session: claude, command: {FAKE}, worktree: true}}\n"
        "plans:\n"
        "  main:\n"
        "    steps:\n"
        "      fix: {agent: coder, prompt: x, output: {done: bool}}\n"
        "      look: {agent: coder, prompt: '{{fix.diff}} {{fix.text.done}}'}\n"
    )
    fix = load_plan(path).workflow.steps[0]
    assert fix.output["properties"].keys() == {"text", "diff"}
    assert load_plan(path).agents["coder"].options["cwd"] == str(tmp_path)
