"""A batch: its input is checked, its lines run, what came of them is filed; whatever dies in between."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from activities.batches import BatchActivities
    from workflows import policies

STATUS = SearchAttributeKey.for_keyword("Status")
_TURNS = 50  # then the history begins anew: a batch of a day takes some hundred


@dataclass(frozen=True, slots=True)
class RunBatch:
    """Which batch, on which queue its work is done, and whether its input was checked before."""

    id: str
    queue: str
    checked: bool = False


@workflow.defn(name="Batch")
class BatchWorkflow:
    """How far it is stands in its rows, not here: each turn goes on where the last one ended."""

    @workflow.run
    async def run(self, asked: RunBatch) -> str:
        """The whole story; its result says how it ended."""
        if not asked.checked:
            fine = await workflow.execute_activity_method(
                BatchActivities.check, asked.id, task_queue=asked.queue, **policies.BATCH
            )
            if not fine:
                workflow.upsert_search_attributes([STATUS.value_set("failed")])
                return "failed"
        for _ in range(_TURNS):
            if await workflow.execute_activity_method(
                BatchActivities.run, asked.id, task_queue=asked.queue, **policies.BATCH
            ):
                break
        else:
            workflow.continue_as_new(RunBatch(asked.id, asked.queue, checked=True))
        await workflow.execute_activity_method(
            BatchActivities.file, asked.id, task_queue=asked.queue, **policies.BATCH
        )
        workflow.upsert_search_attributes([STATUS.value_set("completed")])
        return "completed"
