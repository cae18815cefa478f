import datetime

from gateway.v1 import audio_pb2 as _audio_pb2
from gateway.v1 import common_pb2 as _common_pb2
from gateway.v1 import completions_pb2 as _completions_pb2
from gateway.v1 import embeddings_pb2 as _embeddings_pb2
from gateway.v1 import images_pb2 as _images_pb2
from gateway.v1 import inference_pb2 as _inference_pb2
from gateway.v1 import moderations_pb2 as _moderations_pb2
from gateway.v1 import rerank_pb2 as _rerank_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Job(_message.Message):
    __slots__ = ("id", "status", "endpoint", "kind", "model", "served_model", "created_at", "started_at", "completed_at", "deadline", "attempts", "usage", "cost_usd", "chat", "complete", "embed", "rerank", "moderate", "images", "speech", "transcription", "other", "error", "metadata", "deliver", "workflow_id", "trace_id", "destinations", "deliveries", "priority", "not_before")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class DeliverEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SERVED_MODEL_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    EMBED_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    MODERATE_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: _common_pb2.Status
    endpoint: str
    kind: str
    model: str
    served_model: str
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    deadline: _timestamp_pb2.Timestamp
    attempts: int
    usage: _common_pb2.TokenUsage
    cost_usd: str
    chat: _inference_pb2.ChatResponse
    complete: _completions_pb2.CompleteResponse
    embed: _embeddings_pb2.EmbedResponse
    rerank: _rerank_pb2.RerankResponse
    moderate: _moderations_pb2.ModerateResponse
    images: _images_pb2.Images
    speech: _audio_pb2.Sound
    transcription: _audio_pb2.Transcription
    other: _struct_pb2.Struct
    error: _common_pb2.Failure
    metadata: _containers.ScalarMap[str, str]
    deliver: _containers.ScalarMap[str, str]
    workflow_id: str
    trace_id: str
    destinations: _containers.RepeatedCompositeFieldContainer[Destination]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    priority: int
    not_before: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., endpoint: _Optional[str] = ..., kind: _Optional[str] = ..., model: _Optional[str] = ..., served_model: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempts: _Optional[int] = ..., usage: _Optional[_Union[_common_pb2.TokenUsage, _Mapping]] = ..., cost_usd: _Optional[str] = ..., chat: _Optional[_Union[_inference_pb2.ChatResponse, _Mapping]] = ..., complete: _Optional[_Union[_completions_pb2.CompleteResponse, _Mapping]] = ..., embed: _Optional[_Union[_embeddings_pb2.EmbedResponse, _Mapping]] = ..., rerank: _Optional[_Union[_rerank_pb2.RerankResponse, _Mapping]] = ..., moderate: _Optional[_Union[_moderations_pb2.ModerateResponse, _Mapping]] = ..., images: _Optional[_Union[_images_pb2.Images, _Mapping]] = ..., speech: _Optional[_Union[_audio_pb2.Sound, _Mapping]] = ..., transcription: _Optional[_Union[_audio_pb2.Transcription, _Mapping]] = ..., other: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., error: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., deliver: _Optional[_Mapping[str, str]] = ..., workflow_id: _Optional[str] = ..., trace_id: _Optional[str] = ..., destinations: _Optional[_Iterable[_Union[Destination, _Mapping]]] = ..., deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., priority: _Optional[int] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Deliver(_message.Message):
    __slots__ = ("webhook", "nats")
    class Webhook(_message.Message):
        __slots__ = ("url", "secret")
        URL_FIELD_NUMBER: _ClassVar[int]
        SECRET_FIELD_NUMBER: _ClassVar[int]
        url: str
        secret: str
        def __init__(self, url: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...
    class Nats(_message.Message):
        __slots__ = ("subject", "trace_id")
        SUBJECT_FIELD_NUMBER: _ClassVar[int]
        TRACE_ID_FIELD_NUMBER: _ClassVar[int]
        subject: str
        trace_id: str
        def __init__(self, subject: _Optional[str] = ..., trace_id: _Optional[str] = ...) -> None: ...
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    NATS_FIELD_NUMBER: _ClassVar[int]
    webhook: Deliver.Webhook
    nats: Deliver.Nats
    def __init__(self, webhook: _Optional[_Union[Deliver.Webhook, _Mapping]] = ..., nats: _Optional[_Union[Deliver.Nats, _Mapping]] = ...) -> None: ...

class Destination(_message.Message):
    __slots__ = ("channel", "target", "trace_id", "has_secret")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    HAS_SECRET_FIELD_NUMBER: _ClassVar[int]
    channel: str
    target: str
    trace_id: str
    has_secret: bool
    def __init__(self, channel: _Optional[str] = ..., target: _Optional[str] = ..., trace_id: _Optional[str] = ..., has_secret: _Optional[bool] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("channel", "target", "number", "at", "outcome", "status", "code", "message", "next_at", "by_hand", "took_ms")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NEXT_AT_FIELD_NUMBER: _ClassVar[int]
    BY_HAND_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    channel: str
    target: str
    number: int
    at: _timestamp_pb2.Timestamp
    outcome: str
    status: int
    code: str
    message: str
    next_at: _timestamp_pb2.Timestamp
    by_hand: bool
    took_ms: float
    def __init__(self, channel: _Optional[str] = ..., target: _Optional[str] = ..., number: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[str] = ..., status: _Optional[int] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., next_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., by_hand: _Optional[bool] = ..., took_ms: _Optional[float] = ...) -> None: ...

class JobsServiceCreateRequest(_message.Message):
    __slots__ = ("chat", "complete", "embed", "rerank", "moderate", "generate_images", "edit_images", "vary_images", "speech", "transcribe", "translate", "deadline", "metadata", "deliver", "priority", "not_before", "wait", "stream")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CHAT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    EMBED_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    MODERATE_FIELD_NUMBER: _ClassVar[int]
    GENERATE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    EDIT_IMAGES_FIELD_NUMBER: _ClassVar[int]
    VARY_IMAGES_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIBE_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    chat: _inference_pb2.ChatRequest
    complete: _completions_pb2.CompleteRequest
    embed: _embeddings_pb2.EmbedRequest
    rerank: _rerank_pb2.RerankRequest
    moderate: _moderations_pb2.ModerateRequest
    generate_images: _images_pb2.GenerateImagesRequest
    edit_images: _images_pb2.EditImagesRequest
    vary_images: _images_pb2.VaryImagesRequest
    speech: _audio_pb2.SpeechRequest
    transcribe: _audio_pb2.Recording
    translate: _audio_pb2.Recording
    deadline: _duration_pb2.Duration
    metadata: _containers.ScalarMap[str, str]
    deliver: Deliver
    priority: int
    not_before: _timestamp_pb2.Timestamp
    wait: _duration_pb2.Duration
    stream: bool
    def __init__(self, chat: _Optional[_Union[_inference_pb2.ChatRequest, _Mapping]] = ..., complete: _Optional[_Union[_completions_pb2.CompleteRequest, _Mapping]] = ..., embed: _Optional[_Union[_embeddings_pb2.EmbedRequest, _Mapping]] = ..., rerank: _Optional[_Union[_rerank_pb2.RerankRequest, _Mapping]] = ..., moderate: _Optional[_Union[_moderations_pb2.ModerateRequest, _Mapping]] = ..., generate_images: _Optional[_Union[_images_pb2.GenerateImagesRequest, _Mapping]] = ..., edit_images: _Optional[_Union[_images_pb2.EditImagesRequest, _Mapping]] = ..., vary_images: _Optional[_Union[_images_pb2.VaryImagesRequest, _Mapping]] = ..., speech: _Optional[_Union[_audio_pb2.SpeechRequest, _Mapping]] = ..., transcribe: _Optional[_Union[_audio_pb2.Recording, _Mapping]] = ..., translate: _Optional[_Union[_audio_pb2.Recording, _Mapping]] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., deliver: _Optional[_Union[Deliver, _Mapping]] = ..., priority: _Optional[int] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stream: _Optional[bool] = ...) -> None: ...

class JobsServiceCreateResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class JobsServiceGetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class JobsServiceGetResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class JobsServiceGetResultRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class JobsServiceGetResultResponse(_message.Message):
    __slots__ = ("chat", "complete", "embed", "rerank", "moderate", "images", "speech", "transcription", "other")
    CHAT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    EMBED_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    MODERATE_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    chat: _inference_pb2.ChatResponse
    complete: _completions_pb2.CompleteResponse
    embed: _embeddings_pb2.EmbedResponse
    rerank: _rerank_pb2.RerankResponse
    moderate: _moderations_pb2.ModerateResponse
    images: _images_pb2.Images
    speech: _audio_pb2.Sound
    transcription: _audio_pb2.Transcription
    other: _struct_pb2.Struct
    def __init__(self, chat: _Optional[_Union[_inference_pb2.ChatResponse, _Mapping]] = ..., complete: _Optional[_Union[_completions_pb2.CompleteResponse, _Mapping]] = ..., embed: _Optional[_Union[_embeddings_pb2.EmbedResponse, _Mapping]] = ..., rerank: _Optional[_Union[_rerank_pb2.RerankResponse, _Mapping]] = ..., moderate: _Optional[_Union[_moderations_pb2.ModerateResponse, _Mapping]] = ..., images: _Optional[_Union[_images_pb2.Images, _Mapping]] = ..., speech: _Optional[_Union[_audio_pb2.Sound, _Mapping]] = ..., transcription: _Optional[_Union[_audio_pb2.Transcription, _Mapping]] = ..., other: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class JobsServiceDeleteRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class JobsServiceDeleteResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class JobsServiceCancelRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class JobsServiceCancelResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class JobsServiceListRequest(_message.Message):
    __slots__ = ("status", "limit", "after", "caller", "endpoint", "model", "since", "until")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    status: _common_pb2.Status
    limit: int
    after: str
    caller: str
    endpoint: str
    model: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    def __init__(self, status: _Optional[_Union[_common_pb2.Status, str]] = ..., limit: _Optional[int] = ..., after: _Optional[str] = ..., caller: _Optional[str] = ..., endpoint: _Optional[str] = ..., model: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class JobsServiceListResponse(_message.Message):
    __slots__ = ("jobs", "next_after")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_after: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_after: _Optional[str] = ...) -> None: ...

class JobsServiceWatchRequest(_message.Message):
    __slots__ = ("id", "after")
    ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    id: str
    after: int
    def __init__(self, id: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class JobsServiceWatchResponse(_message.Message):
    __slots__ = ("job", "output")
    class Output(_message.Message):
        __slots__ = ("number", "chunk", "data", "begun_anew", "name")
        NUMBER_FIELD_NUMBER: _ClassVar[int]
        CHUNK_FIELD_NUMBER: _ClassVar[int]
        DATA_FIELD_NUMBER: _ClassVar[int]
        BEGUN_ANEW_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        number: int
        chunk: _inference_pb2.ChatChunk
        data: _struct_pb2.Struct
        begun_anew: int
        name: str
        def __init__(self, number: _Optional[int] = ..., chunk: _Optional[_Union[_inference_pb2.ChatChunk, _Mapping]] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., begun_anew: _Optional[int] = ..., name: _Optional[str] = ...) -> None: ...
    JOB_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    job: Job
    output: JobsServiceWatchResponse.Output
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., output: _Optional[_Union[JobsServiceWatchResponse.Output, _Mapping]] = ...) -> None: ...

class JobsServiceRedeliverRequest(_message.Message):
    __slots__ = ("id", "channel")
    ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    id: str
    channel: str
    def __init__(self, id: _Optional[str] = ..., channel: _Optional[str] = ...) -> None: ...

class JobsServiceRedeliverResponse(_message.Message):
    __slots__ = ("job_id", "event_id", "channels")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    event_id: str
    channels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, job_id: _Optional[str] = ..., event_id: _Optional[str] = ..., channels: _Optional[_Iterable[str]] = ...) -> None: ...
