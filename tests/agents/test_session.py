"""Session agents with programs that speak the protocols and misbehave on purpose."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.agents.coding_agents import FAKES, HERE, session_agent, until
from tests.agents.context import FakeContext, request, started

from hocket.agents.prices import counted
from hocket.agents.session import SessionAgent
from hocket.agents.session_pools import PoolState
from hocket.core.errors import AgentError, SpecError
from hocket.core.people import Consent

pytestmark = pytest.mark.anyio
KINDS = pytest.mark.parametrize("kind", ["claude", "codex", "acp"])
ACP = [sys.executable, str(HERE / "acp_agent.py")]


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ACP agent, which runs in the project's own environment, be found."""
    monkeypatch.chdir(HERE.parent.parent)


class Held:
    """Makes agents, and closes them in the end."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.made: list[SessionAgent] = []

    def __call__(self, kind: str, *args: str, **options: Any) -> SessionAgent:
        if kind == "acp":
            pytest.importorskip("acp", reason="needs agent-client-protocol")
        command = ACP if kind == "acp" else FAKES[kind]
        said = {"session": kind, "command": command, "args": list(args), "pool": 1, **options}
        self.made.append(session_agent(self.state, **said))
        return self.made[-1]


@pytest.fixture
async def agent(tmp_path: Path) -> Any:
    held = Held(tmp_path / "state")
    yield held
    for one in held.made:
        await one.close()
        assert one.pools.pids() == []


def state(agent: SessionAgent) -> PoolState:
    (found,) = agent.pools.state()
    return found


async def say(agent: SessionAgent, text: str, **more: Any) -> Any:
    return (await agent.call(request(text, **more), FakeContext())).output


async def fails(agent: SessionAgent, text: str, **more: Any) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await say(agent, text, **more)
    return caught.value


# ---- what goes well ----


@KINDS
async def test_calls_share_a_process_and_no_session(agent: Held, kind: str) -> None:
    made = agent(kind)
    context = FakeContext()
    first = await made.call(request("one"), context)
    assert (first.output, context.text()) == ("one", "one")
    assert len(context.sent_after) == 1
    assert first.usage is not None
    assert first.usage.tokens_out == 5
    second = await made.call(request("two"), FakeContext())
    assert second.output == "two"
    assert second.usage == first.usage, "what is told of is the call's, not the process's"
    assert (state(made).spawned, state(made).jobs) == (1, 2)
    if kind == "claude":
        assert await say(made, "HISTORY") == '["HISTORY"]'
        assert first.usage.cost == 250_000_000_000


@KINDS
async def test_every_call_has_an_empty_folder_of_its_own(agent: Held, kind: str) -> None:
    made = agent(kind)
    folder = Path(await say(made, "PWD"))
    assert folder.parent.parent == agent.state / "sessions"
    if kind == "claude":
        await say(made, "WRITE left behind")
        assert await say(made, "LIST") == ""
    else:
        assert gone(folder)
        assert await say(made, "PWD") != str(folder)
    await made.close()
    assert list((agent.state / "sessions").iterdir()) == []


@KINDS
async def test_a_question_is_shown_whole_and_a_person_decides(agent: Held, kind: str) -> None:
    made = agent(kind)
    answers = {
        "claude": ("deny", "allow"),
        "codex": ('"decline"', '"accept"'),
        "acp": ("n", "y"),
    }[kind]
    context = FakeContext()
    for consent, answer in zip((Consent(False, "no"), Consent(True)), answers, strict=True):
        context.consent = consent
        reply = await made.call(request("ASK rm -rf /tmp/x"), context)
        assert reply.output == answer
        if consent:
            assert reply.notes == ()
        else:
            [note] = reply.notes
            assert note.startswith("permission was denied: ")
            assert "rm -rf /tmp/x" in note
            assert note.endswith(": no")
    assert len(context.asked) == 2
    assert "rm -rf /tmp/x" in context.asked[0]
    for permissions, answer in (("deny", answers[0]), ("allow", answers[1])):
        context = FakeContext()
        decided = agent(kind, permissions=permissions)
        reply = await decided.call(request("ASK rm -rf /tmp/x"), context)
        assert (reply.output, context.asked) == (answer, [])
        noted = [note for note in reply.notes if "rm -rf /tmp/x" in note]
        assert len(noted) == (permissions == "deny")


@pytest.mark.parametrize("kind", ["claude", "codex"])
async def test_what_a_program_denies_by_itself_is_told(agent: Held, kind: str) -> None:
    made = agent(kind, one_shot="always", permissions="deny")
    reply = await made.call(request("DENIED x.txt"), FakeContext())
    [note] = reply.notes
    assert note.startswith("permission was denied: ")
    assert "x.txt" in note


@KINDS
async def test_what_cannot_be_seen_in_a_question_is_written_out(agent: Held, kind: str) -> None:
    context = FakeContext()
    context.consent = Consent(False, "no")
    await agent(kind).call(request("ASK rm a\u202eb\u200bc"), context)
    [asked] = context.asked
    assert "rm a\\u202eb\\u200bc" in asked


async def test_a_change_of_files_is_shown_with_its_diff(agent: Held) -> None:
    context = FakeContext()
    await agent("codex").call(request("PATCH src/new.py"), context)
    assert "src/new.py" in context.asked[0]
    assert "+new" in context.asked[0]


@KINDS
async def test_a_cancelled_call_is_interrupted_and_its_process_goes_on(
    agent: Held, kind: str
) -> None:
    made = agent(kind)
    context = FakeContext()
    task = asyncio.create_task(made.call(request("SLOW"), context))
    await started(context, "slowly")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await say(made, "on") == "on"
    assert (state(made).spawned, state(made).failed) == (1, 0)
    if kind == "claude":
        assert context.spent[-1].tokens_in == 100, "what a cancelled call has spent is told"


async def test_what_does_not_end_when_asked_is_killed(agent: Held) -> None:
    made = agent("claude", grace=0.05)
    context = FakeContext()
    task = asyncio.create_task(made.call(request("HANG"), context))
    await started(context, "hanging")
    (pid,) = made.pools.pids()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(pid))
    assert await say(made, "on") == "on"


async def test_what_is_cancelled_hard_is_killed_at_once(agent: Held) -> None:
    made = agent("claude", grace="1h")
    context = FakeContext(hard=True)
    task = asyncio.create_task(made.call(request("SLOW"), context))
    await started(context, "slowly")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert state(made).failed == 1


async def test_json_is_asked_for_and_checked(agent: Held) -> None:
    made = agent("claude")
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    # The fake gives back what it is asked: the last thing in it is the schema itself.
    error = await fails(made, "Give x.", output=schema)
    assert error.fault.kind == "invalid_output"
    assert '"required":["x"]' in error.fault.detail
    assert error.usage is not None
    wide = {"type": "object", "required": ["type"]}
    assert await say(made, "```json\n{}\n```\nnow", output={"type": "object"}) == {}
    assert (await fails(made, "```json\n{}\n```", output=wide)).fault.kind == "invalid_output"


async def test_only_the_last_thing_an_acp_agent_says_is_its_answer(agent: Held) -> None:
    context = FakeContext()
    reply = await agent("acp").call(request("TOOL ls -l"), context)
    assert reply.output == "then I answer"
    assert context.text() == "first I look\nthen I answer"
    assert context.text("err") == "[execute] ls -l\n"


async def test_sessions_are_closed_where_the_agent_can(agent: Held) -> None:
    made = agent("acp")
    await say(made, "one")
    assert await say(made, "OPEN") == "session-2"


async def test_several_turns_are_at_work_in_one_process(agent: Held) -> None:
    made = agent("codex", turns=3)
    outputs = await asyncio.gather(*(say(made, "WAIT 3") for _ in range(3)))
    assert outputs == ["WAIT 3"] * 3
    assert (state(made).spawned, state(made).size, state(made).exhausted) == (1, 3, 0)


async def test_a_system_text_is_the_processs_or_comes_before_the_prompt(agent: Held) -> None:
    made = agent("claude", system="Be brief.")
    argv = json.loads(await say(made, "ARGV"))
    assert argv[argv.index("--append-system-prompt") + 1] == "Be brief."
    assert await say(made, "hello", options={"system": "Be long."}) == "Be long.\n\nhello"
    told = json.loads(await say(agent("codex", system="Be brief."), "TOLD"))
    assert told["developerInstructions"] == "Be brief."
    assert told["ephemeral"] is True


async def test_a_prompt_is_no_command_of_the_programs(agent: Held) -> None:
    assert await say(agent("claude"), "/clear") == "The task:\n/clear"


async def test_keys_reach_it_only_by_name(agent: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canary-one")
    monkeypatch.setenv("OPENAI_API_KEY", "canary-two")
    env = json.loads(await say(agent("claude"), "ENV"))
    assert "canary" not in json.dumps(env)
    env = json.loads(await say(agent("claude", env_pass=["ANTHROPIC_API_KEY"]), "ENV"))
    assert env["ANTHROPIC_API_KEY"] == "canary-one"
    assert "OPENAI_API_KEY" not in env


# ---- pools ----


async def test_who_finds_all_taken_waits_in_line_and_is_counted(agent: Held) -> None:
    made = agent("claude")
    context = FakeContext()
    first = asyncio.create_task(made.call(request("SLOW"), context))
    await started(context, "slowly")
    others = [asyncio.create_task(say(made, f"{i}")) for i in range(3)]
    await asyncio.sleep(0)
    assert (state(made).busy, state(made).waiting, state(made).exhausted) == (1, 3, 3)
    others[1].cancel()
    first.cancel()
    done = await asyncio.gather(first, *others, return_exceptions=True)
    assert [done[1], done[3]] == ["0", "2"]
    assert state(made).waiting == 0
    assert state(made).spawned == 1


async def test_agents_of_one_engine_that_are_alike_share_processes(tmp_path: Path) -> None:
    first = session_agent(tmp_path, session="claude", command=FAKES["claude"])
    second = session_agent(tmp_path, first.pools, session="claude", command=FAKES["claude"])
    unlike = {"session": "claude", "command": FAKES["claude"], "args": ["x"]}
    for one in (first, second, session_agent(tmp_path, first.pools, **unlike)):
        await say(one, "hello")
    assert [pool.spawned for pool in first.pools.state()] == [1, 1]
    await second.close()
    assert len(first.pools.pids()) == 2, "a pool that is shared is not an agent's to close"
    await first.close()


async def test_a_process_is_replaced_after_its_jobs(agent: Held) -> None:
    made = agent("claude", max_jobs=2)
    for _ in range(5):
        await say(made, "x")
    assert (state(made).spawned, state(made).retired, state(made).failed) == (3, 2, 0)


async def test_a_process_is_replaced_by_age_and_memory(agent: Held) -> None:
    for limit in ({"max_age": 0}, {"max_memory": 1}):
        made = agent("claude", **limit)
        await say(made, "x")
        await until(lambda made=made: not made.pools.pids())
        await say(made, "x")
        assert (state(made).spawned, state(made).failed) == (2, 0)


async def test_a_process_without_calls_is_ended(agent: Held) -> None:
    made = agent("claude", idle=0.05)
    await say(made, "x")
    (pid,) = made.pools.pids()
    await until(lambda: not made.pools.pids())
    await until(lambda: not alive(pid))
    assert (state(made).retired, state(made).idle) == (1, 0)


# ---- what goes wrong ----


@KINDS
async def test_a_process_that_dies_fails_its_call_and_is_replaced(agent: Held, kind: str) -> None:
    made = agent(kind)
    error = await fails(made, "DIE")
    assert error.fault.kind == "failed"
    assert "ended in the middle" in error.fault.message
    if kind == "claude":
        assert "killed by SIGKILL" in error.fault.message
        assert "it hurts" in error.fault.detail
    assert await say(made, "on") == "on"
    assert (state(made).spawned, state(made).failed) == (2, 1)


async def test_one_that_died_between_two_calls_is_replaced_unseen(agent: Held) -> None:
    made = agent("claude")
    await say(made, "x")
    (pid,) = made.pools.pids()
    os.kill(pid, 9)
    assert await say(made, "y") == "y"
    assert (state(made).spawned, state(made).failed) == (2, 1)


@pytest.mark.parametrize("kind", ["claude", "codex"])
async def test_silence_is_a_timeout(agent: Held, kind: str) -> None:
    made = agent(kind, silence=0.2, grace=0.05)
    error = await fails(made, "HANG")
    assert error.fault.kind == "timeout"
    assert "said nothing for 0.2 s" in error.fault.message
    assert await say(made, "on") == "on"


async def test_a_person_may_take_longer_than_silence_lasts(agent: Held) -> None:
    class Slow(FakeContext):
        async def ask(self, shown: str) -> Consent:
            await asyncio.sleep(0.3)
            return Consent(True)

    made = agent("claude", silence=0.1)
    assert (await made.call(request("ASK x"), Slow())).output == "allow"


async def test_some_garbage_is_borne_and_much_is_a_fault(agent: Held) -> None:
    made = agent("claude")
    assert await say(made, "GARBAGE 50") == "after garbage"
    error = await fails(made, "GARBAGE 1000")
    assert "writes what is no JSON" in error.fault.message
    assert "warning: no JSON" in error.fault.message
    assert await say(made, "on") == "on"


@pytest.mark.parametrize(("word", "said"), [("FLOOD", "more than 256 MB"), ("LINE", "a line of")])
async def test_a_gigabyte_fills_no_memory(agent: Held, word: str, said: str) -> None:
    made = agent("claude")
    before = resident()
    error = await fails(made, word)
    assert said in error.fault.message
    assert resident() - before < 150_000_000
    assert await say(made, "on") == "on"


async def test_noise_on_the_error_output_is_drained(agent: Held) -> None:
    assert await say(agent("claude"), "STDERR 20") == "after noise"


async def test_a_providers_refusals_are_told_apart(agent: Held) -> None:
    made = agent("claude")
    kinds = {"429": "rate_limited", "401": "permanent", "529": "unavailable", "500": "unavailable"}
    for status, kind in kinds.items():
        error = await fails(made, f"ERROR {status}")
        assert (error.fault.kind, error.usage is not None) == (kind, True)
    codex = agent("codex")
    for info, kind in (("unauthorized", "permanent"), ("serverOverloaded", "unavailable")):
        assert (await fails(codex, f"FAIL {info}")).fault.kind == kind
    assert state(made).spawned == state(codex).spawned == 1


async def test_a_session_that_is_not_left_is_ended_with_its_process(agent: Held) -> None:
    made = agent("claude", "--sticky")
    assert await say(made, "secret") == "secret"
    assert await say(made, "HISTORY") == '["HISTORY"]'
    assert state(made).spawned == 2


async def test_processes_that_left_the_group_end_with_it(agent: Held) -> None:
    made = agent("claude")
    child = int(await say(made, "CHILD"))
    assert alive(child)
    await made.close()
    await until(lambda: not alive(child))


async def test_what_a_process_that_ends_has_left_in_its_group_ends_with_it(agent: Held) -> None:
    made = agent("claude")
    error = await fails(made, f"LEAVE {agent.state / 'left'}")
    assert "exit status 3" in error.fault.message
    left = int((agent.state / "left").read_text())
    await until(lambda: not alive(left))


@pytest.mark.parametrize("kind", ["claude", "codex"])
async def test_one_that_does_not_know_the_protocol_does_one_call_a_process(
    agent: Held, kind: str
) -> None:
    made = agent(kind, "--old")
    reply = await made.call(request("x"), FakeContext())
    assert reply.output == "x"
    assert reply.notes[0].startswith("one process for this call: ")
    assert await say(made, "y") == "y"
    assert state(made).warm is False
    error = await fails(agent(kind, "--old", one_shot="never"), "x")
    assert "ended in the middle" in error.fault.message
    always = agent(kind, one_shot="always")
    assert (await always.call(request("z"), FakeContext())).notes == ()
    assert await say(always, "z") == "z"
    assert (state(always).spawned, state(always).failed) == (2, 0)


async def test_what_cannot_be_started_says_so(agent: Held) -> None:
    error = await fails(agent("claude", command=["no-such-program-at-all"]), "x")
    assert error.fault.kind == "permanent"
    assert "no program" in error.fault.message
    dead = await fails(agent("claude", "--dead"), "x")
    assert "not today" in dead.fault.message


async def test_nothing_leaks_in_200_faults(agent: Held) -> None:
    made = {
        "claude": agent("claude", pool=4, silence=0.3, grace=0.02),
        "codex": agent("codex", pool=2, turns=2, silence=0.3, grace=0.02),
    }
    faults = [("claude", "DIE"), ("claude", "EXIT"), ("claude", "GARBAGE 200"), ("codex", "DIE")]
    faults += [("claude", "HANG")]
    for one in made.values():
        await say(one, "warm")
    before = descriptors()
    for round_ in range(10):
        work = [fails(made[kind], word) for kind, word in faults * 4]
        errors = await asyncio.gather(*work)
        assert {error.fault.kind for error in errors} <= {"failed", "timeout"}, round_
    for one in made.values():
        assert await say(one, "on") == "on"
        await one.close()
    await until(lambda: descriptors() <= before)
    await until(lambda: not children())
    assert list((agent.state / "sessions").iterdir()) == []


# ---- prices ----


def test_tokens_are_priced_where_the_provider_itself_was_asked() -> None:
    pytest.importorskip("genai_prices")
    told = counted(1_000, 10, 200, model="gpt-5.2", provider="openai")
    assert told is not None
    assert told.cost is not None
    assert told.cost > 0
    assert told.tokens_cached == 200
    other = counted(1_000, 10, 0, model="gpt-5.2", provider="openai", listed=False)
    assert other is not None
    assert other.cost is None, "unpriced, never free"
    assert counted(0, 0, 0, model="gpt-5.2", provider="openai") is None


# ---- options ----


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"session": "acp"}, "an ACP agent is named by its command"),
        ({"session": "acp", "command": ["x"], "model": "m"}, "no way to choose a model"),
        ({"session": "acp", "command": ["x"], "one_shot": "always"}, "no one-shot form"),
        ({"session": "claude", "turns": 2}, "one turn at a time"),
        ({"session": "claude", "branch": "x/"}, "of a worktree alone"),
        ({"session": "claude", "idle": "soon"}, "idle"),
        ({"session": "gemini"}, "invalid enum value"),
        ({"session": "claude", "permissions": "maybe"}, "permissions"),
        ({"session": "claude", "typo": 1}, "unknown option 'typo'"),
        ({"session": "claude", "env": {"MY_API_KEY": "x"}}, "looks like a secret"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        session_agent(tmp_path, **options)
    assert caught.value.problems


# ---- helpers ----


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except OSError:
        return False


def gone(path: str | Path) -> bool:
    return not os.path.lexists(path)


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> list[str]:
    """The programs of this process's children that are fakes."""
    found = []
    for pid in os.listdir("/proc"):
        try:
            if pid.isdecimal() and b"fake_" in Path(f"/proc/{pid}/cmdline").read_bytes():
                parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
                found += [pid] * (int(parent) == os.getpid())
        except OSError:
            continue
    return found
