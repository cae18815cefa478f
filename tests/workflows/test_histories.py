"""Requests that ran are replayed by the workflow of today: one that no longer fits would break in the middle."""

from __future__ import annotations

import json

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from activities.requests import Record, RequestActivities
from gateway.domain.inference import Choice, InferenceRequest, Mode, Settlement, Status
from tests.builders import BODY
from tests.workflows.harness import CONVERTER, KEY
from tests.workflows.record import HISTORIES, SCENARIOS, kept, story
from workflows.inference import InferenceWorkflow
from workflows.policies import RECORD
from workflows.worker import runner

STORIES = {
    "happy": ["(attempt)", "(record)"],
    "stream": ["(attempt)", "(record)"],
    "fallback": ["(attempt)", "(route)", "(attempt)", "(record)"],
    "retried": [*["(attempt)", "(route)"] * 2, "(attempt)", "(record)"],
    "hedged": ["(attempt)", "(record)"],
    "cancelled": ["(attempt)", "(record)"],
    "elsewhere": ["(attempt)", "attempt", "(record)", "record"],
    "abandoned": ["(attempt)", "attempt", "(record)", "record", "(record)"],
    "job": ["(begin)", *["(route)", "call_model"] * 2, "(record)"],
    "waiting_job": ["(begin)", *["(route)", "timer"] * 2, "(route)", "call_model", "(record)"],
    "throttled_job": ["(begin)", "(route)", "timer", "(route)", "call_model", "(record)"],
    "full_job": [
        *["(begin)", "(route)", "call_model"],
        *["(route)", "timer", "(route)", "call_model", "(record)"],
    ],
    "cancelled_job": ["(begin)", "(route)", "call_model", "cancel", "(record)"],
    "interrupted_job": [
        "(begin)",
        *["(route)", "call_model", "(recover)"],
        *["(route)", "timer", "call_model"],
        "(record)",
    ],
    "timed_job": ["(begin)", "timer", "(begin)", "(route)", "call_model", "(record)"],
    "cancelled_timed_job": ["(begin)", "timer", "cancel", "(record)"],
    "late_ledger": ["(begin)", "(route)", "call_model", "(record)"],
    "uncached_job": [
        "(begin)",
        *["(route)", "call_model", "(route)", "timer", "call_model", "(route)", "timer", "call_model"],
        "(record)",
    ],
}
ENDED = {
    "cancelled": Status.CANCELLED,
    "cancelled_job": Status.CANCELLED,
    "cancelled_timed_job": Status.CANCELLED,
    "abandoned": Status.FAILED,
}


def test_every_scenario_is_recorded_and_every_recording_is_of_a_scenario():
    assert {path.stem for path in HISTORIES.glob("*.json")} == set(SCENARIOS) == set(STORIES)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
async def test_a_recording_tells_the_story_that_it_is_named_for(name: str):
    history = kept(name)
    assert story(history) == STORIES[name]
    last = history.events[-1]
    assert last.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    payloads = last.workflow_execution_completed_event_attributes.result.payloads
    (settlement,) = await CONVERTER.decode(payloads, [Settlement])
    assert settlement.status is ENDED.get(name, Status.COMPLETED)


@pytest.mark.parametrize("sandbox", [True, False], ids=["sandboxed", "plain"])
@pytest.mark.parametrize("name", sorted(SCENARIOS))
async def test_the_workflow_of_today_tells_every_recorded_story_again(name: str, sandbox: bool):
    replayer = Replayer(
        workflows=[InferenceWorkflow], data_converter=CONVERTER, workflow_runner=runner(sandbox=sandbox)
    )
    result = await replayer.replay_workflow(kept(name))
    assert result.replay_failure is None


@workflow.defn(name="Inference")
class Forgetful(InferenceWorkflow):
    """Answers, and records nothing."""

    @workflow.run
    async def run(self, request: InferenceRequest) -> Settlement:
        return await super().run(request)

    async def _record(self, request: InferenceRequest, settlement: Settlement) -> Settlement:
        return settlement


@workflow.defn(name="Inference")
class Hasty(InferenceWorkflow):
    """Waits before everything, which no recorded request did."""

    @workflow.run
    async def run(self, request: InferenceRequest) -> Settlement:
        await workflow.sleep(1)
        return await super().run(request)


@workflow.defn(name="Inference")
class Doubting(InferenceWorkflow):
    """Records twice."""

    @workflow.run
    async def run(self, request: InferenceRequest) -> Settlement:
        return await super().run(request)

    async def _record(self, request: InferenceRequest, settlement: Settlement) -> Settlement:
        await workflow.execute_local_activity_method(RequestActivities.record, Record(settlement), **RECORD)
        return await super()._record(request, settlement)


@workflow.defn(name="Inference")
class Stubborn(InferenceWorkflow):
    """Never calls a job's model a second time."""

    @workflow.run
    async def run(self, request: InferenceRequest) -> Settlement:
        return await super().run(request)

    def _choose(self, request: InferenceRequest, route: object) -> Choice | str:
        return "enough" if self._attempts else Choice("good", "first choice")


@pytest.mark.parametrize(
    ("altered", "name"),
    [(Forgetful, "happy"), (Hasty, "happy"), (Doubting, "happy"), (Stubborn, "job")],
)
async def test_a_workflow_that_would_do_otherwise_is_found_out(altered: type, name: str):
    replayer = Replayer(workflows=[altered], data_converter=CONVERTER, workflow_runner=runner(sandbox=False))
    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflow(kept(name))


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_no_prompt_no_key_and_no_machine_stands_in_a_history(name: str):
    text = (HISTORIES / f"{name}.json").read_text("utf-8")
    assert "Say hello" not in text
    assert KEY not in text
    said = json.loads(text)
    identities = {value for event in said["events"] for value in _values(event, "identity")}
    assert identities <= {"recorder", "history-service"}, "a history names no machine"


async def test_a_history_opens_with_its_key():
    started = kept("job").events[0].workflow_execution_started_event_attributes
    (request,) = await CONVERTER.decode(started.input.payloads, [InferenceRequest])
    assert (request.mode, request.body) == (Mode.JOB, BODY)


async def test_a_history_that_was_cut_in_the_middle_of_the_story_still_replays():
    whole = kept("uncached_job")
    ends = [
        number
        for number, event in enumerate(whole.events)
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    for end in ends[:-1]:
        cut = WorkflowHistory(whole.workflow_id, list(whole.events)[: end + 1])
        replayer = Replayer(
            workflows=[InferenceWorkflow], data_converter=CONVERTER, workflow_runner=runner(sandbox=False)
        )
        await replayer.replay_workflow(cut)


def _values(found: object, name: str) -> list[str]:
    if isinstance(found, dict):
        own = [found[name]] if isinstance(found.get(name), str) else []
        return own + [value for inner in found.values() for value in _values(inner, name)]
    if isinstance(found, list):
        return [value for inner in found for value in _values(inner, name)]
    return []
