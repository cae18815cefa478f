"""Telling a caller of its finished job, by one channel, where the first try failed: on its own, for about a day."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.delivery import Deliver, DeliveryActivities
    from gateway.domain.delivery import DeliveryOutcome
    from workflows import policies


@workflow.defn(name="Deliver")
class DeliverWorkflow:
    """Try until it is delivered, or nothing more may be tried."""

    @workflow.run
    async def run(self, deliver: Deliver) -> str:
        """Deliver; its result is `delivered`, or the code of the last failure. The ledger has a row for each try."""
        if deliver.wait:
            await workflow.sleep(deliver.wait)
        try:
            await workflow.execute_activity_method(
                DeliveryActivities.deliver,
                deliver,
                task_queue=policies.deliveries_queue(workflow.info().task_queue),
                **policies.DELIVER,
            )
        except ActivityError as e:
            if is_cancelled_exception(e):
                raise
            return e.cause.type or "" if isinstance(e.cause, ApplicationError) else "interrupted"
        return DeliveryOutcome.DELIVERED.value
