"""Every error has a code of its own, a sentence for callers, and a row in the one table of shapes."""

from http import HTTPStatus

import grpc
import pytest

from api.errors import TABLE
from gateway.domain import errors


def kinds(kind=errors.GatewayError):
    return [kind, *(each for sub in kind.__subclasses__() for each in kinds(sub))]


# Those of errors.py: a test may have made some of its own.
KINDS = [kind for kind in kinds() if kind.__module__ == errors.__name__ and "code" in vars(kind)]


def test_the_table_is_total():
    codes = {kind.code for kind in KINDS}
    assert codes - set(TABLE) == set(), "api/errors.py has no row for these"
    assert set(TABLE) - codes == set(), "no error has these codes"


def test_no_two_errors_share_a_code():
    codes = [kind.code for kind in KINDS]
    assert [code for code in codes if codes.count(code) > 1] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_an_error_says_to_its_caller_what_is_wrong(kind):
    message = (kind.__doc__ or "").strip()
    assert message.endswith((".", "?")), "the docstring is the message: a sentence"
    assert kind.code == kind.code.lower()


@pytest.mark.parametrize("code", sorted(TABLE))
def test_a_row_holds_statuses_that_exist(code):
    row = TABLE[code]
    assert 400 <= row.http <= 599
    # 499 is nginx's "client closed request": nobody is left to read it.
    assert row.http == 499 or HTTPStatus(row.http)
    assert row.grpc in grpc.StatusCode.__members__
    assert row.openai
    assert row.anthropic
