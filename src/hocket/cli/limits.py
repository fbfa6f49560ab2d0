"""The command ``limits``: what there is, how much of it is used, and what providers state."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from hocket.app.engine import Engine
from hocket.app.limits import SharedLimit, claimants, limit_document, shared_limits
from hocket.app.load import load_file
from hocket.app.state import state_folder
from hocket.cli.address import check_there
from hocket.cli.options import Limits
from hocket.cli.output import pretty, print_table
from hocket.config.overrides import Overrides, overridden
from hocket.config.presets import FILE as PRESETS_FILE
from hocket.config.presets import known_presets
from hocket.core.errors import NotFound, Refused, suggest
from hocket.core.specs import LimitSpec, RunSpec
from hocket.core.values import SECOND, format_duration
from hocket.limits.limit import Use
from hocket.limits.presets import Preset
from hocket.limits.words import (
    KINDS,
    WINDOWS,
    amount_words,
    bounds_words,
    limit_labels,
    period_words,
)

_MOST_CLAIMANTS = 6


def limits(
    what: str | None = None,
    plan: str | None = None,
    /,
    *,
    presets: Annotated[
        bool, Parameter(help="List what providers state for their tiers.", negative=())
    ] = False,
    limit: Limits | None = None,
    json_: Annotated[
        bool, Parameter(name="--json", help="One JSON document for programs.", negative=())
    ] = False,
) -> int:
    """List the limits that runs share, and how much of them is used now.

    With a file, list what the limits in it come to, and who claims them.

    Args:
        what: A file; with --presets a provider.
        plan: The plan's name, where the file has several.
    """
    if presets:
        if plan is not None or limit:
            raise Refused("--presets takes a provider at most, as in: hocket limits --presets groq")
        return _presets(what, json_=json_)
    if what is not None:
        return _of_file(Path(what), plan, Overrides(limits=limit or ()), json_=json_)
    if limit:
        raise Refused("--limit is for the limits of a file: hocket limits FILE --limit …")
    return _shared(json_=json_)


# ---- what is used ----


def _shared(*, json_: bool) -> int:
    check_there()
    now = time.time_ns()
    with closing(Engine()) as engine:
        found = asyncio.run(shared_limits(engine.journal, now))
    if json_:
        print(pretty([limit_document(one, now) for one in found]))
        return 0
    if not found:
        print("no run has claimed a shared limit yet; hocket limits FILE shows a file's")
        return 0
    rows: list[list[str]] = []
    labels = limit_labels(one.limit.name for one in found)
    for one in found:
        uses = one.limit.used(now)
        lines = [_use_cells(use, now) for use in uses] or [["no bounds", "", ""]]
        runs = ", ".join(f"{run} ({one.flying.get(run, 0)} in flight)" for run in one.runs)
        for i, cells in enumerate(lines):
            first = "" if i else labels[one.limit.name]
            rows.append([first, *cells, "" if i else runs])
        rows += [["", word, "", "", ""] for word in _state_words(one, now)]
    print_table(["LIMIT", "BOUND", "USED", "NEXT FREE", "RUNS"], rows)
    return 0


def _use_cells(use: Use, now: int) -> list[str]:
    bound = f"{amount_words(use.kind, use.amount)}{period_words(use.per)} {KINDS[use.kind]}"
    used = f"{amount_words(use.kind, use.used)} of {amount_words(use.kind, use.allowed)}"
    if use.kind == "spacing":
        bound, used = f"{format_duration(use.per)} {KINDS[use.kind]}", ""
    free = "" if use.free is None or use.free <= now else f"in {format_duration(use.free - now)}"
    return [bound.strip(), used, free]


def _state_words(one: SharedLimit, now: int) -> list[str]:
    """Say what refusals and failures have done to a limit."""
    state = one.limit.state()
    words: list[str] = []
    if state.closed > now:
        words.append(f"closed after a refusal for {format_duration(state.closed - now)}")
    if state.breaker.until:
        wait = state.breaker.until - now
        words.append(
            f"down: nobody calls for {format_duration(wait)}"
            if wait > 0
            else "down: the next call tries whether it answers again"
        )
    words += [
        f"narrowed from {amount_words(use.kind, use.amount)} to "
        f"{amount_words(use.kind, use.allowed)} {KINDS[use.kind]}".rstrip()
        for use in one.limit.used(now)
        if use.allowed < use.amount
    ]
    return words


# ---- what a file comes to ----


def _of_file(path: Path, plan: str | None, overrides: Overrides, *, json_: bool) -> int:
    loaded = load_file(path)
    specs = [
        overridden(loaded.spec(name), overrides, loaded)
        for name in ([plan] if plan is not None else loaded.plans())
    ]
    if json_:
        print(pretty([_plan_document(spec) for spec in specs]))
        return 0
    for i, spec in enumerate(specs):
        if i:
            print()
        print(f"{path}: plan {spec.name}{_order_words(spec)}")
        if not spec.limits:
            print("  no limits")
            continue
        rows: list[list[str]] = []
        claimed, labels = claimants(spec), limit_labels(spec.limits)
        for name, limit in spec.limits.items():
            shown = labels[name]
            for j, bound in enumerate(_bounds(limit)):
                who = _who(claimed[name]) if not j else ""
                rows.append(["" if j else shown, bound, "" if j else _of_whom(limit), who])
        print_table(["LIMIT", "BOUND", "OF", "CLAIMED BY"], rows, "  ")
    return 0


def _bounds(limit: LimitSpec) -> list[str]:
    words = bounds_words(limit) or ["no bounds: closes when refused"]
    if limit.on_exceed != "wait":
        words[-1] += f", else {limit.on_exceed}"
    return words


def _of_whom(limit: LimitSpec) -> str:
    return "all runs" if limit.shared else "each run"


def _who(names: list[str]) -> str:
    more = len(names) - _MOST_CLAIMANTS
    shown = ", ".join(names[:_MOST_CLAIMANTS]) or "nobody"
    return f"{shown} and {more:,} more" if more > 0 else shown


def _order_words(spec: RunSpec) -> str:
    words = []
    if spec.priority:
        words.append(f"priority {spec.priority}")
    if spec.weight != 1:
        words.append(f"weight {spec.weight:g}")
    if spec.deadline is not None:
        words.append(f"deadline {format_duration(spec.deadline)}")
    return f" ({', '.join(words)})" if words else ""


def _plan_document(spec: RunSpec) -> dict[str, Any]:
    claimed = claimants(spec)
    return {
        "plan": spec.name,
        "priority": spec.priority,
        "weight": spec.weight,
        "deadline": None if spec.deadline is None else spec.deadline / SECOND,
        "limits": [
            {"name": name, **_limit_document(limit), "claimed_by": claimed[name]}
            for name, limit in spec.limits.items()
        ],
    }


def _limit_document(limit: LimitSpec) -> dict[str, Any]:
    about: dict[str, Any] = {
        kind: [{"amount": rate.amount, "seconds": rate.per / SECOND} for rate in rates]
        for kind in WINDOWS
        if (rates := getattr(limit, kind))
    }
    if limit.concurrency is not None:
        about["concurrency"] = limit.concurrency
    if limit.spacing:
        about["spacing"] = limit.spacing / SECOND
    if limit.margin is not None:
        about["margin"] = limit.margin / SECOND
    return {
        **about,
        "shared": limit.shared,
        "adaptive": limit.adaptive,
        "on_exceed": limit.on_exceed,
    }


# ---- what providers state ----


def _presets(provider: str | None, *, json_: bool) -> int:
    own = state_folder() / PRESETS_FILE
    known = known_presets(own)
    chosen = _chosen(known, provider)
    if json_:
        print(
            pretty(
                [
                    {
                        "name": name,
                        **_limit_document(preset.limit),
                        "about": preset.about,
                        "source": preset.source,
                        "as_of": preset.as_of,
                    }
                    for name, preset in chosen.items()
                ]
            )
        )
        return 0
    for name, preset in chosen.items():
        print(f"{name}: {', '.join(bounds_words(preset.limit)) or 'no bounds'}")
        if preset.about:
            print(f"    for {preset.about}")
        print(f"    from {preset.source}{f', as of {preset.as_of}' if preset.as_of else ''}")
    print(
        "Providers change their limits, and yours may be others: look at the pages named above.\n"
        f"To change a preset or add one, state it under 'presets' in {own}.",
        file=sys.stderr,
    )
    return 0


def _chosen(known: Mapping[str, Preset], provider: str | None) -> dict[str, Preset]:
    """Give the presets of a provider, or all.

    Raises:
        NotFound: There are none of it.
    """
    chosen = {
        name: preset
        for name, preset in sorted(known.items())
        if provider is None or name == provider or name.startswith(f"{provider.rstrip('/')}/")
    }
    if not chosen:
        providers = list(dict.fromkeys(name.partition("/")[0] for name in sorted(known)))
        hint = suggest(str(provider), providers) or f"there are {', '.join(providers)}"
        raise NotFound(f"no presets of {provider!r}; {hint}")
    return chosen
