"""An MCP client plans, approves, executes and explains: over stdio and HTTP, in both eras."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from tests.server.kit import serving
from tests.server.mcp_kit import (
    ERAS,
    Talk,
    no,
    over_http,
    over_stdio,
    talking_to,
    write_file,
    yes,
)

from hocket.journal.sqlite import SqliteJournal

pytestmark = pytest.mark.slow

OVER = {"stdio": over_stdio, "http": over_http}

every_way = pytest.mark.parametrize(
    ("over", "mode"),
    [(OVER[name], mode) for name in OVER for mode in ERAS],
    ids=[f"{name}-{mode}" for name in OVER for mode in ERAS],
)
Over = Callable[..., Any]


@every_way
def test_a_client_plans_approves_executes_and_explains(
    over: Over, mode: str, tmp_path: Path
) -> None:
    async def whole(talk: Talk) -> None:
        plan = await talk.call("plan_task", task="Tidy up the house")
        assert plan["ready"] and plan["needs_approval"] and not plan["problems"]
        assert plan["confidence"]["approach"] == 0.9
        assert plan["risks"] == ["critical: nobody listens"]
        assert "critical risk: nobody listens" in plan["why"]
        assert plan["prediction"][0].startswith("forecast:")
        assert "prompt: greet" in plan["text"]
        assert talk.asked == []

        run = await talk.call("execute_task", plan=plan["plan"], wait_s=50)
        (shown,) = talk.asked
        # Exactly the plan's text was shown, and what was approved of is named by its bytes.
        assert plan["text"] in shown and plan["digest"] in shown
        assert plan["agents"] == ["one answers from a script", "two answers from a script"]
        assert all(f"- {agent}" in shown for agent in plan["agents"])
        assert run["status"] == "succeeded" and run["output"] == "goodbye"
        assert run["steps"] == {"succeeded": 2}

        gate = await talk.call("execute_task", plan="gate", inputs={"what": "it"}, wait_s=50)
        assert gate["status"] == "running"
        (question,) = gate["questions"]
        assert (question["step"], question["shown"]) == ("ok", "ship it?")
        assert gate["next"].startswith("approve(") and len(talk.asked) == 1
        await talk.call("approve", run=gate["run"])
        assert "ship it?" in talk.asked[1] and question["digest"] in talk.asked[1]
        done = await talk.call("run_status", run=gate["run"], after=gate["seq"], wait_s=50)
        while done["status"] == "running":
            done = await talk.call("run_status", run=gate["run"], after=done["seq"], wait_s=50)
        assert done["status"] == "succeeded" and done["output"] == "forty two"
        assert "2/2 succeeded: 2 of 2 steps" in talk.progress

        why = await talk.call("explain", run=gate["run"])
        assert why["headline"] and any("approval of ok" in share for share in why["shares"])

    async def session() -> None:
        async with over(tmp_path, mode) as talk:
            await whole(talk)

    asyncio.run(session())
    with SqliteJournal(tmp_path / "state") as journal:
        (gate,) = [row.id for row in journal.runs() if row.name == "gate"]
        given = [r.event for r in journal.read(gate) if type(r.event).__name__ == "ApprovalGiven"]
    assert [(one.approved, one.note) for one in given] == [(True, "fine")]
    assert "mcp" in given[0].by or "api" in given[0].by


@every_way
def test_a_client_that_cannot_ask_gets_the_question_and_passes_on_the_answer(
    over: Over, mode: str, tmp_path: Path
) -> None:
    async def session() -> None:
        async with over(tmp_path, mode, None) as talk:
            plan = await talk.call("plan_task", task="Tidy up the house")
            run = await talk.call("execute_task", plan=plan["plan"], wait_s=50)
            (question,) = run["questions"]
            assert "show the person the question" in run["next"]
            assert run["steps"].get("succeeded", 0) == 0

            # To say nothing of the bytes, or to name others, decides nothing.
            same = await talk.call("approve", run=run["run"], approved=True)
            assert same["questions"] == [question]
            said = await talk.refused(
                "approve", run=run["run"], approved=True, digest="0" * 64, step=question["step"]
            )
            assert "something else" in said
            await talk.call(
                "approve", run=run["run"], approved=True, digest=question["digest"], note="they did"
            )
            done = await talk.call("run_status", run=run["run"], wait_s=50)
            assert done["status"] == "succeeded" and done["output"] == "goodbye"
            again = await talk.call("approve", run=run["run"], approved=True, digest="x")
            assert "has approved 'run' already, at 20" in again["news"][0]
            assert again["news"][0].endswith(": they did")

    asyncio.run(session())


@pytest.mark.parametrize("mode", ERAS)
def test_what_the_person_says_counts_and_not_what_the_model_says(mode: str, tmp_path: Path) -> None:
    async def session() -> None:
        async with over_stdio(tmp_path, mode, no) as talk:
            plan = await talk.call("plan_task", task="Tidy up the house")
            run = await talk.call("execute_task", plan=plan["plan"])
            assert run["status"] == "not started" and "a person said no: not today" in run["reason"]
            gate = await talk.call("execute_task", plan="gate", inputs={"what": "it"}, wait_s=50)
            digest = gate["questions"][0]["digest"]
            await talk.call("approve", run=gate["run"], approved=True, digest=digest)
            done = await talk.call("run_status", run=gate["run"], wait_s=50)
            assert done["status"] == "failed" and "not today" in done["reason"]
            runs = await talk.call("list_runs")
            assert sorted(row["plan"] for row in runs["runs"]) == ["gate", "planning"]

    asyncio.run(session())


@pytest.mark.parametrize("action", ["decline", "cancel"])
@pytest.mark.parametrize("mode", ERAS)
def test_a_person_who_does_not_answer_has_not_said_no(
    mode: str, action: str, tmp_path: Path
) -> None:
    async def session() -> None:
        async with over_stdio(tmp_path, mode, lambda shown: action) as talk:
            gate = await talk.call("execute_task", plan="gate", inputs={"what": "it"}, wait_s=50)
            same = await talk.call("approve", run=gate["run"])
            assert same["questions"] == gate["questions"]
            said = {"decline": "declined to answer", "cancel": "put the question away"}[action]
            assert said in same["news"][0] and "stays open" in same["news"][0]
            plan = await talk.call("plan_task", task="Tidy up the house")
            run = await talk.call("execute_task", plan=plan["plan"])
            assert run["status"] == "not started" and said in run["reason"]

    asyncio.run(session())


@pytest.mark.parametrize("mode", ERAS)
def test_the_second_who_answers_is_told(mode: str, tmp_path: Path) -> None:
    async def session() -> None:
        with serving(tmp_path / "state", [write_file(tmp_path)]) as served:
            other = talking_to(served.url, served.token("operate"), mode, None)
            async with other as second:

                async def answer(shown: str) -> dict[str, Any]:
                    # While the first person still thinks, a second one answers.
                    run = await second.call("run_status", run="last")
                    digest = run["questions"][0]["digest"]
                    await second.call(
                        "approve", run="last", approved=False, digest=digest, note="too soon"
                    )
                    return {"approved": True}

                first = talking_to(served.url, served.token("operate"), mode, answer)
                async with first as talk:
                    inputs = {"what": "it"}
                    gate = await talk.call("execute_task", plan="gate", inputs=inputs, wait_s=50)
                    result = await talk.client.call_tool("approve", {"run": gate["run"]})
                    told = result.content[0].text  # type: ignore[union-attr]
                    assert "has rejected 'ok' already, at 20" in told and ": too soon" in told
                    done = await talk.call("run_status", run=gate["run"], wait_s=50)
                    assert done["status"] == "failed"

    asyncio.run(session())


@pytest.mark.parametrize("mode", ERAS)
def test_other_agents_answer_and_judge(mode: str, tmp_path: Path) -> None:
    async def session() -> None:
        async with over_stdio(tmp_path, mode) as talk:
            one = await talk.call("ask", question="what?", agents="one", wait_s=50)
            assert (one["status"], one["output"]) == ("succeeded", "forty two")
            change = "-a\n+b {{inputs.x}}"
            found = await talk.call("review_code", change=change, reviewers="judge*3", wait_s=50)
            assert found["approved"] is False and found["findings"] == ["it is wrong"]
            for agents, said in (
                ("openai:gpt-5.2", "no agent 'openai:gpt-5.2'"),
                ("local", "no agent 'local'"),
                ("onne", "did you mean 'one'?"),
            ):
                assert said in await talk.refused("ask", question="what?", agents=agents)

    asyncio.run(session())


@pytest.mark.parametrize("mode", ERAS)
def test_long_outputs_are_cut_and_say_where_the_rest_is(mode: str, tmp_path: Path) -> None:
    async def session() -> None:
        async with over_stdio(tmp_path, mode) as talk:
            run = await talk.call("execute_task", plan="lengthy", wait_s=50)
            assert "200,000 characters in all" in run["output"]
            assert await talk.read(run["more"]) == "word " * 40_000
            assert await talk.read(f"hocket://run/{run['run']}/output/say") == "word " * 40_000
            with pytest.raises(MCPError, match="no step"):
                await talk.read(f"hocket://run/{run['run']}/output/nothing")

    asyncio.run(session())


def test_what_a_step_prints_does_not_disturb_the_protocol(tmp_path: Path) -> None:
    async def session() -> None:
        async with over_stdio(tmp_path, "legacy") as talk:
            run = await talk.call("execute_task", plan="loud", wait_s=50)
            assert run["status"] == "succeeded"
            assert (await talk.call("list_plans"))["plans"][0]["file"] == "hocket.yaml"

    asyncio.run(session())


def test_a_run_outlives_its_client_and_the_next_one_goes_on(tmp_path: Path) -> None:
    async def first() -> str:
        async with over_stdio(tmp_path, "legacy") as talk:
            run = await talk.call("execute_task", plan="gate", inputs={"what": "it"}, wait_s=50)
            return str(run["run"])

    async def second(run: str) -> None:
        async with over_stdio(tmp_path, "2026-07-28") as talk:
            found = await talk.call("run_status", run=run)
            assert found["questions"] and found["status"] in {"running", "paused"}
            await talk.call("approve", run=run)
            done = await talk.call("run_status", run=run, wait_s=50)
            assert done["status"] == "succeeded"

    asyncio.run(second(asyncio.run(first())))


@pytest.mark.parametrize("mode", ERAS)
def test_runs_are_cancelled_and_given_inputs(mode: str, tmp_path: Path) -> None:
    async def session() -> None:
        async with over_stdio(tmp_path, mode) as talk:
            run = await talk.call("execute_task", plan="sleepy", wait_s=0)
            assert run["next"].startswith("run_status(")
            ended = await talk.call("cancel_run", run=run["run"], now=True)
            assert ended["status"] == "cancelled"
            told = await talk.call("execute_task", plan="told", wait_s=50)
            assert told["questions"][0]["kind"] == "input" and "send_input(" in told["next"]
            await talk.call("send_input", run=told["run"], step="word", value="so")
            done = await talk.call("run_status", run=told["run"], wait_s=50)
            assert done["output"] == "so"

    asyncio.run(session())


@pytest.mark.parametrize("mode", ERAS)
def test_mistakes_say_what_to_do(mode: str, tmp_path: Path) -> None:
    async def session() -> None:
        async with over_stdio(tmp_path, mode) as talk:
            assert "which file's plan 'gaat'" in await talk.refused("execute_task", plan="gaat")
            assert "input" in await talk.refused("execute_task", plan="gate")
            assert "offered" in await talk.refused("execute_task", plan="gate", file="/etc/passwd")
            assert "there is no run" in await talk.refused("run_status", run="nothing")
            assert "wait_s" in await talk.refused("run_status", run="last", wait_s=51)
            assert "either a task" in await talk.refused("plan_task")

    asyncio.run(session())


@pytest.mark.parametrize("mode", ERAS)
def test_a_token_for_looking_cannot_act(mode: str, tmp_path: Path) -> None:
    async def session() -> None:
        with serving(tmp_path / "state", [write_file(tmp_path)]) as served:
            async with talking_to(served.url, served.token("operate"), mode) as talk:
                inputs = {"what": "it"}
                run = await talk.call("execute_task", plan="gate", inputs=inputs, wait_s=50)
            async with talking_to(served.url, served.token("view"), mode) as talk:
                found = await talk.call("run_status", run=run["run"])
                assert found["questions"] == run["questions"]
                for name, args in (
                    ("plan_task", {"task": "x"}),
                    ("execute_task", {"plan": "quick"}),
                    ("ask", {"question": "x"}),
                    ("review_code", {"change": "x"}),
                    ("approve", {"run": run["run"]}),
                    ("send_input", {"run": run["run"], "step": "ok", "value": "x"}),
                    ("cancel_run", {"run": run["run"]}),
                ):
                    assert "may only look" in await talk.refused(name, **args)
                assert talk.asked == []
                assert len((await talk.call("list_runs"))["runs"]) == 1
            told = [(e.path, e.status) for e in served.site.audit.read(0, 100) if e.method == "MCP"]
            tools = ("plan_task", "execute_task", "ask", "review_code")
            refused = [*tools, "approve", "send_input", "cancel_run"]
            assert told == [
                ("/mcp/execute_task", 200),
                *((f"/mcp/{tool}", 403) for tool in refused),
            ]

    asyncio.run(session())


def test_the_gate_stands_before_it(tmp_path: Path) -> None:
    with serving(tmp_path / "state", [write_file(tmp_path)]) as served:
        hello = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert served.ask("POST", "/mcp", hello, token=None).status == 401
        assert served.ask("POST", "/mcp", hello, headers={"Host": "evil.example"}).status == 421
        origin = {"Origin": "https://evil.example"}
        assert served.ask("POST", "/mcp", hello, headers=origin).status == 403
        assert served.ask("PUT", "/mcp", hello).status == 405
        assert served.ask("POST", "/mcp/more", hello).status == 404
        assert served.ask("POST", "/mcp", "x" * (1 << 20)).status == 413


def test_tools_say_when_to_use_them(tmp_path: Path) -> None:
    async def session() -> None:
        async with over_stdio(tmp_path, "legacy", yes) as talk:
            tools = (await talk.client.list_tools()).tools
            assert {tool.name for tool in tools} == {
                *("plan_task", "execute_task", "review_code", "ask", "run_status", "approve"),
                *("send_input", "cancel_run", "explain", "list_plans", "list_runs"),
            }
            for tool in tools:
                assert tool.description and tool.description.endswith(".")
                assert tool.output_schema is not None
                assert tool.input_schema["additionalProperties"] is False
                # Resolvers are the server's own affair.
                assert not {"ctx", "draft", "decision", "shown"} & set(tool.input_schema)
            looks = {
                tool.name for tool in tools if tool.annotations and tool.annotations.read_only_hint
            }
            assert looks == {"run_status", "explain", "list_plans", "list_runs"}

    asyncio.run(session())


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys\n"
        "sys.modules['mcp'] = None\n"
        "from hocket.cli.main import main\n"
        "sys.exit(main(['mcp', '/dev/null']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'hocket[mcp]'" in done.stderr


def test_help_does_not_import_it() -> None:
    code = (
        "import sys\n"
        "from hocket.cli.main import main\n"
        "main(['mcp', '--help'])\n"
        "import hocket.server.app\n"
        "assert not {'mcp', 'mcp_types', 'httpx2'} & set(sys.modules), 'imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
