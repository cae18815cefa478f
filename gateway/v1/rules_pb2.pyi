import datetime

from gateway.v1 import common_pb2 as _common_pb2
from gateway.v1 import decision_pb2 as _decision_pb2
from gateway.v1 import inference_pb2 as _inference_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RuleVersion(_message.Message):
    __slots__ = ("number", "text", "digest", "author", "note", "created_at", "in_force", "since")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    number: int
    text: str
    digest: str
    author: str
    note: str
    created_at: _timestamp_pb2.Timestamp
    in_force: bool
    since: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., text: _Optional[str] = ..., digest: _Optional[str] = ..., author: _Optional[str] = ..., note: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., in_force: _Optional[bool] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RuleProblem(_message.Message):
    __slots__ = ("line", "rule", "key", "message", "nearest")
    LINE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    line: int
    rule: str
    key: str
    message: str
    nearest: str
    def __init__(self, line: _Optional[int] = ..., rule: _Optional[str] = ..., key: _Optional[str] = ..., message: _Optional[str] = ..., nearest: _Optional[str] = ...) -> None: ...

class RulesServiceGetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RulesServiceGetResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: RuleVersion
    def __init__(self, version: _Optional[_Union[RuleVersion, _Mapping]] = ...) -> None: ...

class RulesServiceGetVersionRequest(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class RulesServiceGetVersionResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: RuleVersion
    def __init__(self, version: _Optional[_Union[RuleVersion, _Mapping]] = ...) -> None: ...

class RulesServiceListVersionsRequest(_message.Message):
    __slots__ = ("limit", "after")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    limit: int
    after: str
    def __init__(self, limit: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

class RulesServiceListVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_after")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[RuleVersion]
    next_after: str
    def __init__(self, versions: _Optional[_Iterable[_Union[RuleVersion, _Mapping]]] = ..., next_after: _Optional[str] = ...) -> None: ...

class RulesServiceValidateRequest(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class RulesServiceValidateResponse(_message.Message):
    __slots__ = ("valid", "problems", "digest", "canonical", "rules")
    VALID_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CANONICAL_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    problems: _containers.RepeatedCompositeFieldContainer[RuleProblem]
    digest: str
    canonical: str
    rules: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, valid: _Optional[bool] = ..., problems: _Optional[_Iterable[_Union[RuleProblem, _Mapping]]] = ..., digest: _Optional[str] = ..., canonical: _Optional[str] = ..., rules: _Optional[_Iterable[str]] = ...) -> None: ...

class RulesServiceExplainRequest(_message.Message):
    __slots__ = ("text", "version", "chat", "request_id", "asking", "roll")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ASKING_FIELD_NUMBER: _ClassVar[int]
    ROLL_FIELD_NUMBER: _ClassVar[int]
    text: str
    version: int
    chat: _inference_pb2.ChatRequest
    request_id: str
    asking: ExplainAs
    roll: float
    def __init__(self, text: _Optional[str] = ..., version: _Optional[int] = ..., chat: _Optional[_Union[_inference_pb2.ChatRequest, _Mapping]] = ..., request_id: _Optional[str] = ..., asking: _Optional[_Union[ExplainAs, _Mapping]] = ..., roll: _Optional[float] = ...) -> None: ...

class ExplainAs(_message.Message):
    __slots__ = ("name", "kind", "tags", "models")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    tags: _containers.ScalarMap[str, str]
    models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ..., models: _Optional[_Iterable[str]] = ...) -> None: ...

class RulesServiceExplainResponse(_message.Message):
    __slots__ = ("decision", "facts_age", "actual_model")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    FACTS_AGE_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_MODEL_FIELD_NUMBER: _ClassVar[int]
    decision: _decision_pb2.Decision
    facts_age: _duration_pb2.Duration
    actual_model: str
    def __init__(self, decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ..., facts_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., actual_model: _Optional[str] = ...) -> None: ...

class RulesServicePublishRequest(_message.Message):
    __slots__ = ("text", "note", "expected_version")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    text: str
    note: str
    expected_version: int
    def __init__(self, text: _Optional[str] = ..., note: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class RulesServicePublishResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: RuleVersion
    def __init__(self, version: _Optional[_Union[RuleVersion, _Mapping]] = ...) -> None: ...

class RulesServiceRollbackRequest(_message.Message):
    __slots__ = ("number", "note", "expected_version")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    number: int
    note: str
    expected_version: int
    def __init__(self, number: _Optional[int] = ..., note: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class RulesServiceRollbackResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: RuleVersion
    def __init__(self, version: _Optional[_Union[RuleVersion, _Mapping]] = ...) -> None: ...

class RulesServiceSimulateRequest(_message.Message):
    __slots__ = ("text", "version", "since", "until", "limit")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    text: str
    version: int
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    limit: int
    def __init__(self, text: _Optional[str] = ..., version: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class RulesServiceSimulateResponse(_message.Message):
    __slots__ = ("simulation",)
    SIMULATION_FIELD_NUMBER: _ClassVar[int]
    simulation: Simulation
    def __init__(self, simulation: _Optional[_Union[Simulation, _Mapping]] = ...) -> None: ...

class RulesServiceGetSimulationRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RulesServiceGetSimulationResponse(_message.Message):
    __slots__ = ("simulation",)
    SIMULATION_FIELD_NUMBER: _ClassVar[int]
    simulation: Simulation
    def __init__(self, simulation: _Optional[_Union[Simulation, _Mapping]] = ...) -> None: ...

class Simulation(_message.Message):
    __slots__ = ("id", "status", "version", "digest", "since", "until", "limit", "created_at", "completed_at", "done", "total", "error", "report")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: _common_pb2.Status
    version: int
    digest: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    limit: int
    created_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    done: int
    total: int
    error: str
    report: SimulationReport
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., version: _Optional[int] = ..., digest: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., limit: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., error: _Optional[str] = ..., report: _Optional[_Union[SimulationReport, _Mapping]] = ...) -> None: ...

class SimulationReport(_message.Message):
    __slots__ = ("requests", "moved", "refused", "cost_usd", "estimated_cost_usd", "cost_unknown", "p50_ms", "estimated_p50_ms", "latency_unknown", "moves", "moves_left", "examples")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COST_USD_FIELD_NUMBER: _ClassVar[int]
    COST_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_P50_MS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    MOVES_LEFT_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    requests: int
    moved: int
    refused: int
    cost_usd: str
    estimated_cost_usd: str
    cost_unknown: int
    p50_ms: float
    estimated_p50_ms: float
    latency_unknown: int
    moves: _containers.RepeatedCompositeFieldContainer[SimulationMove]
    moves_left: int
    examples: _containers.RepeatedCompositeFieldContainer[SimulationExample]
    def __init__(self, requests: _Optional[int] = ..., moved: _Optional[int] = ..., refused: _Optional[int] = ..., cost_usd: _Optional[str] = ..., estimated_cost_usd: _Optional[str] = ..., cost_unknown: _Optional[int] = ..., p50_ms: _Optional[float] = ..., estimated_p50_ms: _Optional[float] = ..., latency_unknown: _Optional[int] = ..., moves: _Optional[_Iterable[_Union[SimulationMove, _Mapping]]] = ..., moves_left: _Optional[int] = ..., examples: _Optional[_Iterable[_Union[SimulationExample, _Mapping]]] = ...) -> None: ...

class SimulationMove(_message.Message):
    __slots__ = ("to", "requests", "cost_usd", "estimated_cost_usd", "cost_unknown")
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COST_USD_FIELD_NUMBER: _ClassVar[int]
    COST_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    to: str
    requests: int
    cost_usd: str
    estimated_cost_usd: str
    cost_unknown: int
    def __init__(self, to: _Optional[str] = ..., requests: _Optional[int] = ..., cost_usd: _Optional[str] = ..., estimated_cost_usd: _Optional[str] = ..., cost_unknown: _Optional[int] = ..., **kwargs) -> None: ...

class SimulationExample(_message.Message):
    __slots__ = ("request_id", "to", "rule", "why")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    to: str
    rule: str
    why: str
    def __init__(self, request_id: _Optional[str] = ..., to: _Optional[str] = ..., rule: _Optional[str] = ..., why: _Optional[str] = ..., **kwargs) -> None: ...
