"""What the gateway wants of a Temporal server's dynamic configuration."""

import json
from collections.abc import Mapping
from typing import Final

DYNAMIC: Final[Mapping[str, bool | int]] = {
    # Jobs that wait for a worker: each caller has its share, whoever floods the queue.
    "matching.enableFairness": True,
    # Partitions spread a queue over many matching hosts. With few workers they only spread it thin.
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    # What can be searched for is written up to half a second late: a workflow that has closed by then is written once,
    # not twice, and that was a quarter of the server's work.
    "history.visibilityProcessorMaxPollRPS": 2,
    "history.visibilityTaskBatchSize": 1000,
    # A workflow that waits for a day need not lie in memory: what is not cached is read from the database when its
    # timer fires. As it comes, 128,000 of them are kept for an hour each.
    "history.hostLevelCacheMaxSize": 2000,
}


def as_yaml() -> str:
    """Return it as the file that a server reads; strings of JSON are YAML too."""
    return "".join(f"{key}:\n  - value: {json.dumps(value)}\n" for key, value in DYNAMIC.items())
