import datetime

from gateway.v1 import common_pb2 as _common_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PriceParts(_message.Message):
    __slots__ = ("input_usd", "output_usd", "cached_input_usd", "cache_write_usd", "cache_write_1h_usd", "reasoning_usd", "audio_input_usd", "audio_output_usd", "image_input_usd", "image_output_usd", "image_usd", "request_usd", "gpu_second_usd", "audio_hour_usd", "million_characters_usd", "search_unit_usd")
    INPUT_USD_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_USD_FIELD_NUMBER: _ClassVar[int]
    CACHED_INPUT_USD_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_USD_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_1H_USD_FIELD_NUMBER: _ClassVar[int]
    REASONING_USD_FIELD_NUMBER: _ClassVar[int]
    AUDIO_INPUT_USD_FIELD_NUMBER: _ClassVar[int]
    AUDIO_OUTPUT_USD_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INPUT_USD_FIELD_NUMBER: _ClassVar[int]
    IMAGE_OUTPUT_USD_FIELD_NUMBER: _ClassVar[int]
    IMAGE_USD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_USD_FIELD_NUMBER: _ClassVar[int]
    GPU_SECOND_USD_FIELD_NUMBER: _ClassVar[int]
    AUDIO_HOUR_USD_FIELD_NUMBER: _ClassVar[int]
    MILLION_CHARACTERS_USD_FIELD_NUMBER: _ClassVar[int]
    SEARCH_UNIT_USD_FIELD_NUMBER: _ClassVar[int]
    input_usd: str
    output_usd: str
    cached_input_usd: str
    cache_write_usd: str
    cache_write_1h_usd: str
    reasoning_usd: str
    audio_input_usd: str
    audio_output_usd: str
    image_input_usd: str
    image_output_usd: str
    image_usd: str
    request_usd: str
    gpu_second_usd: str
    audio_hour_usd: str
    million_characters_usd: str
    search_unit_usd: str
    def __init__(self, input_usd: _Optional[str] = ..., output_usd: _Optional[str] = ..., cached_input_usd: _Optional[str] = ..., cache_write_usd: _Optional[str] = ..., cache_write_1h_usd: _Optional[str] = ..., reasoning_usd: _Optional[str] = ..., audio_input_usd: _Optional[str] = ..., audio_output_usd: _Optional[str] = ..., image_input_usd: _Optional[str] = ..., image_output_usd: _Optional[str] = ..., image_usd: _Optional[str] = ..., request_usd: _Optional[str] = ..., gpu_second_usd: _Optional[str] = ..., audio_hour_usd: _Optional[str] = ..., million_characters_usd: _Optional[str] = ..., search_unit_usd: _Optional[str] = ...) -> None: ...

class PriceTier(_message.Message):
    __slots__ = ("over", "prices")
    OVER_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    over: int
    prices: PriceParts
    def __init__(self, over: _Optional[int] = ..., prices: _Optional[_Union[PriceParts, _Mapping]] = ...) -> None: ...

