"""Pricing a period anew: however long it is and whatever dies meanwhile, each attempt is charged once."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.prices import End, PriceActivities, Reprice, Step
    from gateway.domain.inference import Status
    from workflows import policies


STATUS = SearchAttributeKey.for_keyword("Status")


@workflow.defn(name="Reprice")
class RepriceWorkflow:
    """Begin, step by step to the end of the period, end. Where it stands is written in the books, not here."""

    @workflow.run
    async def run(self, reprice: Reprice) -> Status:
        """The whole story; its result is how it ended."""
        failure: str | None = None
        try:
            begun = await workflow.execute_activity_method(PriceActivities.begin, reprice, **policies.BOOKS)
            if not begun:
                return Status.FAILED
            while not await workflow.execute_activity_method(
                PriceActivities.step, Step(reprice.id), **policies.REPRICE
            ):
                if workflow.info().is_continue_as_new_suggested():
                    workflow.continue_as_new(reprice)
            status = Status.COMPLETED
        except asyncio.CancelledError:
            status = Status.CANCELLED
        except ActivityError as e:
            status = Status.CANCELLED if is_cancelled_exception(e) else Status.FAILED
            failure = None if status is Status.CANCELLED else type(e.cause).__name__
        await workflow.execute_activity_method(
            PriceActivities.end, End(reprice.id, status, failure), **policies.BOOKS
        )
        workflow.upsert_search_attributes([STATUS.value_set(status.value)])
        return status
