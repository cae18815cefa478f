import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecisionStep(_message.Message):
    __slots__ = ("rule", "effect", "removed", "reasons")
    class RemovedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ReasonsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RULE_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    rule: str
    effect: str
    removed: _containers.ScalarMap[str, str]
    reasons: _containers.ScalarMap[str, str]
    def __init__(self, rule: _Optional[str] = ..., effect: _Optional[str] = ..., removed: _Optional[_Mapping[str, str]] = ..., reasons: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("ranked", "passed_over", "rule", "steps", "scores", "roll", "rules_version", "registry_version", "refused", "throttles", "terms", "hedge", "shadow")
    class PassedOverEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RANKED_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    ROLL_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    THROTTLES_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    HEDGE_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    ranked: _containers.RepeatedScalarFieldContainer[str]
    passed_over: _containers.ScalarMap[str, str]
    rule: str
    steps: _containers.RepeatedCompositeFieldContainer[DecisionStep]
    scores: _containers.ScalarMap[str, float]
    roll: float
    rules_version: str
    registry_version: str
    refused: DecisionRefusal
    throttles: _containers.RepeatedCompositeFieldContainer[DecisionThrottle]
    terms: DecisionTerms
    hedge: DecisionHedge
    shadow: DecisionShadow
    def __init__(self, ranked: _Optional[_Iterable[str]] = ..., passed_over: _Optional[_Mapping[str, str]] = ..., rule: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[DecisionStep, _Mapping]]] = ..., scores: _Optional[_Mapping[str, float]] = ..., roll: _Optional[float] = ..., rules_version: _Optional[str] = ..., registry_version: _Optional[str] = ..., refused: _Optional[_Union[DecisionRefusal, _Mapping]] = ..., throttles: _Optional[_Iterable[_Union[DecisionThrottle, _Mapping]]] = ..., terms: _Optional[_Union[DecisionTerms, _Mapping]] = ..., hedge: _Optional[_Union[DecisionHedge, _Mapping]] = ..., shadow: _Optional[_Union[DecisionShadow, _Mapping]] = ...) -> None: ...

class DecisionRefusal(_message.Message):
    __slots__ = ("code", "message", "rule")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    rule: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., rule: _Optional[str] = ...) -> None: ...

class DecisionThrottle(_message.Message):
    __slots__ = ("rule", "rate", "burst", "then")
    RULE_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    THEN_FIELD_NUMBER: _ClassVar[int]
    rule: str
    rate: float
    burst: float
    then: str
    def __init__(self, rule: _Optional[str] = ..., rate: _Optional[float] = ..., burst: _Optional[float] = ..., then: _Optional[str] = ...) -> None: ...

class DecisionTerms(_message.Message):
    __slots__ = ("durability", "attempts", "deadline", "cost_limit_usd", "log_content", "tags", "past_content_filter")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    COST_LIMIT_USD_FIELD_NUMBER: _ClassVar[int]
    LOG_CONTENT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PAST_CONTENT_FILTER_FIELD_NUMBER: _ClassVar[int]
    durability: str
    attempts: int
    deadline: _duration_pb2.Duration
    cost_limit_usd: str
    log_content: bool
    tags: _containers.ScalarMap[str, str]
    past_content_filter: bool
    def __init__(self, durability: _Optional[str] = ..., attempts: _Optional[int] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cost_limit_usd: _Optional[str] = ..., log_content: _Optional[bool] = ..., tags: _Optional[_Mapping[str, str]] = ..., past_content_filter: _Optional[bool] = ...) -> None: ...

class DecisionHedge(_message.Message):
    __slots__ = ("after", "max_extra", "max_extra_cost_usd")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    MAX_EXTRA_FIELD_NUMBER: _ClassVar[int]
    MAX_EXTRA_COST_USD_FIELD_NUMBER: _ClassVar[int]
    after: _duration_pb2.Duration
    max_extra: int
    max_extra_cost_usd: str
    def __init__(self, after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_extra: _Optional[int] = ..., max_extra_cost_usd: _Optional[str] = ...) -> None: ...

class DecisionShadow(_message.Message):
    __slots__ = ("model", "share")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    model: str
    share: float
    def __init__(self, model: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...