class Price(_message.Message):
    __slots__ = ("id", "model", "since", "known", "prices", "tiers", "source", "actor", "created_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: str
    since: _timestamp_pb2.Timestamp
    known: bool
    prices: PriceParts
    tiers: _containers.RepeatedCompositeFieldContainer[PriceTier]
    source: str
    actor: str
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., model: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., known: _Optional[bool] = ..., prices: _Optional[_Union[PriceParts, _Mapping]] = ..., tiers: _Optional[_Iterable[_Union[PriceTier, _Mapping]]] = ..., source: _Optional[str] = ..., actor: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PricesServiceListRequest(_message.Message):
    __slots__ = ("model", "at", "limit", "after")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    model: str
    at: _timestamp_pb2.Timestamp
    limit: int
    after: str
    def __init__(self, model: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., limit: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

class PricesServiceListResponse(_message.Message):
    __slots__ = ("prices", "next_after")
    PRICES_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    prices: _containers.RepeatedCompositeFieldContainer[Price]
    next_after: str
    def __init__(self, prices: _Optional[_Iterable[_Union[Price, _Mapping]]] = ..., next_after: _Optional[str] = ...) -> None: ...

class PricesServiceGetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class PricesServiceGetResponse(_message.Message):
    __slots__ = ("price",)
    PRICE_FIELD_NUMBER: _ClassVar[int]
    price: Price
    def __init__(self, price: _Optional[_Union[Price, _Mapping]] = ...) -> None: ...

class PricesServiceAddRequest(_message.Message):
    __slots__ = ("model", "prices", "tiers", "since", "always", "unknown", "source", "force")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    ALWAYS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    model: str
    prices: PriceParts
    tiers: _containers.RepeatedCompositeFieldContainer[PriceTier]
    since: _timestamp_pb2.Timestamp
    always: bool
    unknown: bool
    source: str
    force: bool
    def __init__(self, model: _Optional[str] = ..., prices: _Optional[_Union[PriceParts, _Mapping]] = ..., tiers: _Optional[_Iterable[_Union[PriceTier, _Mapping]]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., always: _Optional[bool] = ..., unknown: _Optional[bool] = ..., source: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class PricesServiceAddResponse(_message.Message):
    __slots__ = ("price",)
    PRICE_FIELD_NUMBER: _ClassVar[int]
    price: Price
    def __init__(self, price: _Optional[_Union[Price, _Mapping]] = ...) -> None: ...

class PricesServiceEstimateRequest(_message.Message):
    __slots__ = ("model", "usage", "at", "took")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TOOK_FIELD_NUMBER: _ClassVar[int]
    model: str
    usage: _common_pb2.TokenUsage
    at: _timestamp_pb2.Timestamp
    took: _duration_pb2.Duration
    def __init__(self, model: _Optional[str] = ..., usage: _Optional[_Union[_common_pb2.TokenUsage, _Mapping]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., took: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Charge(_message.Message):
    __slots__ = ("part", "amount", "per", "price_usd", "cost_usd")
    PART_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    PER_FIELD_NUMBER: _ClassVar[int]
    PRICE_USD_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    part: str
    amount: str
    per: str
    price_usd: str
    cost_usd: str
    def __init__(self, part: _Optional[str] = ..., amount: _Optional[str] = ..., per: _Optional[str] = ..., price_usd: _Optional[str] = ..., cost_usd: _Optional[str] = ...) -> None: ...

class PricesServiceEstimateResponse(_message.Message):
    __slots__ = ("model", "at", "cost_usd", "unknown", "charges", "price_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    CHARGES_FIELD_NUMBER: _ClassVar[int]
    PRICE_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    at: _timestamp_pb2.Timestamp
    cost_usd: str
    unknown: _containers.RepeatedScalarFieldContainer[str]
    charges: _containers.RepeatedCompositeFieldContainer[Charge]
    price_id: str
    def __init__(self, model: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cost_usd: _Optional[str] = ..., unknown: _Optional[_Iterable[str]] = ..., charges: _Optional[_Iterable[_Union[Charge, _Mapping]]] = ..., price_id: _Optional[str] = ...) -> None: ...

class PricesServiceRepriceRequest(_message.Message):
    __slots__ = ("since", "until", "models", "dry_run", "reason")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    models: _containers.RepeatedScalarFieldContainer[str]
    dry_run: bool
    reason: str
    def __init__(self, since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., models: _Optional[_Iterable[str]] = ..., dry_run: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class PricesServiceRepriceResponse(_message.Message):
    __slots__ = ("repricing",)
    REPRICING_FIELD_NUMBER: _ClassVar[int]
    repricing: Repricing
    def __init__(self, repricing: _Optional[_Union[Repricing, _Mapping]] = ...) -> None: ...

class Repricing(_message.Message):
    __slots__ = ("id", "status", "since", "until", "models", "dry_run", "reason", "actor", "asked_at", "finished_at", "failure", "progress", "attempts", "changed", "unknown", "old_usd", "new_usd", "workflow_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    OLD_USD_FIELD_NUMBER: _ClassVar[int]
    NEW_USD_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: _common_pb2.Status
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    models: _containers.RepeatedScalarFieldContainer[str]
    dry_run: bool
    reason: str
    actor: str
    asked_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    failure: str
    progress: float
    attempts: int
    changed: int
    unknown: int
    old_usd: str
    new_usd: str
    workflow_id: str
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., models: _Optional[_Iterable[str]] = ..., dry_run: _Optional[bool] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., asked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failure: _Optional[str] = ..., progress: _Optional[float] = ..., attempts: _Optional[int] = ..., changed: _Optional[int] = ..., unknown: _Optional[int] = ..., old_usd: _Optional[str] = ..., new_usd: _Optional[str] = ..., workflow_id: _Optional[str] = ...) -> None: ...

class PricesServiceListRepricingsRequest(_message.Message):
    __slots__ = ("limit", "after")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    limit: int
    after: str
    def __init__(self, limit: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

class PricesServiceListRepricingsResponse(_message.Message):
    __slots__ = ("repricings", "next_after")
    REPRICINGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_FIELD_NUMBER: _ClassVar[int]
    repricings: _containers.RepeatedCompositeFieldContainer[Repricing]
    next_after: str
    def __init__(self, repricings: _Optional[_Iterable[_Union[Repricing, _Mapping]]] = ..., next_after: _Optional[str] = ...) -> None: ...

class PricesServiceGetRepricingRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class PricesServiceGetRepricingResponse(_message.Message):
    __slots__ = ("repricing",)
    REPRICING_FIELD_NUMBER: _ClassVar[int]
    repricing: Repricing
    def __init__(self, repricing: _Optional[_Union[Repricing, _Mapping]] = ...) -> None: ...

class PricesServiceCancelRepricingRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class PricesServiceCancelRepricingResponse(_message.Message):
    __slots__ = ("repricing",)
    REPRICING_FIELD_NUMBER: _ClassVar[int]
    repricing: Repricing
    def __init__(self, repricing: _Optional[_Union[Repricing, _Mapping]] = ...) -> None: ...
