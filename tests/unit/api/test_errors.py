"""One table from an error to its shape in every dialect."""

import json
from datetime import timedelta

import grpc
import pytest

from api.errors import TABLE, anthropic_body, headers_of, openai_body, problem_body, row_of
from gateway.domain import errors
from gateway.domain.errors import BY_CODE


def test_every_code_has_its_row_and_every_row_its_code():
    assert set(TABLE) == set(BY_CODE)


def test_every_row_is_one_that_the_dialects_know():
    for row in TABLE.values():
        assert 400 <= row.http <= 599
        assert row.grpc in grpc.StatusCode.__members__
        assert row.openai.endswith("_error")
        assert row.anthropic.endswith("_error") or row.anthropic == "request_too_large"


def test_a_database_or_an_engine_that_is_away_is_never_a_wrong_key():
    for error in (
        errors.StorageUnavailable,
        errors.EngineUnavailable,
        errors.ShuttingDown,
        errors.Overloaded,
    ):
        assert row_of(error()).http == 503
        assert headers_of(error(), tried=False)["retry-after"] == "1"


def test_an_openai_error_has_all_four_keys():
    error = errors.ModelNotFound("The model `x` does not exist.", param="model", detail="10.0.0.1 said so")
    assert json.loads(openai_body(error)) == {
        "error": {
            "message": "The model `x` does not exist.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }
    assert json.loads(openai_body(errors.GatewayError()))["error"]["param"] is None


def test_an_anthropic_error_has_its_request_id():
    assert json.loads(anthropic_body(errors.Overloaded(), "r-1")) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": errors.Overloaded().message},
        "request_id": "r-1",
    }


def test_a_problem_has_its_status_its_code_and_the_field_if_there_is_one():
    problem = json.loads(problem_body(errors.InvalidRequest("Odd.", param="limit"), "r-1"))
    assert problem == {
        "type": "about:blank",
        "title": "Invalid request",
        "status": 400,
        "detail": "Odd.",
        "code": "invalid_request",
        "request_id": "r-1",
        "param": "limit",
    }
    assert "param" not in json.loads(problem_body(errors.NotFound(), "r-1"))


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_what_is_for_operators_is_in_no_shape(code):
    error = BY_CODE[code](detail="10.0.0.1: sk-secret", status=503)
    for said in (openai_body(error), anthropic_body(error, "r"), problem_body(error, "r")):
        assert b"sk-secret" not in said
        assert b"10.0.0.1" not in said
    assert "sk-secret" not in str(headers_of(error, tried=True))


# ---- whether and when to try again -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wait", "said"),
    [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (7.0, "7"), (119.5, "120")],
)
def test_the_wait_is_in_whole_seconds_and_never_none(wait, said):
    error = errors.UpstreamRateLimited(retry_after=timedelta(seconds=wait))
    assert headers_of(error, tried=False)["retry-after"] == said


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_who_may_try_again_is_told_so_and_nobody_else(code):
    error = BY_CODE[code]()
    row = row_of(error)
    before, after = headers_of(error, tried=False), headers_of(error, tried=True)
    worth_it = row.http in (408, 429, 503) or row.http >= 500 or code == "request_in_progress"
    assert (before.get("x-should-retry") == "false") is not worth_it
    assert after["x-should-retry"] == "false", "the gateway has tried enough"
    assert ("retry-after" in before) == (row.http in (408, 429, 503))


def test_only_a_missing_key_asks_for_one():
    assert [code for code in TABLE if "www-authenticate" in headers_of(BY_CODE[code](), tried=False)] == [
        "invalid_api_key"
    ]
