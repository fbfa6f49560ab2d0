"""Asks the head of a cluster who it is, in a process of its own.

Ray would wait for ever for a head that wants another token, and end the process that asked.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Final

_CONNECT: Final = 5.0


def main(address: str) -> None:
    """Print what the head at an address says of itself; ``auto`` is the one of this machine.

    The first line says which address that is, and the last one also what was found there.
    """
    from ray._private.services import get_ray_address_from_environment
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError

    found = address
    if address == "auto":
        found = get_ray_address_from_environment("auto", None) or ""
    told: dict[str, str] = {"address": found}
    # It is said now: whoever asks may not wait for the rest.
    print(json.dumps(told), flush=True)
    if found:
        try:
            host, _, port = found.removeprefix("ray://").rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT).close()
            client = GcsClient(address=found)
            about = client.internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=5)
            known = json.loads(about or b"{}")
            told |= {"ray": known.get("ray_version", ""), "python": known.get("python_version", "")}
        except AuthenticationError:
            told["wrong"] = "token"
        except OSError as error:
            told["nobody"] = str(error)
        except Exception as error:
            told["wrong"] = f"{type(error).__name__}: {error}"
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
