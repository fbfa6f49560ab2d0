"""What Prometheus reads of a server: sums over the runs of its state folder, and its own state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from hocket._version import __version__
from hocket.agents.session_pools import PoolState
from hocket.core.values import SECOND
from hocket.insight.indicators import Figures, Spent
from hocket.server.site import Site
from hocket.server.watch import memory


async def exposition(site: Site) -> tuple[bytes, str]:
    """Give all metrics as text, and the text's media type.

    Raises:
        JournalError: The journal cannot be read.
    """
    figures = await site.watch.figures(0)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected([*_of_runs(figures), *_of_server(site)]))
    encode, media = choose_encoder("text/plain")
    return encode(registry), media


class _Collected(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        """Give them."""
        return self._metrics


def _of_runs(figures: Mapping[str, Figures]) -> Iterator[Metric]:
    every = list(figures.values())
    runs = GaugeMetricFamily("hocket_runs", "Runs by state.", labels=["status"])
    for status, count in sorted(Counter(one.status for one in every).items()):
        runs.add_metric([status], count)
    yield runs
    agents: dict[str, Spent] = {}
    for one in every:
        for name, spent in list(one.agents.items()):
            whole = agents.setdefault(name, Spent())
            for field in Spent.__struct_fields__:
                setattr(whole, field, getattr(whole, field) + getattr(spent, field))
    yield from _of_agents(agents)
    yield _gauge("calls_in_flight", "Calls in flight.", sum(one.flying for one in every))
    yield _counter("timeouts", "Calls past their time-out.", sum(one.timed_out for one in every))
    yield _counter("steps", "Steps that have come to rest.", sum(one.steps for one in every))
    took = sum(one.step_time for one in every) / SECOND
    yield _counter("step_seconds", "Seconds that steps have taken.", took)
    late = sum(one.plan_timed_out for one in every)
    yield _counter("plan_timeouts", "Runs whose plan took longer than it may.", late)


def _of_agents(agents: Mapping[str, Spent]) -> Iterator[Metric]:
    told = (
        ("calls", "Calls that were made.", "calls", 1.0),
        ("calls_failed", "Calls that failed.", "failed", 1.0),
        ("calls_refused", "Calls that a provider would not have.", "refused", 1.0),
        ("tokens", "Tokens read and written, as far as known.", "tokens", 1.0),
        ("cost_dollars", "What calls have cost, as far as priced.", "cost", 1e12),
        ("calls_unpriced", "Calls whose price nobody knows.", "unpriced", 1.0),
        ("call_seconds", "Seconds that calls were in flight.", "busy", float(SECOND)),
    )
    for name, about, field, unit in told:
        metric = CounterMetricFamily(f"hocket_{name}", about, labels=["agent"])
        for agent, spent in sorted(agents.items()):
            metric.add_metric([agent], getattr(spent, field) / unit)
        yield metric


def _of_server(site: Site) -> Iterator[Metric]:
    info = GaugeMetricFamily("hocket_info", "The version.", labels=["version"])
    info.add_metric([__version__], 1)
    yield info
    yield _gauge("memory_bytes", "What the server's process holds.", memory())
    yield _gauge("runs_here", "Runs that this server drives.", len(site.host.runs))
    yield _gauge("start_time_seconds", "When the server started.", site.started / SECOND)
    yield from _of_pools(site.host.engine.sessions.state())
    firing = sum(alert.until is None for alert in site.watch.alerts.all())
    yield _gauge("alerts_firing", "Alerts whose rule holds now.", firing)


def _of_pools(pools: Iterable[PoolState]) -> Iterator[Metric]:
    """Tell of pools of warm sessions; those of one agent are added up."""
    told = ("busy", "idle", "waiting", "size")
    workers = GaugeMetricFamily(
        "hocket_sessions", "Warm sessions of coding agents.", labels=["agent", "state"]
    )
    gone: dict[str, Counter[str]] = {}
    for pool in pools:
        gone.setdefault(pool.agent, Counter()).update(
            {name: getattr(pool, name) for name in (*told, "exhausted", "spawned", "failed")}
        )
    for agent, counts in sorted(gone.items()):
        for state in told:
            workers.add_metric([agent, state], counts[state])
    yield workers
    for name, about in (
        ("exhausted", "How often every warm session was at work."),
        ("spawned", "Processes that were started."),
        ("failed", "Processes that have failed."),
    ):
        metric = CounterMetricFamily(f"hocket_sessions_{name}", about, labels=["agent"])
        for agent, counts in sorted(gone.items()):
            metric.add_metric([agent], counts[name])
        yield metric


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"hocket_{name}", about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"hocket_{name}", about, value=value)
