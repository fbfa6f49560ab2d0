"""Indicators, alerts and metrics of a server, over HTTP."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.server.kit import Served, serving

from hocket.core.events import CallStarted
from hocket.core.values import SECOND, Call
from hocket.insight.alerts import Reading, read_rule
from hocket.insight.indicators import Figures
from hocket.server import watch
from hocket.server.watch import Watch, memory

PLANS = """
version: 1
agents:
  one: {scripted: {replies: [{output: hello, tokens_in: 100, tokens_out: 20, cost: 0.5}]}}
  full: {scripted: {replies: [{error: {kind: rate_limited}}, {output: hello}]}}
  bad: {scripted: {replies: [{error: {kind: permanent}}]}}
plans:
  say: {steps: {a: {agent: one, prompt: hi}}}
  wait: {steps: {a: {agent: full, prompt: hi}}}
  fail: {steps: {a: {agent: bad, prompt: hi}}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("stats")
    file = folder / "hocket.yaml"
    file.write_text(PLANS)
    with serving(folder / "state", [file]) as served:
        for plan in ("say", "wait", "fail"):
            run = served.post("/api/runs", {"file": "hocket.yaml", "plan": plan})["run"]
            served.until(run, "succeeded", "failed")
        yield served


def test_indicators_have_their_targets_beside(served: Served) -> None:
    found = {one["name"]: one for one in served.get("/api/stats")["indicators"]}
    assert found["completion"]["value"] == pytest.approx(2 / 3)
    assert (found["completion"]["target_text"], found["completion"]["ok"]) == ("> 90%", False)
    assert (found["refused"]["value"], found["refused"]["ok"]) == (1, False)
    assert found["step_time"]["ok"]
    assert found["memory"]["value"] > 10_000_000
    assert {one["name"]: one["usd"] for one in served.get("/api/stats")["agents"]} == {
        "one": 0.5,
        "full": 0,
        "bad": 0,
    }


def test_stats_since(served: Served) -> None:
    found = {one["name"]: one for one in served.get("/api/stats?since=0s")["indicators"]}
    assert found["runs"]["value"] == 0
    assert served.ask("GET", "/api/stats?since=never").status == 409


def test_prometheus_reads_the_same(served: Served) -> None:
    reply = served.ask("GET", "/metrics", token="view")
    assert reply.headers["content-type"].startswith("text/plain")
    read = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }
    assert read["hocket_runs", "succeeded"] == 2
    assert read["hocket_runs", "failed"] == 1
    assert read["hocket_calls_total", "one"] == 1
    assert read["hocket_calls_refused_total", "full"] == 1
    assert read["hocket_cost_dollars_total", "one"] == 0.5
    assert read["hocket_tokens_total", "one"] == 120
    assert read["hocket_calls_in_flight",] == 0
    assert read["hocket_memory_bytes",] > 10_000_000


def test_an_alert_fires_is_listed_and_is_seen(served: Served) -> None:
    told = []
    site = served.site
    site.watch = Watch(site.host, [read_rule("errors > 1%")], told=[told.append])
    assert served.do(site.watch.look) == []
    run = served.post("/api/runs", {"file": "hocket.yaml", "plan": "fail"})["run"]
    served.until(run, "failed")
    (fired,) = served.do(site.watch.look)
    assert fired.message == "100% of the last hour's calls failed"
    assert told == [fired]
    (listed,) = served.get("/api/alerts")["alerts"]
    assert (listed["message"], listed["seen"], listed["until"]) == (fired.message, False, None)
    assert served.post(f"/api/alerts/{fired.id}/seen", {}) == {"status": "done"}
    assert served.get("/api/alerts")["alerts"][0]["seen"]
    assert served.ask("POST", "/api/alerts/999/seen", {}).status == 404
    assert served.ask("POST", "/api/alerts/x/seen", {}).status == 404


def test_a_slow_step_of_a_run_here_is_told() -> None:
    one = Figures()
    one.run = "r"
    one.add(CallStarted(at=SECOND, call=Call("slow/0", 1), agent="w"))
    (reading,) = watch._of_run(one, 91 * SECOND)
    assert reading == Reading("step", "r slow", 90.0 * SECOND, "r", "slow")


def test_memory_is_what_the_process_holds() -> None:
    before = memory()
    held = bytearray(64 << 20)
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
    assert memory() - before > 32 << 20


def test_a_figure_is_read_once(served: Served) -> None:
    first = served.do(lambda: served.site.watch.figures(0))
    again = served.do(lambda: served.site.watch.figures(0))
    assert all(again[run] is one for run, one in first.items())


def test_pools_of_sessions_are_told(tmp_path: Path) -> None:
    fake = Path(__file__).parents[1] / "agents" / "fake_claude.py"
    file = tmp_path / "hocket.yaml"
    command = json.dumps([sys.executable, "-S", str(fake)])
    file.write_text(
        "version: 1\n"
        f"agents: {{c: {{session: claude, command: {command}, permissions: deny, pool: 1}}}}\n"
        "plans: {p: {steps: {a: {agent: c, prompt: hi}, b: {agent: c, prompt: '{{a}}'}}}}\n"
    )
    with serving(tmp_path / "state", [file]) as served:
        assert served.get("/api/stats")["pools"] == []
        run = served.post("/api/runs", {"file": "hocket.yaml", "plan": "p"})["run"]
        assert served.until(run, "succeeded", "failed") == "succeeded"
        (pool,) = served.get("/api/stats")["pools"]
        assert (pool["agent"], pool["spawned"], pool["jobs"], pool["busy"]) == ("c", 1, 2, 0)
        read = served.ask("GET", "/metrics").body.decode()
        assert 'hocket_sessions{agent="c",state="size"} 1.0' in read
        assert 'hocket_sessions_spawned_total{agent="c"} 1.0' in read


def test_only_some_runs_are_looked_after_and_all_are_summed_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MOST", 1)
    site = served.site
    site.watch = Watch(site.host, [read_rule("errors > 1%")])
    rows = sorted(served.do(site.host.rows), key=lambda row: row.updated)
    assert served.do(site.watch.look) == []
    newest, oldest = rows[-1].id, rows[0].id
    assert site.watch.known(newest) is not None
    assert site.watch.known(oldest) is None
    found = {one["name"]: one["value"] for one in served.get("/api/stats")["indicators"]}
    assert found["runs"] == len(rows)
    # Runs of before that are looked after now are none of the last hour's.
    monkeypatch.setattr(watch, "_MOST", 100)
    assert served.do(site.watch.look) == []
    run = served.post("/api/runs", {"file": "hocket.yaml", "plan": "fail"})["run"]
    served.until(run, "failed")
    assert [one.value for one in served.do(site.watch.look)] == [1.0]
