"""The connection of this process to a cluster of Ray, and the nodes that are there."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from importlib.util import find_spec
from typing import Any, Final

import msgspec

from hocket.cluster.seat import TAG
from hocket.cluster.versions import Hello, hello
from hocket.core.errors import Refused

_STORE: Final = 200_000_000
_CONNECT: Final = 5.0
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
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node that is there.

    Fields:
        id: Ray's name of it.
        host: The machine's name.
        address: Its address in the cluster's network.
        resources: What it has in all: ``CPU``, ``GPU``, ``memory`` and whatever it was told.
        tags: Its tags: what else was told to it as ``tag:NAME``.
    """

    id: str
    host: str
    address: str
    resources: dict[str, float]
    tags: frozenset[str]


class Connection:
    """This process's connection to a cluster.

    Args:
        address: As the user gave it.
        own: Whether closing it ends Ray's connection; not so inside a process that Ray started.
    """

    def __init__(self, address: str, *, own: bool) -> None:
        import ray

        self.address: Final = address
        self.here: Final[Hello] = hello(ray.__version__)
        self._own = own

    def nodes(self) -> list[Node]:
        """Give the nodes that are alive, in the order of their ids.

        Raises:
            Refused: The cluster does not answer.
        """
        import ray

        try:
            rows = ray.nodes()  # type: ignore[no-untyped-call]
        except Exception as error:
            raise Refused(f"the cluster at {self.address} does not answer: {error}") from error
        return sorted((_node(row) for row in rows if row["Alive"]), key=lambda node: node.id)

    def close(self) -> None:
        """End the connection; a cluster that was begun with it ends as well."""
        import ray

        if self._own:
            self._own = False
            ray.shutdown()


def connect(address: str) -> Connection:
    """Connect this process to a cluster.

    It takes seconds, and blocks; in the main thread the handlers of signals stay as they were.

    Args:
        address: ``auto`` for the one that this machine belongs to, ``HOST:PORT`` for that of this
            head, which this machine has joined, ``ray://HOST:PORT`` for one elsewhere, or ``local``
            for one of this machine alone that ends with the connection.

    Raises:
        Refused: Ray is not installed, nothing is there, or it is of another version.
    """
    if find_spec("ray") is None:
        raise Refused("a cluster needs Ray: pip install 'hocket[cluster]'")
    _check(address)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        # A process that Ray has started belongs to its cluster already.
        return Connection(address, own=False)
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    told: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == "local":
        told |= {"include_dashboard": False, "object_store_memory": _STORE}
    try:
        ray.init(address=address, **told)
    except Exception as error:
        raise _refusal(address, error) from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
    return Connection(address, own=True)


def _check(address: str) -> None:
    """See that an address is one, and that somebody listens there.

    Raises:
        Refused: It is none, nobody does, or what ``ray://`` needs is not installed.
    """
    if address in ("auto", "local"):
        return
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65_535:
        raise Refused(
            f"{address!r} is no address of a cluster: write auto, local, HOST:PORT or "
            "ray://HOST:PORT"
        )
    if address.startswith("ray://") and find_spec("grpc") is None:
        raise Refused(
            "an address with ray:// needs Ray's client: pip install 'ray[client]', or join this "
            "machine with ray start --address=HOST:PORT and use --cluster auto"
        )
    try:
        socket.create_connection((match["host"].strip("[]"), int(match["port"])), _CONNECT).close()
    except OSError as error:
        raise Refused(
            f"nobody answers at {address} ({error}): start the head there with ray start --head, "
            "and see that no firewall is between"
        ) from error


def _refusal(address: str, error: Exception) -> Refused:
    """Say why Ray could not be joined, and what to do."""
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return Refused(
            f"the cluster at {address} is of another version than this machine: install the same "
            f"Ray and Python on both ({text[:300]})"
        )
    if isinstance(error, ConnectionError) and address == "auto":
        return Refused(
            "there is no cluster that this machine belongs to: join one with ray start "
            "--address=HOST:PORT, begin one with ray start --head, or say --cluster local"
        )
    if "raylet" in text or "node" in text.lower():
        return Refused(
            f"this machine does not belong to the cluster at {address}: join it with ray start "
            f"--address={address}, or go through its head with ray://HOST:10001 ({text[:200]})"
        )
    return Refused(f"the cluster at {address} cannot be joined: {text[:400]}")


def _node(row: dict[str, Any]) -> Node:
    resources = {name: float(value) for name, value in row["Resources"].items()}
    return Node(
        id=row["NodeID"],
        host=row["NodeManagerHostname"],
        address=row["NodeManagerAddress"],
        resources=resources,
        tags=frozenset(name[len(TAG) :] for name in resources if name.startswith(TAG)),
    )
