"""How a server listens: its address, the names that it answers to, and its quotas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

PORT: Final = 8437
PROXIES: Final = ("127.0.0.1", "::1")
"""Where a proxy is, if nothing else is said: on this machine."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORT_BEHIND: Final = re.compile(r":[0-9]+\Z")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class Quotas(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one client may use, so that none takes the server from the others.

    Fields:
        rate: Requests a second, in the long run, of one role from one address.
        burst: How many of them may come at once.
        acting: Requests a second that change something.
        acting_burst: How many of them may come at once.
        refusals: Requests without a good token a second, from one address.
        refusals_burst: How many of them may come at once.
        sockets: The most WebSockets of one role from one address.
        streams: The most event streams of one role from one address; who waits for events by
            JSON has one, too.
        connections: The most WebSockets and event streams in all.
        under_way: The most requests of one role from one address that are being answered.
        all_under_way: The most requests in all that are being answered.
        computing: The most simulations and checks of one role from one address at once.
        body_seconds: How long a request's body may take to come.
        audit_bytes: At what size the audit's file is put aside.
    """

    rate: float = 100.0
    burst: int = 400
    acting: float = 20.0
    acting_burst: int = 200
    refusals: float = 5.0
    refusals_burst: int = 40
    sockets: int = 32
    streams: int = 32
    connections: int = 200
    under_way: int = 64
    all_under_way: int = 400
    computing: int = 4
    body_seconds: float = 20.0
    audit_bytes: int = 4 << 20


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a server listens.

    Fields:
        host: The address that it binds.
        port: The port; 0 for a free one, which is known once it is bound.
        names: Further names that browsers may call it by, as ``hocket.example.org`` or with a port.
        cert: The file of its TLS certificate.
        key: The file of the certificate's key.
        public: Whether others than this machine may reach it.
        behind_proxy: Whether a proxy with TLS stands before it and calls it by one of `names`.
        proxies: The addresses that this proxy may come from.
        page: Whether the page is served, too.
        quotas: What one client may use.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    names: tuple[str, ...] = ()
    cert: Path | None = None
    key: Path | None = None
    public: bool = False
    behind_proxy: bool = False
    proxies: tuple[str, ...] = PROXIES
    page: bool = True
    quotas: Quotas = Quotas()

    @property
    def scheme(self) -> str:
        """What its own addresses begin with."""
        return "https" if self.cert is not None else "http"

    @property
    def url(self) -> str:
        """The address to open, as far as this machine knows it."""
        if self.behind_proxy and self.names:
            return f"https://{self.names[0]}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.host in {"0.0.0.0", "::"}:
            host = self.names[0] if self.names else "127.0.0.1"
            if self.names and _PORT_BEHIND.search(host):
                return f"{self.scheme}://{host}"
        return f"{self.scheme}://{host}:{self.port}"

    def hosts(self, *, proxied: bool = False) -> frozenset[str]:
        """Give every value of the header ``Host`` that is answered.

        Args:
            proxied: Whether a request comes by way of the proxy.
        """
        return self._proxied() if proxied else self._direct()

    def origins(self, *, proxied: bool = False) -> frozenset[str]:
        """Give every value of the header ``Origin`` that is answered.

        Args:
            proxied: Whether a request comes by way of the proxy.
        """
        # A page that came without TLS under a proxy's name may be anybody's.
        scheme = "https" if proxied else self.scheme
        return frozenset(f"{scheme}://{host}" for host in self.hosts(proxied=proxied))

    def _proxied(self) -> frozenset[str]:
        """Give the names that a proxy is called by."""
        return frozenset(map(str.lower, self.names)) if self.behind_proxy else frozenset()

    def _direct(self) -> frozenset[str]:
        """Give the names that this server's own port is called by."""
        names = set(_LOOPBACK)
        if self.host not in {"0.0.0.0", "::", "::1"}:
            names.add(f"[{self.host}]" if ":" in self.host else self.host.lower())
        declared = set() if self.behind_proxy else set(map(str.lower, self.names))
        # A name with a port stands for itself; one without goes with our port, or with none where
        # somebody hands on what comes to the usual one.
        names |= {name for name in declared if not _PORT_BEHIND.search(name)}
        own = {f"{name}:{self.port}" for name in names}
        if self.port == _DEFAULT_PORTS[self.scheme]:
            own |= names
        return frozenset(own | declared)
