"""Which nodes offer what a call needs, and what to say where none does."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hocket.cluster.connection import Node, see_head
from hocket.cluster.seat import TAG
from hocket.core.specs import PlaceSpec

_SHOWN = 5
_SLACK = 1e-6


def exclusive(place: PlaceSpec) -> bool:
    """Tell whether each call has something of its node for itself, and so a worker of its own."""
    return bool(place.gpu or place.cpu or place.memory)


def fits(node: Node, place: PlaceSpec) -> bool:
    """Tell whether a node would offer a place if nobody else were there.

    A node that was started without processors, as heads often are, gets only what names its tags.
    """
    if not node.tags.issuperset(place.tags):
        return False
    if not exclusive(place) and not place.tags:
        return node.resources.get("CPU", 0) > 0
    return free(node, (), place)


def free(node: Node, held: Iterable[PlaceSpec], place: PlaceSpec) -> bool:
    """Tell whether a node has room for a place beside others that are held there."""
    taken = [*held, place]
    wanted = {
        "GPU": sum(one.gpu for one in taken),
        "CPU": sum(one.cpu for one in taken),
        "memory": sum(one.memory for one in taken),
    }
    return all(amount <= node.resources.get(name, 0) + _SLACK for name, amount in wanted.items())


def crowded(node: Node, place: PlaceSpec) -> bool:
    """Tell whether a node has no room for a place at present, whoever holds it.

    It asks the cluster's head, and blocks; what nobody can say counts as no room.
    """
    from ray._private.state import available_resources_per_node

    try:
        see_head()
        # Ray has no public word for it; through its client nobody can ask.
        left = available_resources_per_node()[node.id]  # type: ignore[no-untyped-call]
    except Exception:
        return True
    return not free(msgspec.structs.replace(node, resources=left), (), place)


def lacking(nodes: Iterable[Node], place: PlaceSpec) -> str:
    """Say that no node offers a place, what the nodes offer, and how to add one that does."""
    there = [node for node in nodes if not node.leaving]
    told = [_offer(node) for node in there[:_SHOWN]]
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    offered = f"there are {'; '.join(told)}{more}" if told else "there is none at all"
    options = ["ray start --address=HEAD:PORT"]
    if place.gpu:
        options.append(f"--num-gpus={max(1, round(place.gpu))}")
    if place.tags:
        tags = ", ".join(f'"{TAG}{tag}": 1' for tag in place.tags)
        options.append(f"--resources='{{{tags}}}'")
    return f"no node offers {wish(place)}; {offered}; add one with {' '.join(options)}"


def wish(place: PlaceSpec) -> str:
    """Say what a place asks for."""
    amounts = {"gpu": place.gpu, "cpu": place.cpu, "memory": place.memory}
    wanted = [f"{name} {amount:g}" for name, amount in amounts.items() if amount]
    wanted += [f"tag {tag}" for tag in place.tags]
    return " and ".join(wanted) or "a processor core"


def _offer(node: Node) -> str:
    has = {name: node.resources.get(name.upper(), 0) for name in ("cpu", "gpu")}
    told = [f"{name} {amount:g}" for name, amount in has.items()]
    told += [f"tag {tag}" for tag in sorted(node.tags)]
    return f"{node.host} ({', '.join(told)})"
