"""The settings as frozen values, one class for each section of `config/reference.conf`.

`reference.conf` says what each key is for; a test holds the defaults here equal to those there.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.domain.secret import Secret
from gateway.settings.sources import HoconSource, VariablesSource
from gateway.settings.values import (
    Count,
    Duration,
    KeyRing,
    Number,
    Port,
    SecretText,
    Size,
    TagText,
    Text,
    Texts,
    Timeout,
    Truth,
    Whole,
    masked,
)

MIB = 1024 * 1024
MOST_TAGS = 8


def seconds(count: float) -> timedelta:
    """Return a duration of so many seconds."""
    return timedelta(seconds=count)


class Section(BaseModel):
    """A part of the settings: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, masked(value) if isinstance(value, str) else value

    def _ordered(self, low: str, high: str) -> None:
        """Refuse a lower bound above its upper one."""
        if getattr(self, low) > getattr(self, high):
            raise PydanticCustomError(
                "expected", "expected {expected}", {"expected": f"at most {high}", "key": low}
            )


class Api(Section):
    """The doors: REST and gRPC."""

    host: Text = "127.0.0.1"
    port: Port = 8080
    grpc_port: Port = 50051
    body_limit: Size = 32 * MIB
    body_timeout: Timeout = seconds(30)
    upload_limit: Size = 64 * MIB
    upload_timeout: Timeout = seconds(120)
    allowed_hosts: Texts = ("*",)
    docs: Truth = True
    shutdown_grace: Duration = seconds(30)
    keepalive: Timeout = seconds(15)
    max_in_flight: Count = 1000


class Worker(Section):
    """The process that runs jobs."""

    metrics_port: Port = 9091
    concurrency: Count = 50
    shutdown_grace: Duration = seconds(30)


class Fallback(Section):
    """How often, and how soon, a request is tried again."""

    attempts: Count = 3
    backoff_initial: Duration = seconds(0.2)
    backoff_factor: Annotated[Number, Field(ge=1)] = 2.0
    backoff_max: Duration = seconds(5)

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("backoff_initial", "backoff_max")
        return self


class Inference(Section):
    """How a synchronous request lives."""

    durability: Literal["overlapped", "start-first"] = "overlapped"
    engine_down: Literal["serve", "refuse"] = "serve"
    storage_down: Literal["serve", "refuse"] = "refuse"
    on_disconnect: Literal["cancel", "finish"] = "cancel"
    deadline: Timeout = seconds(120)
    max_deadline: Timeout = seconds(3600)
    max_overlapped_starts: Count = 64
    max_unsettled: Count = 24
    max_shadows: Whole = 8
    log_content: Truth = True
    log_content_limit: Size = MIB
    fallback: Fallback = Fallback()

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("deadline", "max_deadline")
        return self


class IdempotencySettings(Section):
    """What is kept for callers who ask again with the same Idempotency-Key."""

    retention: Timeout = timedelta(hours=24)
    retention_unlogged: Timeout = timedelta(hours=1)
    max_answer: Size = 4 * MIB

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("retention_unlogged", "retention")
        return self


class Jobs(Section):
    """How an asynchronous request lives."""

    deadline: Timeout = seconds(3600)
    max_deadline: Timeout = timedelta(hours=24)
    attempts: Count = 10
    backoff_max: Timeout = seconds(60)
    interrupted: Literal["retry", "fail"] = "retry"
    heartbeat_timeout: Timeout = seconds(12)
    max_wait: Timeout = seconds(120)
    retention: Timeout = timedelta(days=7)

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("deadline", "max_deadline")
        return self


class ResponsesSettings(Section):
    """What is kept of responses and conversations."""

    retention: Timeout = timedelta(days=30)
    on_disconnect: Literal["finish", "cancel"] = "finish"
    max_history: Size = 8 * MIB


class Ring(Section):
    """A ring of keys: the active one encrypts, all decrypt."""

    _where: ClassVar[str] = ""

    active: Text = ""
    keys: KeyRing = Field(default_factory=dict[str, Secret])

    @model_validator(mode="after")
    def _active_is_among_keys(self) -> Self:
        if self.active not in self.keys and (self.active or self.keys):
            known = ", ".join(self.keys) or "none is given"
            raise PydanticCustomError(
                "expected",
                "expected {expected}",
                {"expected": f"the id of one of {self._where}.keys ({known})", "key": "active"},
            )
        return self


class Encryption(Ring):
    """The ring of keys that payloads in workflow histories are encrypted with."""

    _where: ClassVar[str] = "temporal.encryption"

    required: Truth = True


class CredentialKeys(Ring):
    """The ring of keys that credentials in the database are encrypted with."""

    _where: ClassVar[str] = "credentials.encryption"


class Deployment(Section):
    """Which version of the workers' code this is."""

    name: Text = "llm-gateway"
    build: Text = ""


