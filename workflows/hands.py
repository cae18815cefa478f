"""The activities, given what a World has open."""

from __future__ import annotations

from datetime import timedelta

from activities.delivery import DeliveryActivities, Pauses
from activities.inference import CallerActivities, JobActivities
from activities.prices import PriceActivities
from activities.requests import RequestActivities
from activities.routing import RoutingActivities
from activities.simulations import Health, SimulationActivities
from gateway.jobcalls import JobCalls
from gateway.live.breakers import policy_of
from gateway.settings import Health as HealthSettings
from gateway.wiring import World
from workflows.worker import Hands

_BEAT = timedelta(seconds=3)


def _health(settings: HealthSettings) -> Health:
    return Health(
        policy_of(settings.breaker),
        settings.breaker.all_open == "serve",
        settings.max_models,
        settings.max_callers,
    )


def hands_of(world: World) -> Hands:
    """All activities of a process."""
    delivery = world.settings.delivery
    return Hands(
        routing=RoutingActivities(world.router, world.limiter),
        caller=CallerActivities(world.exchanges, world.recorder),
        job=JobActivities(
            world.attempts,
            world.store.claims,
            world.registry,
            world.origin,
            world.settings.jobs.heartbeat_timeout / 4,
            JobCalls(world.attempts, world.store.streams, world.responses),
        ),
        requests=RequestActivities(
            world.recorder, world.store.jobs, world.exchanges, world.limiter, world.responses
        ),
        delivery=DeliveryActivities(
            world.dispatch.channels,
            world.store.jobs,
            world.store.claims,
            world.store.deliveries,
            Pauses(delivery.first_pause, delivery.longest_pause, delivery.public_url),
        ),
        prices=PriceActivities(world.store.prices, world.store.repricings),
        simulations=SimulationActivities(
            world.store.simulations, world.texts, world.registry, _health(world.settings.health), _BEAT
        ),
    )
