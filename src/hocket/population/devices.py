"""Which devices share the work: one for each processor core, or GPUs."""

from __future__ import annotations

import os
from typing import Any, Literal, TypeAlias

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, Sharding
from numpy.typing import NDArray

from hocket.core.errors import Refused
from hocket.population.judging import is_whole

Platform: TypeAlias = Literal["cpu", "gpu"]

AXIS = "agents"
"""The name of the mesh's only axis: agents are spread over devices."""


def prepare(devices: int | None = None, platform: Platform | None = None) -> None:
    """Say what JAX shall run on; it must be said before JAX has done anything.

    XLA does not spread these programs over cores by itself, so each core is a device of its own.

    Args:
        devices: How many processor cores to use; all that this process may use, if left out.
        platform: The processor, or GPUs; whatever JAX prefers, if left out.

    Raises:
        Refused: if that is no number of devices, JAX is at work already with something else, or
            there is no such platform.
    """
    _check(devices)
    cores = devices or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else devices
    wanted = cores or os.cpu_count() or 1
    try:
        if platform is not None:
            jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda,rocm"}[platform])
        jax.config.update("jax_num_cpu_devices", wanted)
    except RuntimeError as error:
        present = jax.local_devices()
        if len(present) != wanted or platform not in (None, kind_of(present[0])):
            raise Refused(
                f"JAX is at work already, on {len(present)} × {present[0].platform}: "
                f"say what to use before anything is computed ({error})"
            ) from None
    try:
        jax.local_devices()
    except RuntimeError as error:
        if platform == "gpu":
            raise Refused(
                "JAX finds no GPU here, or is not installed for GPUs: leave out the device, "
                "or see https://docs.jax.dev/en/latest/installation.html"
            ) from error
        raise Refused(f"JAX finds no {platform or 'device'} here: {error}") from None


def _check(devices: object) -> None:
    """Refuse what is no number of devices."""
    if devices is not None and not is_whole(devices, 1):
        raise Refused(
            f"{devices!r} devices: give a whole number from 1, or leave it out for all there are"
        )


def kind_of(device: jax.Device) -> Platform:
    """Whether a device is the processor or a GPU."""
    return "cpu" if device.platform == "cpu" else "gpu"


def mesh_of(devices: int | None, parts: int) -> Mesh:
    """The devices that share `parts` parts of a population evenly.

    Of several processes each gives as many.

    Args:
        devices: At most how many; all there are, if left out.
        parts: How many parts there are to share, a power of two.

    Raises:
        Refused: if that is no number of devices, there are not as many, or there are fewer parts
            than processes.
    """
    _check(devices)
    present = jax.devices()
    if devices is not None and devices > len(present):
        raise Refused(
            f"{devices} devices were asked for, JAX has {len(present)}; "
            "call hocket.population.prepare(devices) before anything is computed"
        )
    most = len(present) if devices is None else devices
    used = max(count for count in range(1, most + 1) if parts % count == 0)
    processes = jax.process_count()
    if used % processes:
        raise Refused(
            f"{parts} blocks of agents keep {used} of {len(present)} devices at work, and each of "
            f"{processes} processes needs work: give more agents, or fewer processes"
        )
    theirs = np.array(present[: len(present) // processes * processes]).reshape(processes, -1)
    return Mesh(theirs[:, : used // processes].reshape(-1), (AXIS,))


def fetch(array: jax.Array | NDArray[Any]) -> NDArray[Any]:
    """An array as this process sees it whole, wherever its pieces lie.

    With several processes each must ask, as it is a step that they take together.
    """
    if isinstance(array, np.ndarray):
        return array
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    whole: NDArray[Any] = multihost_utils.process_allgather(array, tiled=True)
    return whole


def spread(array: NDArray[Any], sharding: Sharding) -> jax.Array:
    """Put an array on the devices; with several processes each gives the whole of it."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
