import datetime

from gateway.v1 import common_pb2 as _common_pb2
from gateway.v1 import decision_pb2 as _decision_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_SYNC: _ClassVar[Mode]
    MODE_STREAM: _ClassVar[Mode]
    MODE_JOB: _ClassVar[Mode]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_SUCCEEDED: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
    OUTCOME_BROKEN: _ClassVar[Outcome]
    OUTCOME_CANCELLED: _ClassVar[Outcome]
    OUTCOME_INTERRUPTED: _ClassVar[Outcome]
    OUTCOME_ABANDONED: _ClassVar[Outcome]
MODE_UNSPECIFIED: Mode
MODE_SYNC: Mode
MODE_STREAM: Mode
MODE_JOB: Mode
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_SUCCEEDED: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_BROKEN: Outcome
OUTCOME_CANCELLED: Outcome
OUTCOME_INTERRUPTED: Outcome
OUTCOME_ABANDONED: Outcome

class Request(_message.Message):
    __slots__ = ("id", "status", "kind", "mode", "endpoint", "door", "caller", "model", "served_model", "provider", "accepted_at", "finished_at", "deadline", "timings", "attempts", "decision", "candidates", "rules_version", "usage", "cost_usd", "error", "durability", "workflow_id", "workflow_url", "trace_id", "client_request_id", "tags", "metadata", "prompt", "answer", "registry_version", "decisions", "facts", "cost_corrected", "cost_corrected_usd")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    DOOR_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SERVED_MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_URL_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    COST_CORRECTED_FIELD_NUMBER: _ClassVar[int]
    COST_CORRECTED_USD_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: _common_pb2.Status
    kind: str
    mode: Mode
    endpoint: str
    door: str
    caller: str
    model: str
    served_model: str
    provider: str
    accepted_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    deadline: _timestamp_pb2.Timestamp
    timings: Timings
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    decision: _containers.RepeatedScalarFieldContainer[str]
    candidates: _containers.RepeatedScalarFieldContainer[str]
    rules_version: str
    usage: _common_pb2.TokenUsage
    cost_usd: str
    error: _common_pb2.Failure
    durability: _common_pb2.Durability
    workflow_id: str
    workflow_url: str
    trace_id: str
    client_request_id: str
    tags: _containers.ScalarMap[str, str]
    metadata: _containers.ScalarMap[str, str]
    prompt: str
    answer: str
    registry_version: str
    decisions: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Decision]
    facts: RequestFacts
    cost_corrected: bool
    cost_corrected_usd: str
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., kind: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., endpoint: _Optional[str] = ..., door: _Optional[str] = ..., caller: _Optional[str] = ..., model: _Optional[str] = ..., served_model: _Optional[str] = ..., provider: _Optional[str] = ..., accepted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., decision: _Optional[_Iterable[str]] = ..., candidates: _Optional[_Iterable[str]] = ..., rules_version: _Optional[str] = ..., usage: _Optional[_Union[_common_pb2.TokenUsage, _Mapping]] = ..., cost_usd: _Optional[str] = ..., error: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., workflow_id: _Optional[str] = ..., workflow_url: _Optional[str] = ..., trace_id: _Optional[str] = ..., client_request_id: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., prompt: _Optional[str] = ..., answer: _Optional[str] = ..., registry_version: _Optional[str] = ..., decisions: _Optional[_Iterable[_Union[_decision_pb2.Decision, _Mapping]]] = ..., facts: _Optional[_Union[RequestFacts, _Mapping]] = ..., cost_corrected: _Optional[bool] = ..., cost_corrected_usd: _Optional[str] = ...) -> None: ...

class RequestFacts(_message.Message):
    __slots__ = ("input_tokens", "max_output", "body_bytes", "needs", "images", "conversation", "select", "prefer", "exclude", "max_cost_usd")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    SELECT_FIELD_NUMBER: _ClassVar[int]
    PREFER_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_USD_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    max_output: int
    body_bytes: int
    needs: _containers.RepeatedScalarFieldContainer[str]
    images: int
    conversation: str
    select: str
    prefer: str
    exclude: _containers.RepeatedScalarFieldContainer[str]
    max_cost_usd: str
    def __init__(self, input_tokens: _Optional[int] = ..., max_output: _Optional[int] = ..., body_bytes: _Optional[int] = ..., needs: _Optional[_Iterable[str]] = ..., images: _Optional[int] = ..., conversation: _Optional[str] = ..., select: _Optional[str] = ..., prefer: _Optional[str] = ..., exclude: _Optional[_Iterable[str]] = ..., max_cost_usd: _Optional[str] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("queue_ms", "overhead_ms", "first_token_ms", "total_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    OVERHEAD_MS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    overhead_ms: float
    first_token_ms: float
    total_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., overhead_ms: _Optional[float] = ..., first_token_ms: _Optional[float] = ..., total_ms: _Optional[float] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("number", "model", "provider", "upstream_model", "reason", "outcome", "started_at", "total_ms", "first_token_ms", "error", "usage", "cost_usd", "finish_reason", "provider_request_id", "cost_corrected", "cost_corrected_usd")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_MS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    COST_CORRECTED_FIELD_NUMBER: _ClassVar[int]
    COST_CORRECTED_USD_FIELD_NUMBER: _ClassVar[int]
    number: int
    model: str
    provider: str
    upstream_model: str
    reason: str
    outcome: Outcome
    started_at: _timestamp_pb2.Timestamp
    total_ms: float
    first_token_ms: float
    error: _common_pb2.Failure
    usage: _common_pb2.TokenUsage
    cost_usd: str
    finish_reason: str
    provider_request_id: str
    cost_corrected: bool
    cost_corrected_usd: str
    def __init__(self, number: _Optional[int] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., upstream_model: _Optional[str] = ..., reason: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., total_ms: _Optional[float] = ..., first_token_ms: _Optional[float] = ..., error: _Optional[_Union[_common_pb2.Failure, _Mapping]] = ..., usage: _Optional[_Union[_common_pb2.TokenUsage, _Mapping]] = ..., cost_usd: _Optional[str] = ..., finish_reason: _Optional[str] = ..., provider_request_id: _Optional[str] = ..., cost_corrected: _Optional[bool] = ..., cost_corrected_usd: _Optional[str] = ...) -> None: ...

class RequestsServiceGetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RequestsServiceGetResponse(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: Request
    def __init__(self, request: _Optional[_Union[Request, _Mapping]] = ...) -> None: ...

class RequestsServiceListRequest(_message.Message):
    __slots__ = ("caller", "model", "status", "since", "until", "limit", "after")
    CALLER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    caller: str
    model: str
    status: _common_pb2.Status
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    limit: int
    after: str
    def __init__(self, caller: _Optional[str] = ..., model: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., limit: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

class RequestsServiceListResponse(_message.Message):
    __slots__ = ("requests", "next_after")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[Request]
    next_after: str
    def __init__(self, requests: _Optional[_Iterable[_Union[Request, _Mapping]]] = ..., next_after: _Optional[str] = ...) -> None: ...
