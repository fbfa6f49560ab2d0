"""Processes of a cluster are of the same versions, or say which are not; a cluster is there."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import hocket
from hocket.cluster import connection
from hocket.cluster.connection import connect
from hocket.cluster.versions import check, hello
from hocket.core.errors import Refused

HERE = hello("2.60.0")


def test_who_is_the_same_is_understood() -> None:
    check(HERE, msgspec.structs.replace(HERE, host="other", pid=1, node="n"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hocket": "0.0.1"}, ("Hocket 0.0.1", HERE.hocket, "pip install 'hocket[cluster]==")),
        ({"ray": "2.1.0"}, ("Ray 2.1.0", HERE.ray, "pip install 'ray==")),
        ({"python": "3.9.1"}, ("Python 3.9.1", HERE.python)),
        ({"formats": {"frames": 99}}, ("frames 99", "frames 1", "the same build")),
    ],
)
def test_who_is_not_is_named_with_both_versions(
    change: dict[str, object], said: tuple[str, ...]
) -> None:
    there = msgspec.structs.replace(HERE, host="other", **change)
    with pytest.raises(Refused) as refused:
        check(HERE, there)
    for part in ("node other", *said):
        assert part in str(refused.value)


@pytest.mark.parametrize("address", ["", "somewhere", "host:", "host:70000", "http://host:1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Refused, match="no address of a cluster"):
        connect(address)


def test_where_nobody_listens_it_is_said_what_to_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Refused, match="ray start --head"):
        connect(f"127.0.0.1:{port}")


def test_where_nobody_answers_any_more_it_is_said_who_named_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(Refused, match=rf"nobody answers at 127.0.0.1:{port} \(which RAY_ADDRESS"):
        connect("auto")


def test_what_answers_and_is_no_head_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_PROBE", 6.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        with pytest.raises(Refused, match=rf"127.0.0.1:{port}"):
            connect("auto")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "find_spec", lambda name: None)
    with pytest.raises(Refused, match=r"pip install 'hocket\[cluster\]'"):
        connect("local")


def test_rays_own_client_is_asked_for_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"ray": object()}
    monkeypatch.setattr(connection, "find_spec", found.get)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=r"pip install 'ray\[client\]'"):
            connect(f"ray://127.0.0.1:{port}")


def test_nothing_of_it_is_imported_without_a_cluster(tmp_path: Path) -> None:
    script = (
        "import sys, asyncio, hocket\n"
        "plan = hocket.Plan('p')\n"
        "plan.call('s', abs, -1)\n"
        f"engine = hocket.Engine({str(tmp_path)!r})\n"
        "assert engine.run_sync(plan)['s'] == 1\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('ray', 'asyncpg')])\n"
        "print('hocket.cluster.remote' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "False"], hocket.__name__
