import pytest

from bench.translate import WAYS, chat_request, measure, messages_body, sized

pytestmark = pytest.mark.slow


def test_each_way_is_timed_in_both_directions_and_by_the_chunk():
    report = measure(rounds=2)
    assert len(report.facts) == 3 * len(WAYS)
    assert all(taken > 0 for taken in report.facts.values())


@pytest.mark.parametrize("make", [chat_request, messages_body])
def test_a_request_has_the_size_that_is_said(make):
    assert sum(len(name) + len(bytes(raw)) + 4 for name, raw in sized(make).items()) == pytest.approx(
        4096, abs=8
    )
