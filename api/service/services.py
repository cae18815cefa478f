"""All services of a process: what both doors open on."""

from __future__ import annotations

from dataclasses import dataclass

from api.service.batches import BatchesService, FilesService
from api.service.deliveries import DeliveriesService
from api.service.inference import InferenceService
from api.service.jobs import JobsService
from api.service.live import LiveService
from api.service.models import ModelsService
from api.service.prices import PricesService
from api.service.registry import RegistryService
from api.service.requests import RequestsService
from api.service.responses.conversations import ConversationsService
from api.service.responses.service import ResponsesService
from api.service.rules import RulesService
from api.service.simulations import SimulationsService
from api.service.usage import UsageService
from api.service.webhooks import WebhooksService


@dataclass(frozen=True, slots=True)
class Services:
    """One for each noun."""

    inference: InferenceService
    jobs: JobsService
    files: FilesService
    batches: BatchesService
    requests: RequestsService
    usage: UsageService
    models: ModelsService
    registry: RegistryService
    live: LiveService
    rules: RulesService
    prices: PricesService
    simulations: SimulationsService
    deliveries: DeliveriesService
    webhooks: WebhooksService
    responses: ResponsesService
    conversations: ConversationsService
