"""Runs as OpenTelemetry spans, by the conventions for generative AI; sent while they go.

The names are those of the repository open-telemetry/semantic-conventions-genai as it stood in
November 2026, where all of them are marked as in development; what has no name there begins with
``hocket.``.
Ids are made of the run's id and the call's name, so that what several processes have done of one
run is one trace.
What was said, asked or answered is never sent.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Final, Protocol

from hocket._version import __version__
from hocket.core.errors import Refused
from hocket.core.events import (
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    RunEnded,
    Usage,
)
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec
from hocket.core.values import Call

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

VARIABLE: Final = "HOCKET_OTEL"
"""Names the OTLP endpoint over HTTP that spans are sent to, as in ``http://127.0.0.1:4318``."""


class Sink(Protocol):
    """Takes spans that are over."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take one; never blocks."""

    def shutdown(self) -> None:
        """Send what is left; blocks for a while."""


def sink_of_environment() -> Sink | None:
    """Give where spans go, or None if the environment names no endpoint.

    Raises:
        Refused: The endpoint is no HTTP address, or the extra is not installed.
    """
    endpoint = os.environ.get(VARIABLE, "")
    if not endpoint:
        return None
    if not endpoint.startswith(("http://", "https://")):
        raise Refused(f"{VARIABLE} is {endpoint!r}: write an address, as http://127.0.0.1:4318")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise Refused(f"{VARIABLE} is set; to send spans: pip install 'hocket[otel]'") from error
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces"))


class Telemetry:
    """Makes spans of a run's events; costs O(1) for each.

    Args:
        machine: The run, of which nothing but its beginning is read.
        sink: Where they go.
    """

    def __init__(self, machine: RunMachine, sink: Sink) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._sink = sink
        self._run = machine.run
        self._spec = machine.spec
        self._began = machine.started_at
        self._tools = _tools(machine.spec)
        self._flying: dict[Call, CallStarted] = {}
        self._resource = Resource.create({"service.name": "hocket", "service.version": __version__})
        self._scope = InstrumentationScope("hocket", __version__)

    def add(self, event: AnyEvent) -> None:
        """Take an event in."""
        if isinstance(event, CallStarted):
            self._flying[event.call] = event
        elif isinstance(event, CallFinished | CallFailed | CallCancelled | CallLost):
            began = self._flying.pop(event.call, None)
            # What another process began, nobody here can tell of.
            if began is not None:
                self._call(began, event)
        elif isinstance(event, RunEnded):
            self._end(event)

    def _end(self, event: RunEnded) -> None:
        name = self._spec.name
        attributes = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": name,
            "gen_ai.conversation.id": self._run,
            "hocket.status": event.status,
        }
        wrong = "" if event.status == "succeeded" else event.reason
        # A run that ends again after a retry is told again, under the same id.
        self._send(f"invoke_workflow {name}", "", self._began, event.at, attributes, wrong)

    def _call(
        self, began: CallStarted, ended: CallFinished | CallFailed | CallCancelled | CallLost
    ) -> None:
        agent = self._spec.agents.get(began.agent)
        model = "" if agent is None else str(agent.options.get("model", ""))
        provider, _, bare = model.rpartition(":")
        attributes: dict[str, Any] = {
            "gen_ai.agent.name": began.agent,
            "gen_ai.conversation.id": self._run,
            "hocket.call": str(began.call),
        }
        waited = sum(wait.until - wait.since for wait in began.waits)
        if waited:
            attributes["hocket.waited_ms"] = waited / 1e6
            attributes["hocket.waited_for"] = [wait.cause for wait in began.waits]
        if began.agent in self._tools:
            name, operation = f"execute_tool {self._tools[began.agent]}", "execute_tool"
            attributes["gen_ai.tool.name"] = self._tools[began.agent]
        elif model:
            name, operation = f"chat {bare}", "chat"
            attributes["gen_ai.request.model"] = bare
            attributes["gen_ai.provider.name"] = provider or "unknown"
        else:
            name, operation = f"invoke_agent {began.agent}", "invoke_agent"
        attributes["gen_ai.operation.name"] = operation
        if not isinstance(ended, CallLost):
            attributes.update(_usage(ended.usage))
        wrong = ""
        if isinstance(ended, CallFailed):
            attributes["error.type"] = ended.fault.kind
            wrong = ended.fault.message
        elif isinstance(ended, CallCancelled):
            attributes["error.type"] = wrong = f"cancelled: {ended.reason}"
        elif isinstance(ended, CallLost):
            attributes["error.type"] = wrong = "lost"
        elif ended.saved is not None:
            attributes["hocket.kept"] = True
        self._send(name, str(began.call), began.at, ended.at, attributes, wrong)

    def _send(
        self, name: str, key: str, since: int, until: int, attributes: dict[str, Any], wrong: str
    ) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(of: str) -> SpanContext:
            digest = hashlib.sha256(f"{self._run}\0{of}".encode()).digest()
            trace = hashlib.sha256(self._run.encode()).digest()
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(_number(trace, 16), _number(digest, 8), False, flags)

        client = attributes["gen_ai.operation.name"] == "chat"
        status = Status(StatusCode.ERROR, wrong) if wrong else Status(StatusCode.UNSET)
        self._sink.on_end(
            ReadableSpan(
                name=name,
                context=context(key),
                parent=context("") if key else None,
                resource=self._resource,
                attributes=attributes,
                kind=SpanKind.CLIENT if client else SpanKind.INTERNAL,
                instrumentation_scope=self._scope,
                status=status,
                start_time=since,
                end_time=until,
            )
        )


def _number(digest: bytes, size: int) -> int:
    # An id of nothing but zeros is invalid.
    return int.from_bytes(digest[:size], "big") or 1


def _usage(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    told = {
        "gen_ai.usage.input_tokens": usage.tokens_in,
        "gen_ai.usage.output_tokens": usage.tokens_out,
        "gen_ai.usage.cache_read.input_tokens": usage.tokens_cached,
        "hocket.cost_usd": None if usage.cost is None else usage.cost / 1e12,
    }
    return {name: value for name, value in told.items() if value is not None}


def _tools(spec: RunSpec) -> dict[str, str]:
    """Name the tools, by the agents that do them."""
    return {
        tool.agent: name for agent in spec.agents.values() for name, tool in agent.tools.items()
    }
