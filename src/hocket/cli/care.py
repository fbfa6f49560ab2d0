"""Commands that take care of a state folder: ``prune``, ``doctor``."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from typing import Annotated

import msgspec
from cyclopts import Parameter

from hocket.agents.environment import child_environment
from hocket.agents.population import folder_of
from hocket.agents.weights import present
from hocket.app.engine import Engine
from hocket.app.needs import KEYS, has_extra
from hocket.app.state import find_row, state_folder
from hocket.cli.options import age
from hocket.cli.output import counted, print_lines, status_words
from hocket.core.errors import HocketError, Refused
from hocket.core.events import ENDED
from hocket.journal.base import Journal, RunRow, Wanted


def prune(
    *runs: str,
    older_than: Annotated[str | None, Parameter(help="Like 30d or 12h.")] = None,
    everything: Annotated[
        bool, Parameter(name="--all", help="Also runs that have not ended.", negative=())
    ] = False,
    answers: Annotated[
        bool,
        Parameter(
            help="Answers that are kept to be given again, instead of runs; all without "
            "--older-than.",
            negative=(),
        ),
    ] = False,
    dry_run: Annotated[
        bool, Parameter(name=["--dry-run", "-n"], help="Only say what would go.", negative=())
    ] = False,
) -> int:
    """Delete runs, their logs, and the files that only they have.

    Without names, all that have ended and are older than --older-than.

    Args:
        runs: Which ones; else all that have ended and are old enough.
    """
    if answers:
        if runs or everything:
            raise Refused("--answers is about kept answers alone; prune runs without it")
        return _prune_answers(older_than, dry_run=dry_run)
    if not runs and older_than is None:
        raise Refused("say which runs, or how old: hocket prune --older-than 30d")
    with closing(Engine()) as engine:
        chosen = _chosen(engine.journal, runs, older_than, everything=everything)
        count = counted(len(chosen), "run")
        freed = 0 if dry_run else engine.journal.remove([row.id for row in chosen])
        for row in chosen:
            print(f"{'would delete' if dry_run else 'deleted'} {row.id} ({status_words(row)})")
        if dry_run or not chosen:
            print(
                f"{count} {'would be' if dry_run else ''} deleted".replace("  ", " "),
                file=sys.stderr,
            )
            return 0
        engine.journal.logs.remove([row.id for row in chosen])
        for row in chosen:
            shutil.rmtree(folder_of(engine.state, row.id), ignore_errors=True)
        # Copies of stored files are made again when they are needed.
        shutil.rmtree(engine.state / "files", ignore_errors=True)
    print(f"{count} deleted, {freed / 1e6:.1f} MB freed", file=sys.stderr)
    return 0


def _prune_answers(older_than: str | None, *, dry_run: bool) -> int:
    now = time.time_ns()
    before = now + 1 if older_than is None else now - age(older_than)
    with closing(Engine()) as engine:
        kept = engine.journal.answers
        found = kept.count(before) if dry_run else kept.drop(before, now)
    count = "1 answer" if found == 1 else f"{found:,} answers"
    print(f"{count} {'would be deleted' if dry_run else 'deleted'}", file=sys.stderr)
    return 0


def _chosen(
    journal: Journal, named: tuple[str, ...], older_than: str | None, *, everything: bool
) -> list[RunRow]:
    meant = [find_row(journal, name) for name in named] if named else journal.runs()
    if older_than is not None:
        before = time.time_ns() - age(older_than)
        meant = [row for row in meant if row.updated < before]
    open_ = [row for row in meant if row.status not in ENDED]
    if named and open_ and not everything:
        raise Refused(f"run {open_[0].id} has not ended; --all deletes it all the same")
    return [row for row in meant if everything or row.status in ENDED]


class Finding(msgspec.Struct, frozen=True):
    """What the doctor found.

    Fields:
        about: What was looked at.
        state: ``ok``, ``note`` for what is only worth knowing, or ``bad``.
        told: In words.
    """

    about: str
    state: str
    told: str


def doctor(
    *,
    json_: Annotated[
        bool, Parameter(name="--json", help="One JSON document for programs.", negative=())
    ] = False,
) -> int:
    """Say whether all that runs need is here: folder, disk, journal, extras, keys."""
    looks: list[Callable[[], Finding]] = [
        _program,
        _folder,
        _disk,
        _sync,
        _journal,
        lambda: _extra("models", "pydantic_ai", "model agents"),
        lambda: _extra("local", "xllamacpp", "the demo model"),
        lambda: _extra("population", "jax", "populations"),
        lambda: _extra("parquet", "pyarrow", "results of populations as Parquet"),
        lambda: _extra("plots", "matplotlib", "pictures of populations as PNG and GIF"),
        _weights,
        _coders,
        _keys,
    ]
    found = [look() for look in looks]
    if json_:
        print(json.dumps([msgspec.to_builtins(finding) for finding in found], indent=2))
    else:
        marks = {"ok": "✓", "note": "·", "bad": "✗"}
        print_lines(f"{marks[one.state]} {one.about:10} {one.told}" for one in found)
    return 1 if any(finding.state == "bad" for finding in found) else 0


def _program() -> Finding:
    cores = os.cpu_count() or 1
    told = f"Python {platform.python_version()} on {platform.system()}, {cores} cores"
    return Finding("program", "ok", told)


def _folder() -> Finding:
    folder = state_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        told = f"{folder} cannot be written: {error.strerror}; set HOCKET_HOME to another folder"
        return Finding("state", "bad", told)
    return Finding("state", "ok", f"{folder} is writable")


def _disk() -> Finding:
    folder = state_folder()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    state = "ok" if free > 1 << 30 else "note" if free > 100 << 20 else "bad"
    return Finding("disk", state, f"{free / 1e9:.1f} GB free")


def _sync() -> Finding:
    """Time what each durable step costs at least."""
    folder = state_folder()
    times = []
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            for _ in range(20):
                begun = time.perf_counter_ns()
                file.write(b"x" * 512)
                os.fsync(file.fileno())
                times.append(time.perf_counter_ns() - begun)
    except OSError as error:
        return Finding("sync", "bad", f"cannot sync in {folder}: {error.strerror}")
    median = sorted(times)[len(times) // 2]
    state = "ok" if median < 20_000_000 else "note"
    return Finding("sync", state, f"write and sync takes {median / 1e6:.2f} ms (median of 20)")


def _journal() -> Finding:
    try:
        with closing(Engine()) as engine:
            count = sum(engine.journal.counts().values())
            rows = engine.journal.runs(Wanted(status=("running",)))
    except HocketError as error:
        return Finding("journal", "bad", str(error))
    stale = [row.id for row in rows if not row.alive]
    told = counted(count, "run")
    if stale:
        return Finding("journal", "note", f"{told}; to be resumed: {', '.join(stale[:5])}")
    return Finding("journal", "ok", told)


def _extra(extra: str, module: str, what: str) -> Finding:
    if has_extra(module):
        return Finding(extra, "ok", f"{what} can be used")
    return Finding(extra, "note", f"for {what}: pip install 'hocket[{extra}]'")


def _weights() -> Finding:
    if present():
        return Finding("weights", "ok", "the demo model's weights are here")
    return Finding("weights", "note", "the demo model's weights come with its first use (93 MB)")


def _coders() -> Finding:
    versions = [f"{name} {found}" for name in ("claude", "codex") if (found := _version(name))]
    if versions:
        return Finding("coders", "ok", f"session agents can use {', '.join(versions)}")
    return Finding("coders", "note", "for session agents: install Claude Code or Codex")


def _version(program: str) -> str:
    """Ask a program for its version; "" if it is not on the PATH."""
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, "--version"],
            check=False,
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
            env=child_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return "(which does not say its version)"
    said = (word for word in done.stdout.split() if word[:1].isdigit())
    return next(said, "(which does not say its version)")


def _keys() -> Finding:
    there = sorted({name for name in KEYS.values() if os.environ.get(name)})
    told = f"set: {', '.join(there)}" if there else "no provider's key is set"
    return Finding("keys", "ok" if there else "note", told)
