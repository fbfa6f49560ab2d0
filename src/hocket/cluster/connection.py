"""The connection of this process to a cluster of Ray, and the nodes that are there."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec

from hocket.cluster.embedded import Embedded
from hocket.cluster.seat import TAG, forsake_all
from hocket.cluster.versions import Hello, hello
from hocket.core.errors import Refused

_STORE: Final = 200_000_000
_CONNECT: Final = 5.0
_PROBE: Final = 30.0
_ANSWER: Final = 5.0
_RENEWED: Final = "WrongClusterID"
_PORTS: Final = 65_535
_ADDRESS: Final = re.compile(
    r"(?:ray://)?(?P<host>\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})"
)
_ENVIRONMENT: Final = {
    # Ray would report to its makers that it was started.
    "RAY_USAGE_STATS_ENABLED": "0",
    # A process that asks for no GPU sees none: Ray warns that this may change one day.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # Without its head Ray would end this very process after a minute.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "1000000",
    # It would print on standard output, among our results, that a process has died.
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node that is there.

    Fields:
        id: Ray's name of it.
        host: The machine's name.
        address: Its address in the cluster's network.
        port: Where its Ray listens there.
        resources: What it has in all: ``CPU``, ``GPU``, ``memory`` and whatever it was told.
        tags: Its tags: what else was told to it as ``tag:NAME``.
        leaving: Whether it is being drained, and gets no new work.
    """

    id: str
    host: str
    address: str
    port: int
    resources: dict[str, float]
    tags: frozenset[str]
    leaving: bool = False


class Renewed(Refused):
    """The cluster's head has begun anew, and knows nothing of what was there."""


class Connection:
    """This process's connection to a cluster.

    Args:
        address: As the user gave it.
        own: Whether closing it ends Ray's connection; not so inside a process that Ray started.
        embedded: The cluster that was begun with it.
    """

    def __init__(self, address: str, *, own: bool, embedded: Embedded | None = None) -> None:
        import ray

        self.address: Final = address
        self.here: Final[Hello] = hello(ray.__version__)
        self._own = own
        self._embedded = embedded
        self._left = False
        self._joining: Final = threading.Lock()

    def nodes(self) -> list[Node]:
        """Give the nodes that are alive, in the order of their ids.

        It joins the cluster again if that has been left.

        Raises:
            Refused: The cluster does not answer, or cannot be joined.
            Renewed: Its head has begun anew: this process is to `leave` it, and to look again.
        """
        import ray

        if self._left:
            self._join()
        try:
            see_head()
            rows = ray.nodes()  # type: ignore[no-untyped-call]
            leaving = _leaving()
        except Exception as error:
            kind = Renewed if _RENEWED in str(error) and self._own else Refused
            raise kind(f"the cluster at {self.address} does not answer: {error}") from error
        return sorted(
            (_node(row, leaving) for row in rows if row["Alive"]), key=lambda node: node.id
        )

    def leave(self) -> None:
        """Leave a cluster whose head has begun anew; all that was begun there is forsaken."""
        import ray

        if self._own and not self._left:
            forsake_all()
            ray.shutdown()
            self._left = True

    def _join(self) -> None:
        """Join the cluster again.

        Raises:
            Refused: It cannot be joined at present.
        """
        import ray

        with self._joining:
            if not self._left:
                return
            connect(self.address)
            self._left = False
        if not self._own:
            # It was closed meanwhile.
            ray.shutdown()

    def close(self) -> None:
        """End the connection; a cluster that was begun with it ends as well."""
        import ray

        if not self._own:
            return
        self._own = False
        if self._embedded is not None:
            self._embedded.end()
        else:
            ray.shutdown()


async def has_ended(node: Node) -> bool:
    """Tell whether a node's machine says that its Ray is gone.

    Ray itself finds that out by waiting: it cannot know whether a node is only cut off.
    """
    try:
        async with asyncio.timeout(_CONNECT):
            _, writer = await asyncio.open_connection(node.address, node.port)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    return False


def connect(address: str) -> Connection:
    """Connect this process to a cluster.

    It takes seconds, and blocks; in the main thread the handlers of signals stay as they were, but
    for SIGTERM with ``local``: where nobody handles that, it ends the cluster as well.

    Args:
        address: ``auto`` for the one that this machine belongs to, ``HOST:PORT`` for that of this
            head, which this machine has joined, ``ray://HOST:PORT`` for one elsewhere, or ``local``
            for one of this machine alone that ends with the connection.

    Raises:
        Refused: Ray is not installed, nothing is there, or it is of another version.
    """
    if find_spec("ray") is None:
        raise Refused("a cluster needs Ray: pip install 'hocket[cluster]'")
    for name, value in _ENVIRONMENT.items():
        os.environ[name] = value
    if address != "local" and _token():
        # Where there is a token, `ray start` asks for it; a program that joins does not know.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    if ray.is_initialized():
        # A process that Ray has started belongs to its cluster already.
        return Connection(address, own=False)
    _check(address, ray.__version__)
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    told: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    embedded = None
    try:
        if address == "local":
            told |= {"include_dashboard": False, "object_store_memory": _STORE}
            embedded = Embedded(told)
        else:
            ray.init(address=address, **told)
    except Exception as error:
        raise _refusal(address, error) from error
    finally:
        if main and embedded is None:
            signal.signal(signal.SIGTERM, before)
    return Connection(address, own=True, embedded=embedded)


