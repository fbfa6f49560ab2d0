"""Spans: what OpenTelemetry is told of a run, and what it is not."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hocket.app.engine import Engine
from hocket.app.load import load_plan
from hocket.app.telemetry import VARIABLE, sink_of_environment
from hocket.core.errors import Refused, RunFailed

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

FILE = """
version: 1
agents:
  one: {scripted: {replies: [{output: the secret answer, tokens_in: 10, tokens_out: 3, cost: 0.5}]}}
  bad: {scripted: {replies: [{error: {kind: permanent, message: no such thing}}]}}
plans:
  good: {steps: {a: {agent: one, prompt: the secret question}, b: {agent: one, prompt: "{{a}}"}}}
  wrong: {steps: {a: {agent: one, prompt: x}, b: {agent: bad, prompt: "{{a}}"}}}
"""


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes OTLP over HTTP."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.got = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{server.server_address[1]}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def spans(collector: Any) -> list[Any]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    found = []
    for path, body in collector.got:
        assert path == "/v1/traces"
        read = ExportTraceServiceRequest.FromString(body)
        for resource in read.resource_spans:
            for scope in resource.scope_spans:
                found += scope.spans
    return found


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def run(tmp_path: Path, plan: str, run_id: str) -> None:
    path = tmp_path / "hocket.yaml"
    path.write_text(FILE)
    Engine(tmp_path / "state").run_sync(load_plan(path, plan), run_id=run_id)


def test_calls_are_spans_of_their_run(collector: Any, tmp_path: Path) -> None:
    run(tmp_path, "good", "r1")
    told = {span.name: span for span in spans(collector)}
    assert list(told) == ["invoke_agent one", "invoke_workflow good"]
    call, root = told["invoke_agent one"], told["invoke_workflow good"]
    assert call.trace_id == root.trace_id
    assert call.parent_span_id == root.span_id
    assert not root.parent_span_id
    assert root.start_time_unix_nano <= call.start_time_unix_nano <= call.end_time_unix_nano
    assert call.end_time_unix_nano <= root.end_time_unix_nano
    assert attributes(call) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "one",
        "gen_ai.conversation.id": "r1",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 3,
        "hocket.call": "b#1",
        "hocket.cost_usd": 0.5,
    }
    assert attributes(root)["hocket.status"] == "succeeded"


def test_what_was_said_is_not_sent(collector: Any, tmp_path: Path) -> None:
    run(tmp_path, "good", "r1")
    assert len(spans(collector)) == 3
    assert not any(b"secret" in body for _, body in collector.got)


def test_failures_are_errors_with_their_kind(collector: Any, tmp_path: Path) -> None:
    with pytest.raises(RunFailed):
        run(tmp_path, "wrong", "r2")
    told = {span.name: span for span in spans(collector)}
    bad = told["invoke_agent bad"]
    assert (bad.status.code, bad.status.message) == (2, "no such thing")
    assert attributes(bad)["error.type"] == "permanent"
    assert told["invoke_workflow wrong"].status.code == 2
    assert told["invoke_agent one"].status.code == 0


def test_a_resumed_run_is_the_same_trace(collector: Any, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(RunFailed):
            run(tmp_path, "wrong", "r3")
    ids = {(span.trace_id, span.parent_span_id) for span in spans(collector)}
    roots = [span for span in spans(collector) if not span.parent_span_id]
    assert len({trace for trace, _ in ids}) == 1
    assert len({span.span_id for span in roots}) == 1


def test_a_model_is_chatted_with_and_a_tool_executed() -> None:
    from hocket.app.telemetry import _tools
    from hocket.core.specs import AgentSpec, PlanSpec, RunSpec
    from hocket.core.teams import ToolSpec

    tool = ToolSpec(agent="grep-1")
    agents = {
        "m": AgentSpec(kind="model", tools={"grep": tool}),
        "grep-1": AgentSpec(kind="command"),
    }
    spec = RunSpec(workflow=PlanSpec(name="p", steps=()), agents=agents)
    assert _tools(spec) == {"grep-1": "grep"}


def test_without_the_variable_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert sink_of_environment() is None
    monkeypatch.setenv(VARIABLE, "localhost:4318")
    with pytest.raises(Refused, match="write an address"):
        sink_of_environment()
