"""Rules are tried on logged requests, whichever worker dies meanwhile."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.simulations import GiveUp, Simulate, SimulationActivities
    from gateway.domain.inference import Status
    from workflows import policies

STATUS = SearchAttributeKey.for_keyword("Status")
_FAILED = (
    "It could not be brought to its end: the workers failed at it again and again. Ask for it once more."
)
_CANCELLED = "It was cancelled."


@workflow.defn(name="Simulate")
class SimulateWorkflow:
    """One activity, begun anew by another worker where one dies. How far it is stands in its row, not here."""

    @workflow.run
    async def run(self, simulation_id: str) -> Status:
        """The whole story; its result is how it ended."""
        try:
            status = await workflow.execute_activity_method(
                SimulationActivities.simulate, Simulate(simulation_id), **policies.SIMULATE
            )
        except ActivityError as e:
            error = _CANCELLED if is_cancelled_exception(e) else _FAILED
            await workflow.execute_activity_method(
                SimulationActivities.give_up, GiveUp(simulation_id, error), **policies.BOOKS
            )
            status = Status.FAILED
        workflow.upsert_search_attributes([STATUS.value_set(status.value)])
        return status
