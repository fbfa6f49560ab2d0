"""Whether a server may listen as it is asked to: nobody's words cross a network in the clear."""

from __future__ import annotations

import ipaddress
import re
import ssl
from typing import Final

from hocket.core.errors import Refused
from hocket.server.settings import PROXIES, Settings

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?\Z")


def check(settings: Settings) -> None:
    """Check that a server may listen so.

    Raises:
        Refused: It would be open to others without TLS, or what is given does not fit together.
    """
    _check_names(settings)
    _check_tls(settings)
    if settings.behind_proxy and not settings.names:
        raise Refused("--behind-proxy needs the name that browsers call the proxy by: --name NAME")
    _check_proxies(settings)
    if not is_loopback(settings.host) and not settings.public:
        raise Refused(
            f"--host {settings.host} lets other machines in: add --public, with --cert and --key "
            "for TLS, or with --behind-proxy and --name for a proxy that has it; or leave it out "
            "and come through ssh -L"
        )
    if not settings.public:
        return
    if settings.cert is None and not settings.behind_proxy:
        raise Refused(
            "--public needs TLS: add --cert FILE and --key FILE, or --behind-proxy and "
            "--name NAME if a proxy with TLS stands before this server"
        )
    if not settings.names and settings.host in {"0.0.0.0", "::"}:
        raise Refused("--public needs the name that browsers call this server by: --name NAME")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_names(settings: Settings) -> None:
    for name in settings.names:
        if not _NAME.match(name) or len(name) > 253:
            raise Refused(
                f"--name {name[:80]!r} is no name of a server: write it as hocket.example.org or "
                "hocket.example.org:8443, without https:// and without *"
            )


def _check_proxies(settings: Settings) -> None:
    if settings.proxies != PROXIES and not settings.behind_proxy:
        raise Refused("--proxy says where a proxy is: add --behind-proxy and --name NAME")
    for address in settings.proxies:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise Refused(
                f"--proxy {address[:80]!r} is no address: write it as 192.0.2.7"
            ) from error


def _check_tls(settings: Settings) -> None:
    if (settings.cert is None) != (settings.key is None):
        given, lacks = ("--cert", "--key") if settings.key is None else ("--key", "--cert")
        raise Refused(f"{given} needs {lacks}, too")
    if settings.cert is None or settings.key is None:
        return
    wanted: list[str] = []

    def passphrase() -> str:
        # What nobody is here to give must not be asked for.
        wanted.append("")
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.cert, settings.key, password=passphrase
        )
    except (OSError, ValueError) as error:
        if wanted:
            raise Refused(
                f"--key {settings.key} has a passphrase, which a server cannot be asked for: "
                f"write it without one, as openssl pkey -in {settings.key} -out FILE does, for "
                "your own eyes alone"
            ) from error
        raise Refused(f"--cert {settings.cert} and --key {settings.key}: {error}") from error
