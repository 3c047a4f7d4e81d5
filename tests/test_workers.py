"""Threads on one core each: order, errors, and no trace left on the caller's torch."""

import os
import threading

import pytest
import torch

from ocrformer import DecodeOptions, OCRformer, workers
from ocrformer.workers import Workers


def test_results_keep_the_order_of_the_jobs():
    assert Workers(3).map(lambda n: n * n, range(50)) == [n * n for n in range(50)]


@pytest.mark.parametrize("jobs", [0, 1, 2, 7, 64, 65])
def test_jobs_handed_over_together_keep_their_order(jobs):
    assert Workers(2).map(lambda n: n * n, range(jobs), together=32) == [n * n for n in range(jobs)]


def test_few_jobs_are_handed_to_all_threads():
    both = threading.Barrier(2)  # broken after a while if one thread is given both
    assert sorted(Workers(2).map(lambda _: both.wait(timeout=10), range(2), together=32)) == [0, 1]


def test_workers_use_one_core_and_callers_keep_theirs():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert set(Workers(2).map(lambda _: torch.get_num_threads(), range(8))) == {1}
        assert torch.get_num_threads() == 2
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [2]
    finally:
        torch.set_num_threads(before)


def test_an_error_reaches_the_caller_and_the_pool_goes_on():
    workers = Workers(2)
    with pytest.raises(ZeroDivisionError):
        workers.map(lambda n: 1 // n, [1, 0])
    assert workers.map(lambda n: n + 1, [1, 2]) == [2, 3]


def test_a_forked_process_gets_threads_of_its_own():
    workers = Workers(2)
    assert workers.map(str, [1, 2]) == ["1", "2"]
    child = os.fork()
    if not child:  # in the child: the parent's threads are not here
        os._exit(0 if workers.map(str, [3, 4]) == ["3", "4"] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_batches_on_many_workers_give_the_text_and_confidence_of_one(bundle):
    generator = torch.Generator().manual_seed(0)
    lines = [
        torch.randint(0, 256, (32, int(width)), generator=generator, dtype=torch.uint8).numpy()
        for width in torch.randint(20, 500, (40,), generator=generator)
    ]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        many = OCRformer(bundle).read_prepared(lines)
        torch.set_num_threads(1)
        one = OCRformer(bundle).read_prepared(lines, DecodeOptions(batch_pixels=1))
    finally:
        torch.set_num_threads(before)
    assert [line.text for line in many] == [line.text for line in one]
    assert [line.confidence for line in many] == pytest.approx([line.confidence for line in one], abs=1e-5)


@pytest.mark.parametrize(("quota", "expected"), [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 64)])
def test_cores_are_those_of_the_container(monkeypatch, tmp_path, quota, expected):
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    (tmp_path / "old" / "cpu").mkdir(parents=True)  # control groups of version 1
    limit, period = quota.replace("max", "-1").split()
    (tmp_path / "old/cpu/cpu.cfs_quota_us").write_text(f"{limit}\n")
    (tmp_path / "old/cpu/cpu.cfs_period_us").write_text(f"{period}\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for folder, cores in ((tmp_path, expected), (tmp_path / "old", expected), (tmp_path / "none", 64)):
        monkeypatch.setattr(workers, "_GROUPS", folder)
        assert workers.cores() == cores
