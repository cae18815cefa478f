"""What processes have used: CPU seconds, and the memory they hold now."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

_MIB = 1024 * 1024
OURSELVES = "load generator"


@dataclass(frozen=True, slots=True)
class Used:
    """A process with all it has started: CPU seconds since its start, MiB of memory now."""

    cpu: float = 0.0
    memory: float = 0.0


def look(pids: Mapping[str, int]) -> dict[str, Used]:
    """What each process has used so far, and the load generator itself; one that is gone has used nothing."""
    seen = {name: _tree(pid) for name, pid in pids.items()}
    return {**seen, OURSELVES: _one(psutil.Process(os.getpid()))}


def cpu_between(before: Mapping[str, Used], after: Mapping[str, Used]) -> dict[str, float]:
    """CPU seconds by process, from one look to the next."""
    return {name: used.cpu - before.get(name, Used()).cpu for name, used in after.items()}


def _one(process: psutil.Process) -> Used:
    with process.oneshot():
        times = process.cpu_times()
        return Used(times.user + times.system, process.memory_info().rss / _MIB)


def _tree(pid: int) -> Used:
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.Error:
        return Used()
    if len(members) == 1:
        try:
            times, used = root.cpu_times(), _one(root)
            return Used(used.cpu + times.children_user + times.children_system, used.memory)
        except psutil.Error:
            return Used()
    cpu, memory = 0.0, 0.0
    for process in members:
        try:
            times = process.cpu_times()
            # Children that have ended are in their parent's account.
            cpu += times.user + times.system + times.children_user + times.children_system
            memory += _share(process)
        except psutil.Error:
            continue
    return Used(cpu, memory / _MIB)


def _share(process: psutil.Process) -> float:
    """Bytes of memory, what is shared with others divided among them: a tree would count it many times else."""
    try:
        return float(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        return float(process.memory_info().rss)
