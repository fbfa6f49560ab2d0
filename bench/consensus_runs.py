"""Runs one question by a team as a real process, against the scripted provider, and counts.

What is counted is what the provider has seen, for every program alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
QUESTION = "Why is the sea blue?"
LATENCY = 3.0
"""Seconds that a call takes, 30 % more or less."""
WINDOW = 60
LIMITS = {"flash": 9, "pro": 2}
MASSGEN = "0.1.97"
MASSGEN_HOME = HERE.parent / ".venv-bench-massgen"
LONGEST = 420.0


@dataclass(frozen=True)
class Row:
    """A question to a team.

    Fields:
        agents: How many: all but the last two, or one of three, are flash, the others pro.
        limited: Whether there are limits, at the provider and told to those who can be told.
        voters: ``unanimous`` or ``split``: every second vote is for the second best.
    """

    agents: int
    limited: bool
    voters: str

    @property
    def team(self) -> dict[str, int]:
        pros = 1 if self.agents == 3 else 2
        return {"flash": self.agents - pros, "pro": pros}

    @property
    def name(self) -> str:
        limits = f"{LIMITS['flash']}/min + {LIMITS['pro']}/min" if self.limited else "none"
        return f"{self.agents} agents, limits {limits}, {self.voters}"


class Ran(NamedTuple):
    """What a run came to.

    Fields:
        served: Calls that were answered.
        refused: Calls that were refused with 429.
        wasted: Calls answered whose answer counted for nothing.
        cancelled: Calls that were cut off in flight.
        tokens: The tokens that these had read.
        decided: Seconds from the first call to the last vote that was answered.
        ended: Seconds from the first call to the end of the last one.
        wall: Seconds of the whole process.
        cpu: Processor seconds of it.
        rss: Its peak memory, in MB.
        sent: Kilobytes of requests.
    """

    served: int
    refused: int
    wasted: int
    cancelled: int
    tokens: int
    decided: float
    ended: float
    wall: float
    cpu: float
    rss: float
    sent: float


# ---- the provider ----


@contextlib.contextmanager
def provider(row: Row, log: Path) -> Iterator[str]:
    """Have the provider running; gives its address."""
    command = [sys.executable, str(HERE / "consensus_server.py"), f"--log={log}"]
    command += [f"--latency={model}={LATENCY}" for model in LIMITS]
    command += [f"--voters={row.voters}"]
    if row.limited:
        command += [f"--limit={model}={amount}/{WINDOW}" for model, amount in LIMITS.items()]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    try:
        yield child.stdout.readline().strip()
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


# ---- processes ----


class Used(NamedTuple):
    """What a process has used: its exit status, seconds, processor seconds, MB, its output."""

    status: int
    wall: float
    cpu: float
    rss: float
    out: str


def spend(command: Sequence[str], folder: Path, environment: dict[str, str]) -> Used:
    """Run a process to its end, with all that it starts."""
    begin = time.perf_counter()
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        # A timer, since only wait4 tells what the process and its own children have used.
        late = threading.Timer(LONGEST, os.killpg, (child.pid, signal.SIGKILL))
        late.start()
        try:
            _, status, used = os.wait4(child.pid, 0)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            late.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begin
    said = (folder / "stdout").read_text(errors="replace")
    return Used(child.returncode, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said)


def environment(home: Path) -> dict[str, str]:
    """Give an environment from which nothing leaves the machine."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    nowhere = "http://127.0.0.1:9"
    proxies = {name: nowhere for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")}
    proxies |= {name.lower(): nowhere for name in proxies}
    quiet = {
        "DO_NOT_TRACK": "1",
        "ANONYMIZED_TELEMETRY": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "LOGFIRE_SEND_TO_LOGFIRE": "false",
        "HF_HUB_OFFLINE": "1",
    }
    return {**kept, **proxies, **quiet, "HOME": str(home), "NO_PROXY": "127.0.0.1"} | {
        "no_proxy": "127.0.0.1",
        "OPENAI_API_KEY": "none-needed",
        "PYTHONWARNINGS": "ignore",
    }


# ---- MassGen ----


def massgen_command(given: Path | None) -> Path | str:
    """Find MassGen, or set it up; gives its command, or why there is none."""
    folder = given or MASSGEN_HOME
    for command in (folder, folder / "massgen", folder / "bin" / "massgen"):
        if command.is_file():
            return command
    if given is not None:
        return f"there is no massgen at {given}"
    print(
        f"Setting up MassGen {MASSGEN} in {folder.name}: 270 packages, some minutes …", flush=True
    )
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
        pip += ["--disable-pip-version-check", f"massgen=={MASSGEN}"]
        subprocess.run(pip, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        # Half an environment would be taken for a whole one.
        shutil.rmtree(folder, ignore_errors=True)
        return f"MassGen {MASSGEN} could not be installed ({error})"
    return folder / "bin" / "massgen"


def massgen_version(command: Path) -> str:
    """Ask the environment of a command for MassGen's version."""
    script = "from importlib.metadata import version; print(version('massgen'))"
    python = command.parent / "python"
    done = subprocess.run([str(python), "-c", script], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "of an unknown version"


def by_massgen(command: Path, row: Row, folder: Path) -> Ran:
    """Ask by MassGen, with its defaults."""
    log = folder / "log.jsonl"
    with provider(row, log) as address:
        agents = [
            {
                "id": f"{model}_{number}",
                "backend": {
                    "type": "chatcompletion",
                    "model": f"{model}-{number}",
                    "base_url": f"{address}/v1",
                },
            }
            for model, count in row.team.items()
            for number in range(1, count + 1)
        ]
        config: Any = {"agents": agents, "ui": {"display_type": "simple", "logging_enabled": True}}
        # JSON is YAML, too.
        (folder / "team.yaml").write_text(json.dumps(config))
        arguments = [str(command), "--automation", "--config", "team.yaml", QUESTION]
        used = spend(arguments, folder, environment(folder))
    calls = read(log)
    if used.status or not any(call["kind"] == "vote" for call in calls):
        raise RuntimeError(f"MassGen ended with status {used.status}; see {folder / 'stderr'}")
    votes: dict[str, int] = {}
    for call in calls:
        if call["kind"] == "vote" and good(call):
            votes[call["name"]] = votes.get(call["name"], 0) + 1
    return count(calls, used, sum(votes.values()) - len(votes))


# ---- Hocket ----


def hocket_python() -> Path | str:
    """Find a Python that has Hocket with its models; or say that there is none."""
    script = "import hocket, pydantic_ai, openai"
    for python in (Path(sys.executable), HERE.parent / ".venv" / "bin" / "python"):
        if not python.exists():
            continue
        if not subprocess.run(
            [str(python), "-c", script], check=False, capture_output=True
        ).returncode:
            return python
    return "no environment here has hocket[models]; `make setup` makes one"


def by_hocket(python: Path, fields: dict[str, Any], row: Row, folder: Path) -> Ran:
    """Ask by `hocket run`, with a file that has one step."""
    log = folder / "log.jsonl"
    with provider(row, log) as address:
        models: dict[str, Any] = {
            model: {"id": model, "base_url": f"{address}/v1"} for model in row.team
        }
        if row.limited:
            for model in row.team:
                models[model]["limits"] = {"requests": f"{LIMITS[model]}/min"}
        team = [{"agent": model, "count": count} for model, count in row.team.items()]
        step = {"question": QUESTION, "agents": team, **fields}
        whole = {
            "version": 1,
            "models": models,
            "agents": {model: {"model": model} for model in row.team},
            "plans": {"ask": {"steps": {"q": {"consensus": step}}, "output": "{{q}}"}},
        }
        (folder / "hocket.yaml").write_text(json.dumps(whole))
        own = environment(folder) | {"HOCKET_HOME": str(folder / "state")}
        command = [str(python), "-m", "hocket", "run", "hocket.yaml", "--json"]
        used = spend(command, folder, own)
    if used.status:
        raise RuntimeError(f"hocket ended with status {used.status}; see {folder / 'stderr'}")
    calls = read(log)
    output = json.loads(used.out)["output"]
    fates = output["calls"]
    answered = sum(fates.get(fate, 0) for fate in ("useful", "stale", "discarded"))
    ran = count(calls, used, fates.get("stale", 0) + fates.get("discarded", 0))
    if answered != ran.served:
        raise RuntimeError(f"hocket counts {fates}, the provider {ran.served}; see {folder}")
    return ran


# ---- what was counted ----


def read(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def good(call: dict[str, Any]) -> bool:
    return call["status"] == 200 and not call["cancelled"]


def count(calls: list[dict[str, Any]], used: Used, wasted: int) -> Ran:
    """Add up what the provider has seen."""
    served = [call for call in calls if good(call)]
    cut = [call for call in calls if call["cancelled"]]
    first = min(call["came"] for call in calls)
    votes = [call["ended"] for call in served if call["kind"] == "vote"]
    return Ran(
        served=len(served),
        refused=sum(call["status"] == 429 for call in calls),
        wasted=wasted,
        cancelled=len(cut),
        tokens=sum(call["tokens_in"] for call in cut),
        decided=max(votes) - first,
        ended=max(call["ended"] for call in calls) - first,
        wall=used.wall,
        cpu=used.cpu,
        rss=used.rss,
        sent=sum(call["bytes_in"] for call in calls) / 1000,
    )
