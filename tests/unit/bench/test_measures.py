import pytest

from bench.backlog import Starts
from bench.load import Load
from bench.processes import Used, cpu_between
from bench.soak import Sample, growth
from bench.throughput import Run


def samples(*memory: float) -> list[Sample]:
    return [Sample(float(n), n * 1000, {"api": mib}) for n, mib in enumerate(memory)]


def test_growth_is_counted_in_100_000_requests():
    assert growth(samples(100, 101, 102, 103), "api", from_=0) == pytest.approx(100.0)


def test_growth_leaves_the_warm_up_out():
    assert growth(samples(50, 100, 100, 100), "api", from_=1000) == pytest.approx(0.0)


def test_requests_a_second_are_counted_until_nothing_is_left_to_do():
    run = Run(Load(totals=[0.1] * 100, seconds=4.0), drained=1.0)
    assert (run.per_second, run.offered) == (20.0, 25.0)


def test_requests_without_a_workflow_are_not_durable():
    run = Run(Load(totals=[0.1] * 100, seconds=10.0), starts=Starts(here=60, queued=10, degraded=30))
    assert run.durable == 7.0


def test_cpu_is_counted_from_look_to_look():
    spent = cpu_between({"api": Used(cpu=2.0)}, {"api": Used(cpu=3.5), "new": Used(cpu=0.5)})
    assert spent == {"api": 1.5, "new": 0.5}