class Temporal(Section):
    """The workflow engine."""

    address: Text = ""
    namespace: Text = "default"
    sync_queue: Text = "gateway-requests"
    jobs_queue: Text = "gateway-jobs"
    deployment: Deployment = Deployment()
    task_timeout: Timeout = seconds(30)
    start_timeout: Timeout = seconds(2)
    workflow_slots: Count = 1000
    local_activity_slots: Count = 1000
    cached_workflows: Whole = 1000
    sandbox: Truth = False
    compress: Truth = True
    claim_check_over: Size = 128 * 1024
    tls: Truth = False
    tls_ca: Text = ""
    tls_cert: Text = ""
    tls_key: Text = ""
    api_key: SecretText = Secret()
    ui_url: Text = ""
    encryption: Encryption = Encryption()

    @model_validator(mode="after")
    def _queues_differ(self) -> Self:
        if self.sync_queue == self.jobs_queue:
            raise PydanticCustomError(
                "expected",
                "expected {expected}",
                {"expected": "another name than sync_queue", "key": "jobs_queue"},
            )
        return self


class Postgres(Section):
    """The database."""

    url: SecretText = Secret()
    pool_min: Whole = 1
    pool_max: Count = 10
    connect_timeout: Timeout = seconds(5)
    statement_timeout: Timeout = seconds(30)

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("pool_min", "pool_max")
        return self


class Storage(Section):
    """Which adapter serves each port: the names are those of `gateway/storage/catalogue.py`."""

    requests: Text = "postgres"
    jobs: Text = "postgres"
    keys: Text = "postgres"
    claims: Text = "postgres"
    models: Text = "postgres"
    limits: Text = "postgres"
    live: Text = "postgres"


class LimitSettings(Section):
    """How limits of rate and of concurrency are kept over all replicas."""

    lease: Timeout = seconds(1)
    lease_expiry: Timeout = seconds(3)
    slot_expiry: Timeout = seconds(10)
    patience: Timeout = seconds(0.25)
    max_keys: Count = 20_000

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("lease", "lease_expiry")
        return self


class BreakerSettings(Section):
    """When a model that fails is left alone, and for how long."""

    enabled: Truth = True
    failures: Count = 5
    rate_limited: Count = 10
    error_rate: Annotated[Number, Field(gt=0, le=1)] = 0.5
    min_requests: Count = 20
    window: Literal["10s", "1m", "5m", "1h"] = "1m"
    cool_down: Timeout = seconds(5)
    cool_down_factor: Annotated[Number, Field(ge=1)] = 2.0
    cool_down_max: Timeout = seconds(60)
    probe_lease: Timeout = seconds(60)
    patience: Timeout = seconds(30)
    all_open: Literal["refuse", "serve"] = "refuse"

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("cool_down", "cool_down_max")
        return self


class ProbeSettings(Section):
    """Which models are asked now and then whether they are there."""

    call: TagText = ""
    list: TagText = ""
    interval: Timeout = seconds(60)
    timeout: Timeout = seconds(10)
    max_usd_per_day: Annotated[Number, Field(ge=0)] = 1.0


class Health(Section):
    """What is known of models and callers at this moment."""

    max_models: Count = 2_000
    max_callers: Count = 20_000
    breaker: BreakerSettings = BreakerSettings()
    probes: ProbeSettings = ProbeSettings()


class NatsRequests(Section):
    """Requests that are published to NATS, and the stream and the consumer that they wait in."""

    enabled: Truth = True
    subject: Text = "gateway.requests"
    stream: Text = "GATEWAY_REQUESTS"
    consumer: Text = "llm-gateway"
    concurrency: Count = 32
    patience: Timeout = timedelta(hours=1)
    max_age: Timeout = timedelta(days=7)
    max_bytes: Size = 1024 * MIB
    replicas: Count = 1

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("patience", "max_age")
        return self


class Nats(Section):
    """The message bus."""

    url: Text = ""
    credentials_file: Text = ""
    nkey_file: Text = ""
    tls: Truth = False
    tls_ca: Text = ""
    tls_cert: Text = ""
    tls_key: Text = ""
    connect_timeout: Timeout = seconds(2)
    requests: NatsRequests = NatsRequests()


class WebhookSettings(Section):
    """Which addresses webhooks are sent to."""

    https_only: Truth = True
    allow_private_networks: Truth = False
    tls_ca: Text = ""


class StreamSettings(Section):
    """The stream of NATS that finished jobs are published to, as it is made where it is missing."""

    name: Text = "GATEWAY_DELIVERIES"
    subjects: Texts = ("agents.>",)
    max_age: Timeout = timedelta(days=7)
    max_bytes: Size = 1024 * MIB
    replicas: Count = 1
    duplicate_window: Timeout = timedelta(days=1)

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("duplicate_window", "max_age")
        return self


class DeliverySettings(Section):
    """How callers are told of their finished jobs."""

    public_url: Text = ""
    inline_limit: Size = 256 * 1024
    timeout: Timeout = seconds(15)
    first_pause: Timeout = seconds(5)
    longest_pause: Timeout = timedelta(hours=8)
    concurrency: Count = 100
    webhook: WebhookSettings = WebhookSettings()
    stream: StreamSettings = StreamSettings()

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("first_pause", "longest_pause")
        if self.timeout > timedelta(seconds=60):
            # The engine gives a try a minute and a half in all.
            raise PydanticCustomError(
                "expected", "expected {expected}", {"expected": "at most 60s", "key": "timeout"}
            )
        return self


