"""Threads that each run torch on one core; with a single one, the caller's own.

Small batches side by side are faster than one batch whose every operation is split among cores: at 2 cores by a fifth
for hundreds of lines, twice for a few. What a batch computes does not depend on which thread does it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Lock
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")


_GROUPS = Path("/sys/fs/cgroup")
_QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
"""Of a container, in control groups of version 2 and 1: microseconds of a core in so many microseconds."""


def cores() -> int:
    """Cores that this process may use: of its affinity, and of its container's quota (Linux)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in _QUOTAS:
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # no such file, or no quota: `max`
            quota, period = map(int, " ".join((_GROUPS / file).read_text() for file in files).split())
            if quota > 0:  # -1 is none
                return max(1, min(allowed, round(quota / period)))
    return allowed


class Workers:
    """A pool of one-core threads, started at first use; none if the caller's thread is enough.

    Args:
        count: Threads.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._owner = 0
        self._lock = Lock()

    def map(self, work: Callable[[Job], Result], jobs: Iterable[Job], *, together: int = 1) -> list[Result]:
        """Results of all jobs, in order; the first job is begun first.

        Args:
            work: What is done with each.
            jobs: Any number.
            together: So many at most are handed to a thread at once: handing over takes longer than small jobs.
        """
        jobs = list(jobs)
        if self.count == 1:
            return [work(job) for job in jobs]
        with self._lock:
            if self._owner != os.getpid():  # first use, or a fork, which copies no threads
                self._owner, self._executor = os.getpid(), _one_core_threads(self.count)
        size = max(1, min(together, len(jobs) // self.count))
        portions = (jobs[start : start + size] for start in range(0, len(jobs), size))
        done = self._executor.map(lambda portion: [work(job) for job in portion], portions)
        return [result for results in done for result in results]


def _one_core_threads(count: int) -> ThreadPoolExecutor:
    started = Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first call sets it to the default, and would undo what follows
        torch.set_num_threads(1)
        started.wait()

    before = torch.get_num_threads()
    executor = ThreadPoolExecutor(count, "ocrformer", initializer=start)
    for _ in range(count):
        executor.submit(int)  # a thread each: none is idle before all have started
    started.wait()
    torch.set_num_threads(before)  # the workers' ones had become the default of threads to come
    return executor
