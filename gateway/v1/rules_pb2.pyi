import datetime

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
