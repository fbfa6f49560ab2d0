"""Another name for `hocket.limits.admission`, until all its users have changed over."""

from hocket.limits.admission import (
    AT_ONCE,
    COMMIT,
    MAX_WAITS,
    PAUSE,
    SHARE,
    Admission,
    Admitted,
    Hopeless,
    Queue,
)

__all__ = [
    "AT_ONCE",
    "COMMIT",
    "MAX_WAITS",
    "PAUSE",
    "SHARE",
    "Admission",
    "Admitted",
    "Hopeless",
    "Queue",
]
