"""What the server tells of a run beyond its state: graph, teams, cost, reasons, what if."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.server.kit import Served, serving

from hocket.app.load import load_file
from hocket.config.change import changed
from hocket.core.errors import CallerError, PeerError
from hocket.journal.base import RunRow
from hocket.server.explained import EVERY, Explanations, slim
from hocket.server.insights import MOST_SETTINGS, ExplainQuery, Simulation, simulation_args
from hocket.server.knobs import knobs
from hocket.server.teams import spec_path

FILE = """
version: 1
limits:
  api: {requests: 40/s, spacing: 1ms}
agents:
  red:
    scripted:
      replies:
        - {output: "use a log", after: 10ms, tokens_in: 10, tokens_out: 5, cost: 0.01}
        - {output: {for: A, reason: "it is simple"}, after: 10ms, tokens_in: 20, tokens_out: 5}
    limits: api
  blue: {scripted: {replies: [{output: "use a table", after: 10ms, tokens_in: 7, cost: 0.02}]}}
  slow: {scripted: {replies: [{output: "never", after: 60s}]}}
plans:
  first:
    max_parallel: 3
    budget: {cost: 1.50}
    inputs: {n: {default: 3}}
    steps:
      ask: {each: "[1, 2, 3]", agent: red, prompt: "{{item}}"}
      judged: {review: {of: "{{ask}}", by: [blue], swarm: 3, fail_open: true}, needs: [ask]}
      last: {agent: blue, prompt: "{{ask}}", wants: [judged]}
  talk:
    steps:
      reply:
        panel:
          question: "Which?"
          agents: {red: blue, blue: blue, late: slow}
          quorum: 2
          within: 5s
          synthesis: {agent: blue}
  vote:
    steps:
      q: {consensus: {question: "Which store?", agents: [{agent: red, count: 3}]}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    path = folder / "team.yaml"
    path.write_text(FILE)
    with serving(folder / "state", [path]) as found:
        for plan in ("first", "talk", "vote"):
            found.post("/api/runs", {"plan": plan, "run_id": plan})
        for plan in ("first", "talk", "vote"):
            found.until(plan, "succeeded", "failed")
        yield found


# ---- graph, teams ----


def test_a_graph_has_every_step_in_its_place(served: Served) -> None:
    told = served.get("/api/runs/first/graph")
    places = {path: (x, layer) for path, _, x, _, layer in told["nodes"]}
    assert list(places) == ["ask", "judged", "last"]
    assert [places[name][1] for name in places] == [0, 1, 2]
    assert [0, 1] in told["edges"] and [1, 2, 1] in told["edges"]
    kinds = {path: kind for path, kind, *_ in told["nodes"]}
    assert kinds["judged"] == "review"


def test_a_graph_can_be_had_with_closed_groups(served: Served) -> None:
    whole = served.get("/api/runs/talk/graph")
    closed = served.get("/api/runs/talk/graph?closed=true")
    assert "reply/gather" in [node[0] for node in whole["nodes"]]
    assert [node[0] for node in closed["nodes"]] == ["reply"]
    assert whole["nodes"][0][1] == closed["nodes"][0][1] == "panel"


def test_a_team_tells_who_gave_and_voted_what(served: Served) -> None:
    told = served.get("/api/runs/vote/teams")["teams"]["q"]
    assert told["kind"] == "consensus"
    assert [one["name"] for one in told["asked"]["members"]] == ["red-1", "red-2", "red-3"]
    assert {one["member"] for one in told["contributions"]} == {"red-1", "red-2", "red-3"}
    assert told["contributions"][0]["content"] == "use a log"
    answers = [row for row in told["rows"] if row["what"] == "answers"]
    assert len(answers) == 3
    # Instants are milliseconds since the epoch, as everywhere.
    assert 1.6e12 < told["began"] <= answers[0]["at"] < 1e13
    assert all(name.startswith("q/") for name in told["calls"])
    assert set(told["calls"].values()) <= {"useful", "stale", "discarded", "failed", "cancelled"}


def test_a_panel_tells_what_it_was_made_of_and_what_is_missing(served: Served) -> None:
    told = served.get("/api/runs/talk/teams")["panels"]["reply"]
    assert [one["name"] for one in told["speakers"]] == ["red", "blue", "late"]
    assert told["quorum"] == 2 and told["within"] == 5000
    assert set(told["gathered"]["contributions"]) == {"red", "blue"}
    assert "late" in told["gathered"]["missing"]
    assert set(told["said"]) == {"red", "blue", "synthesis"}
    only = served.get("/api/runs/talk/teams?path=reply")
    assert list(only["panels"]) == ["reply"] and only["teams"] == {}


def test_paths_in_plans_have_no_items_and_rounds() -> None:
    assert spec_path("a/3~2/b") == "a/b"
    assert spec_path("a~2") == "a"
    assert spec_path("a/b") == "a/b"
    assert spec_path("a/12/b/3~4") == "a/b"


# ---- cost ----


def test_costs_add_up_to_what_the_run_has_spent(served: Served) -> None:
    told = served.get("/api/runs/first/cost")
    head = served.site.host.engine.look("first")[1]
    assert told["usd"] == pytest.approx(head.dollars)
    assert sum(row["usd"] for row in told["rows"]) == pytest.approx(told["usd"])
    assert sum(row["tokens_in"] for row in told["rows"]) == told["tokens_in"]
    fates = {(row["fate"], row["agent"], row["step"]) for row in told["rows"]}
    assert ("useful", "red", "ask") in fates
    (budget,) = told["budgets"]
    assert budget["kind"] == "cost" and budget["amount"] == 1.5
    assert budget["used"] == pytest.approx(told["usd"])


# ---- explain, simulate ----


def test_an_explanation_comes_without_what_the_page_has_already(served: Served) -> None:
    told = served.get("/api/runs/first/explain")
    assert told["run"] == "first" and told["headline"]
    assert "activities" not in told and "spending" not in told
    assert "steps" not in told["load"]["run"]
    assert sum(share["ns"] for share in told["shares"]) == told["took"]
    assert told["bounds"]["best"] <= told["took"]
    assert told["seq"] == served.site.host.row("first").events
    assert ExplainQuery().simulate is False, "what takes long is for those who ask for it"


def test_what_can_be_set_is_told_as_it_is(served: Served) -> None:
    told = {knob["key"]: knob for knob in served.get("/api/runs/first/settings")["settings"]}
    assert told["max_parallel"]["value"] == "3"
    assert told["limits.api.requests"]["value"] == "40/s"
    assert told["review.swarm"]["value"] == "3"
    vote = {knob["key"]: knob for knob in served.get("/api/runs/vote/settings")["settings"]}
    assert "restart_all" in vote["consensus.policy"]["choices"]
    talk = {knob["key"]: knob for knob in served.get("/api/runs/talk/settings")["settings"]}
    assert talk["panel.within"]["value"] == "5s"


@pytest.mark.parametrize("name", ["limits", "reviewed", "coach", "ask", "release"])
def test_every_setting_can_be_set_to_what_it_is(name: str) -> None:
    loaded = load_file(Path(__file__).parents[2] / "examples" / f"{name}.yaml")
    for plan in loaded.plans():
        spec = loaded.spec(plan)
        for knob in knobs(spec):
            if knob.value:
                made = changed(spec, [f"{knob.key}={knob.value}"])
                assert made.spec == spec, knob
            for choice in knob.choices:
                changed(spec, [f"{knob.key}={choice}"])


def test_a_simulation_stands_beside_its_baseline(served: Served) -> None:
    body = {"set": ["max_parallel=1"], "vary": ["limits.api.requests=20/s,80/s"], "runs": 5}
    told = served.post("/api/runs/first/simulate", body)
    assert told["match"]["run"] == "first"
    assert told["baseline"]["runs"] == 5
    assert told["variants"][0]["settings"] == ["max_parallel=1"]
    assert len(told["variants"]) == 3


def test_what_a_simulation_refuses_is_told(served: Served) -> None:
    reply = served.ask("POST", "/api/runs/first/simulate", {"set": ["max_parallell=1"]})
    assert reply.status == 400 and "max_parallel" in reply.json()["error"]["message"]
    for body in (
        {"set": ["--runs=1000000"]},
        {"set": ["-h"]},
        {"vary": ["max_parallel"]},
        {"variant": ["nothing"]},
        {"fault": ["--help"]},
        {"runs": 0},
        {"runs": 1_001},
        {"set": ["a=1"] * (MOST_SETTINGS + 1)},
        {"vary": ["a=1"] * 11, "set": ["a=1"] * 11},
        {"set": ["a=\n1"]},
        {"workers": 8},
        {"svg": "/tmp/x"},
    ):
        assert served.ask("POST", "/api/runs/first/simulate", body).status == 400, body
    assert served.ask("POST", "/api/runs/none/simulate", {}).status == 404
    assert served.ask("GET", "/api/runs/none/explain").status == 404


def test_no_setting_can_pass_for_an_option() -> None:
    args = simulation_args("r", Simulation(set=["a=--svg=/tmp/x"], runs=7))
    assert args == ["simulate", "--runs=7", "--seed=0", "--set=a=--svg=/tmp/x", "r"]
    with pytest.raises(CallerError, match="write it as"):
        simulation_args("r", Simulation(fault=["--svg=/tmp/x"]))


# ---- limits ----


def test_limits_tell_their_windows(served: Served) -> None:
    told = served.get("/api/limits")
    (api,) = [limit for limit in told["limits"] if limit["label"] == "api"]
    assert [bound["kind"] for bound in api["bounds"]] == ["requests", "spacing"]
    windows = [window for window in told["windows"] if window["limit"] == api["name"]]
    assert windows[0]["amount"] == 40 and windows[0]["per_ms"] == 1000
    assert api["waiting"] == {}


# ---- explanations are made seldom ----

TOLD: dict[str, Any] = {
    "activities": [{"name": "a#1"}, {"name": "b#1"}],
    "chains": {
        "teams": [
            {
                "answers": [{"activity": 0, "void": [1]}],
                "lines": [{"activity": -1}],
                "seats": [],
                "unexplained": [],
            }
        ]
    },
    "chain": [
        {"since": 0, "until": 5, "kind": "rate", "detail": "x", "call": "a#1"},
        {"since": 5, "until": 9, "kind": "rate", "detail": "x", "call": "a#1"},
        {"since": 9, "until": 10, "kind": "model", "detail": "x", "call": "a#1"},
    ],
    "critical": {"length": 3, "chain": [0], "slack": [0, 1]},
    "load": {"run": {"peak": 1, "steps": [[0, 1]]}, "agents": {}, "limits": {}},
    "uses": [{"limit": "x", "windows": [{"kind": "requests", "steps": []}]}],
    "findings": [{"evidence": list(range(99))}],
    "spending": [],
}


class Fake:
    """Stands for the command line: counts what is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.go = asyncio.Event()
        self.cancelled = 0
        self.error: Exception | None = None

    async def __call__(self, args: Sequence[str], seconds: float = 60.0) -> Any:
        self.asked.append(list(args))
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return TOLD


class Bench:
    def __init__(self) -> None:
        self.cli = Fake()
        self.now = 0.0
        self.told = Explanations(self.cli, lambda: self.now)

    async def of(self, events: int, status: str = "running", simulate: bool = False) -> Any:
        row = RunRow(
            id="r",
            name="r",
            status=status,
            created=0,
            updated=0,
            events=events,
            owner="",
            alive=True,
        )
        return await self.told.of(row, simulate=simulate)


def test_a_run_under_way_is_explained_every_few_seconds_at_most() -> None:
    async def scene() -> None:
        bench = Bench()
        bench.cli.go.set()
        assert (await bench.of(5))["seq"] == 5
        assert (await bench.of(6))["seq"] == 5
        bench.now = EVERY + 1
        assert (await bench.of(7))["seq"] == 7
        assert len(bench.cli.asked) == 2

    asyncio.run(scene())


def test_a_run_that_is_over_is_explained_once() -> None:
    async def scene() -> None:
        bench = Bench()
        bench.cli.go.set()
        await bench.of(5, "succeeded")
        bench.now = 1e6
        await bench.of(5, "succeeded")
        assert len(bench.cli.asked) == 1
        await bench.of(9, "succeeded")
        assert len(bench.cli.asked) == 2

    asyncio.run(scene())


def test_who_asks_at_once_shares_one_answer_and_simulations_serve_both() -> None:
    async def scene() -> None:
        bench = Bench()
        both = [asyncio.ensure_future(bench.of(5, simulate=True)) for _ in range(3)]
        await asyncio.sleep(0)
        bench.cli.go.set()
        await asyncio.gather(*both)
        await bench.of(5, "succeeded")
        assert bench.cli.asked == [["explain", "--simulate", "r"]]
        await bench.of(5, "running", simulate=False)
        assert len(bench.cli.asked) == 1

    asyncio.run(scene())


def test_nobody_who_waits_is_left_alone_and_what_nobody_waits_for_ends() -> None:
    async def scene() -> None:
        bench = Bench()
        one, other = (asyncio.ensure_future(bench.of(5)) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.sleep(0)
        assert not bench.cli.cancelled
        other.cancel()
        await asyncio.gather(one, other, return_exceptions=True)
        await asyncio.sleep(0)
        assert bench.cli.cancelled
        bench.cli.go.set()
        assert (await bench.of(5))["seq"] == 5

    asyncio.run(scene())


def test_a_failure_is_told_and_not_kept() -> None:
    async def scene() -> None:
        bench = Bench()
        bench.cli.go.set()
        bench.cli.error = PeerError("it took too long")
        with pytest.raises(PeerError):
            await bench.of(5)
        bench.cli.error = None
        assert (await bench.of(5))["seq"] == 5

    asyncio.run(scene())


def test_what_is_left_of_an_explanation_is_small() -> None:
    told = slim(TOLD)
    assert told["calls"] == {"0": "a#1", "1": "b#1"}
    assert [one["until"] - one["since"] for one in told["chain"]] == [9, 1]
    assert TOLD["chain"][0]["until"] == 5
    assert told["chain_left_out"] == 0
    assert "slack" not in told["critical"]
    assert len(told["findings"][0]["evidence"]) == 50 and told["findings"][0]["events"] == 99
    assert "steps" not in told["uses"][0]["windows"][0]


def test_of_a_long_chain_the_longest_stretches_are_told_in_their_order() -> None:
    chain, at = [], 0
    for number in range(2_000):
        took = 1 + number * 7 % 1_000
        chain.append(
            {"since": at, "until": at + took, "kind": "model", "detail": "", "call": f"{number}#1"}
        )
        at += took
    told = slim({**TOLD, "chain": chain})
    assert len(told["chain"]) == 500 and told["chain_left_out"] == 1_500
    assert told["chain"] == sorted(told["chain"], key=lambda one: one["since"])
    assert min(one["until"] - one["since"] for one in told["chain"]) > 700