class Identity(Section):
    """How long it is remembered who holds a key."""

    cache: Duration = seconds(2)
    max_stale: Duration = timedelta(minutes=5)

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("cache", "max_stale")
        return self


class Providers(Section):
    """Connections to the models."""

    max_connections: Count = 512
    keepalive_connections: Whole = 128
    keepalive_expiry: Duration = seconds(30)
    connect_timeout: Timeout = seconds(5)
    first_byte_timeout: Timeout = seconds(60)
    total_timeout: Timeout = timedelta(minutes=10)
    max_answer: Size = 64 * MIB
    trust_env: Truth = False
    allow_private_networks: Truth = True


class Credentials(Section):
    """Where models' own credentials may come from, and how those in the database are encrypted."""

    variables: Texts = ("*_API_KEY", "*_API_TOKEN", "HF_TOKEN")
    files: Texts = ("/run/secrets/*", "/var/run/secrets/*", "/etc/llm-gateway/credentials/*")
    encryption: CredentialKeys = CredentialKeys()


class RegistrySettings(Section):
    """The models that a fresh install knows."""

    seed: Path = Path("seed/models.conf")


class RulesSettings(Section):
    """The rules that a fresh install begins with."""

    seed: Path = Path("seed/rules.conf")


class UsageSettings(Section):
    """How the ledger is rolled up."""

    tags: Texts = ("team", "project", "env")
    tag_values: Count = 100
    every: Timeout = seconds(2)
    keep_hours: Timeout = timedelta(days=35)
    keep_days: Timeout = timedelta(days=400)

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        self._ordered("keep_hours", "keep_days")
        if len(set(self.tags)) > MOST_TAGS:
            raise PydanticCustomError(
                "expected", "expected {expected}", {"expected": f"at most {MOST_TAGS} tags", "key": "tags"}
            )
        return self


class Telemetry(Section):
    """Traces, metrics and logs."""

    service_name: Text = "llm-gateway"
    otlp_endpoint: Text = ""
    sample_ratio: Annotated[Number, Field(ge=0, le=1)] = 1.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    metrics_models: Count = 200


class LocalPorts(Section):
    """The ports of the parts that the local stack starts by itself."""

    postgres: Port = 15432
    temporal: Port = 7233
    temporal_ui: Port = 8233
    nats: Port = 4222
    model: Port = 8081


class Local(Section):
    """The stack of `make up`."""

    data: Path = Path(".local")
    model_enabled: Truth = True
    engine: Literal["development", "postgres"] = "development"
    ports: LocalPorts = LocalPorts()


class S3Settings(Section):
    """Storage that speaks S3."""

    endpoint: Text = ""
    region: Text = "us-east-1"
    bucket: Text = ""
    prefix: Text = ""
    path_style: Truth = True
    access_key: SecretText = Secret()
    secret_key: SecretText = Secret()
    allow_http: Truth = False
    tls_ca: Text = ""
    connect_timeout: Timeout = seconds(2)
    timeout: Timeout = seconds(15)


class FilesSettings(Section):
    """Where contents of files are kept."""

    store: Literal["postgres", "s3"] = "postgres"
    s3: S3Settings = S3Settings()


class BatchesSettings(Section):
    """Files that callers hand over, and batches of requests."""

    max_file: Size = 200 * MIB
    max_lines: Count = 50_000
    max_line: Size = MIB
    at_once: Count = 32
    window: Timeout = timedelta(hours=24)
    keep_files: Timeout = timedelta(days=30)
    files: FilesSettings = FilesSettings()


class Settings(BaseSettings):
    """Everything that can be set: `load` reads it from files and environment; by hand it has the defaults."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api: Api = Api()
    worker: Worker = Worker()
    inference: Inference = Inference()
    jobs: Jobs = Jobs()
    idempotency: IdempotencySettings = IdempotencySettings()
    responses: ResponsesSettings = ResponsesSettings()
    batches: BatchesSettings = BatchesSettings()
    temporal: Temporal = Temporal()
    postgres: Postgres = Postgres()
    storage: Storage = Storage()
    limits: LimitSettings = LimitSettings()
    health: Health = Health()
    nats: Nats = Nats()
    delivery: DeliverySettings = DeliverySettings()
    identity: Identity = Identity()
    providers: Providers = Providers()
    credentials: Credentials = Credentials()
    registry: RegistrySettings = RegistrySettings()
    rules: RulesSettings = RulesSettings()
    usage: UsageSettings = UsageSettings()
    telemetry: Telemetry = Telemetry()
    local: Local = Local()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given by hand, then variables, then files; pydantic's own look at the environment is out."""
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, VariablesSource(settings_cls), HoconSource(settings_cls)
