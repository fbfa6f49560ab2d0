"""What MCP clients are told: mistakes in plain words, replies that fit in, and a quiet end."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.server.mcp_kit import ERAS, FILE, over_stdio, write_file, yes

from hocket.journal.sqlite import SqliteJournal
from hocket.server.mcp_replies import MOST, PlanReply, PlanRow, PlansReply, RunReply, fitted

every_era = pytest.mark.parametrize("mode", ERAS)


@every_era
def test_what_is_wrong_with_a_call_is_told_in_plain_words(mode: str, tmp_path: Path) -> None:
    async def session() -> None:
        async with over_stdio(tmp_path, mode) as talk:
            for name, args, said in (
                ("execute_task", {"plan": "quick", "bogus": 1}, "has no argument 'bogus'; there"),
                ("execute_task", {"plan": "quick", "input": {}}, "did you mean 'inputs'?"),
                ("approve", {"run": "last", "stp": "x"}, "did you mean 'step'?"),
                ("run_status", {"run": "last", "wait_s": 51}, "wait_s: must be at most 50, not 51"),
                ("run_status", {}, "'run' is missing"),
                ("run_statis", {}, "there is no tool 'run_statis'; did you mean 'run_status'?"),
                ("list_runs", {"status": "bogus"}, "runs have no status 'bogus'; there are run"),
                ("list_runs", {"status": "runing"}, "did you mean 'running'?"),
            ):
                told = await talk.refused(name, **args)
                assert said in told, told
                assert not any(word in told for word in ("pydantic", "Arguments", "Error exec"))
            assert (await talk.call("list_runs"))["runs"] == []

    asyncio.run(session())


@every_era
def test_an_answer_of_another_form_decides_nothing(mode: str, tmp_path: Path) -> None:
    async def session() -> None:
        odd = {"approved": "perhaps"}
        async with over_stdio(tmp_path, mode, lambda shown: odd) as talk:
            gate = await talk.call("execute_task", plan="gate", inputs={"what": "it"}, wait_s=50)
            told = await talk.refused("approve", run=gate["run"])
            assert "not of the form that was asked; nothing is decided" in told
            assert "esolver" not in told
            assert (await talk.call("run_status", run=gate["run"]))["questions"]

    asyncio.run(session())


@every_era
def test_a_changed_agent_is_not_what_was_approved(mode: str, tmp_path: Path) -> None:
    """The person is shown what agents are, and a change meanwhile is looked at again."""
    file = tmp_path / "hocket.yaml"
    evil = tmp_path / "evil"
    shown: list[str] = []

    def change(text: str) -> dict[str, Any]:
        shown.append(text)
        tree = {**FILE, "agents": {**FILE["agents"], "one": {"command": ["touch", str(evil)]}}}
        file.write_text(yaml.safe_dump(tree, sort_keys=False))
        return yes(text) if len(shown) == 1 else {"approved": False}

    async def session() -> None:
        async with over_stdio(tmp_path, mode, change) as talk:
            plan = await talk.call("plan_task", task="Tidy up the house")
            result = await talk.client.call_tool("execute_task", {"plan": plan["plan"]})
            told = result.content[0].text  # type: ignore[union-attr]
            assert "look at it again" in told or "a person said no" in told
            if len(shown) > 1:
                assert 'one runs ["touch"' in shown[1]

    asyncio.run(session())
    assert not evil.exists()


def test_many_questions_fit_into_a_reply_and_the_others_are_named(tmp_path: Path) -> None:
    async def session() -> None:
        async with over_stdio(tmp_path, "2026-07-28", None) as talk:
            run = await talk.call("execute_task", plan="many", wait_s=50)
            while run["asked"] < 50:
                run = await talk.call("run_status", run=run["run"], after=run["seq"], wait_s=50)
            kept = len(run["questions"])
            uri = f"hocket://run/{run['run']}/questions"
            assert 1 < kept < 50
            assert f"{50 - kept} more questions: {uri}" in run["rest"]
            lines = (await talk.read(uri)).splitlines()
            assert len(lines) == 50
            assert lines[49].startswith("approve ok49: 49 ää")

    asyncio.run(session())


def test_replies_are_cut_to_their_size_and_say_how_to_get_the_rest() -> None:
    plan = PlanReply(plan="p", ready=True, text="ü" * 4_000, risks=["r" * 200] * 20)
    assert len(plan.model_dump_json().encode()) > MOST
    small = fitted(plan)
    assert len(small.model_dump_json(indent=2).encode()) <= MOST
    assert small.text.endswith("… (4,000 characters in all)")
    assert small.more == "hocket://plan/p"
    assert small.rest == [f"{20 - len(small.risks)} more risks: hocket plan --from p, or the page"]

    news = [f"{n} {'n' * 190}" for n in range(20)]
    run = fitted(RunReply(run="r", plan="p", status="running", output="o" * 2_000, news=news))
    assert run.news[-1] == news[-1]
    assert len(run.model_dump_json(indent=2).encode()) <= MOST

    rows = [PlanRow(file="f", plan="p" * 300) for _ in range(20)]
    plans = fitted(PlansReply(plans=rows, skipped=40, left_out=3))
    assert plans.left_out == 3 + 20 - len(plans.plans)
    assert plans.next.startswith(f"list_plans(skip={40 + len(plans.plans)})")


def test_lists_are_read_on(tmp_path: Path) -> None:
    plans = {f"p{n}": {**FILE["plans"]["quick"]} for n in range(25)}

    async def session() -> None:
        async with over_stdio(tmp_path, "2026-07-28") as talk:
            tree = {**FILE, "plans": plans}
            (tmp_path / "hocket.yaml").write_text(json.dumps(tree))
            names: list[str] = []
            while True:
                found = await talk.call("list_plans", skip=len(names))
                names += [row["plan"] for row in found["plans"]]
                if not found["left_out"]:
                    break
                assert found["next"].startswith(f"list_plans(skip={len(names)})")
            assert names == list(plans)

    asyncio.run(session())


@contextmanager
def bare(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """Give `hocket mcp` with its pipes, and what sends it a request and reads the answer."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hocket", "mcp", str(write_file(tmp_path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"HOCKET_HOME": str(tmp_path / "state"), "PATH": os.environ["PATH"]},
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def send(number: int | None, method: str, answered: bool = True, **params: Any) -> Any:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        line = json.dumps(message if number is None else {**message, "id": number})
        process.stdin.write(line + "\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        while answered and number is not None:
            told = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            if told.get("id") == number:
                return told["result"]
        return None

    try:
        yield process, send
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


@pytest.mark.parametrize("first", ["stdout", "stdin"])
def test_a_client_that_dies_leaves_its_runs_and_no_traceback(tmp_path: Path, first: str) -> None:
    with bare(tmp_path) as (process, send):
        who = {"name": "t", "version": "1"}
        send(1, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=who)
        send(None, "notifications/initialized")
        args = {"plan": "gate", "inputs": {"what": "it"}, "wait_s": 50}
        gate = send(2, "tools/call", name="execute_task", arguments=args)["structuredContent"]
        if first == "stdout":
            process.stdout.close()  # type: ignore[union-attr]
        for number in range(3, 30):
            send(number, "tools/call", answered=False, name="list_plans", arguments={})
        process.stdin.close()  # type: ignore[union-attr]
        if first == "stdin":
            process.stdout.close()  # type: ignore[union-attr]
        said = process.stderr.read()  # type: ignore[union-attr]
        assert process.wait(20) == 0
        assert "Traceback" not in said and "rror" not in said, said
    with SqliteJournal(tmp_path / "state") as journal:
        (row,) = [row for row in journal.runs() if row.id == gate["run"]]
        assert not row.alive and row.status in {"running", "paused"}

    async def after() -> None:
        async with over_stdio(tmp_path, "2026-07-28") as talk:
            await talk.call("approve", run=gate["run"])
            done = await talk.call("run_status", run=gate["run"], wait_s=50)
            assert done["status"] == "succeeded"

    asyncio.run(after())