def _check(address: str, version: str) -> None:
    """See that an address is one, and that a head of our versions answers there.

    Raises:
        Refused: It is none, nobody does, or what ``ray://`` needs is not installed.
    """
    if address == "local":
        return
    match = _ADDRESS.fullmatch(address)
    if address != "auto" and (match is None or int(match["port"]) > _PORTS):
        raise Refused(
            f"{address!r} is no address of a cluster: write auto, local, HOST:PORT or "
            "ray://HOST:PORT"
        )
    if match is not None:
        _reach(address, match["host"].strip("[]"), int(match["port"]))
    if address.startswith("ray://"):
        if find_spec("grpc") is None:
            raise Refused(
                "an address with ray:// needs Ray's client: pip install 'ray[client]', or join "
                "this machine with ray start --address=HOST:PORT and use --cluster auto"
            )
        return
    told = _probe(address)
    if not told["address"]:
        raise Refused(
            "there is no cluster that this machine belongs to: join one with ray start "
            "--address=HOST:PORT, begin one with ray start --head, or say --cluster local"
        )
    where = told["address"] if address != "auto" else f"{told['address']}{_named()}"
    if "nobody" in told:
        raise Refused(
            f"nobody answers at {where} ({told['nobody']}): join the cluster that is meant with "
            "ray start --address=HOST:PORT, or say --cluster HOST:PORT"
        )
    if told.get("wrong") == "token":
        raise Refused(
            f"the cluster at {where} asks for a token: let ray get-auth-token say it on its head, "
            "and set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here"
        )
    if "wrong" in told:
        raise Refused(f"what answers at {where} is no head of Ray: {told['wrong'][:300]}")
    here = {"ray": version, "python": platform.python_version()}
    for what, ours in here.items():
        if told[what] != ours:
            raise Refused(
                f"the cluster at {where} has {what.capitalize()} {told[what]}, and this machine "
                f"{ours}: install the same on both"
            )


def _reach(address: str, host: str, port: int) -> None:
    """See that somebody listens at an address.

    Raises:
        Refused: Nobody does.
    """
    try:
        socket.create_connection((host, port), _CONNECT).close()
    except OSError as error:
        raise Refused(
            f"nobody answers at {address} ({error}): start the head there with ray start --head, "
            "and see that no firewall is between"
        ) from error


def _token() -> bool:
    """Tell whether there is a token of Ray's."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or path.is_file()


def _probe(address: str) -> dict[str, str]:
    """Ask the head at an address who it is, in a process that Ray may end.

    Raises:
        Refused: It could not be asked.
    """
    env = {**os.environ, "RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
    command = [sys.executable, "-P", "-m", "hocket.cluster.probe", address]
    out = ""
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, timeout=_PROBE, check=False, text=True
        )
        out = done.stdout
        ended = done.returncode == 0
    except subprocess.TimeoutExpired as error:
        out, ended = (error.stdout or b"").decode(), False
    lines = [line for line in out.splitlines() if line.startswith("{")]
    told: dict[str, str] = json.loads(lines[-1]) if lines else {}
    if ended and told:
        return told
    where = told.get("address") or address
    raise Refused(
        f"the cluster at {where}{_named() if address == 'auto' else ''} does not answer as a head "
        "of Ray does: see that ray status works there"
    )


def _named() -> str:
    """Say what has named the cluster that this machine belongs to."""
    if os.environ.get("RAY_ADDRESS"):
        return " (which RAY_ADDRESS names)"
    return " (which this machine has joined last, as Ray has noted)"


def _refusal(address: str, error: Exception) -> Refused:
    """Say why Ray could not be joined, and what to do."""
    text = " ".join(str(error).split())
    if "raylet" in text or "node" in text.lower():
        return Refused(
            f"this machine does not belong to the cluster at {address}: join it with ray start "
            f"--address={address}, or go through its head with ray://HOST:10001 ({text[:200]})"
        )
    return Refused(f"the cluster at {address} cannot be joined: {text[:400]}")


def see_head() -> None:
    """See that the head answers, and knows this process, before Ray asks it anything else.

    What Ray asks of a head that is gone waits for ever, and ends this process when another comes.

    Raises:
        RuntimeError: This process is not connected.
        ray.exceptions.RayError: It does not answer, or is another one.
    """
    import ray
    from ray._private.client_mode_hook import client_mode_should_convert
    from ray._private.worker import global_worker

    if not ray.is_initialized():
        raise RuntimeError("this process has left it")
    if not client_mode_should_convert():  # type: ignore[no-untyped-call]
        head = global_worker.gcs_client  # type: ignore[attr-defined]
        head.get_all_node_info(timeout=_ANSWER)


def _leaving() -> frozenset[str]:
    """Name the nodes that are being drained; Ray has no public word for it."""
    from ray._private.client_mode_hook import client_mode_should_convert
    from ray._private.state import state

    if client_mode_should_convert():  # type: ignore[no-untyped-call]
        # Through Ray's client nobody can ask for it.
        return frozenset()
    return frozenset(state.get_draining_nodes())


def _node(row: dict[str, Any], leaving: frozenset[str]) -> Node:
    resources = {name: float(value) for name, value in row["Resources"].items()}
    return Node(
        id=row["NodeID"],
        host=row["NodeManagerHostname"],
        address=row["NodeManagerAddress"],
        port=row["NodeManagerPort"],
        resources=resources,
        tags=frozenset(name[len(TAG) :] for name in resources if name.startswith(TAG)),
        leaving=row["NodeID"] in leaving,
    )
