from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_UNSPECIFIED: _ClassVar[Durability]
    DURABILITY_OVERLAPPED: _ClassVar[Durability]
    DURABILITY_START_FIRST: _ClassVar[Durability]
    DURABILITY_DEGRADED: _ClassVar[Durability]

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_QUEUED: _ClassVar[Status]
    STATUS_IN_PROGRESS: _ClassVar[Status]
    STATUS_COMPLETED: _ClassVar[Status]
    STATUS_FAILED: _ClassVar[Status]
    STATUS_CANCELLED: _ClassVar[Status]
    STATUS_EXPIRED: _ClassVar[Status]
DURABILITY_UNSPECIFIED: Durability
DURABILITY_OVERLAPPED: Durability
DURABILITY_START_FIRST: Durability
DURABILITY_DEGRADED: Durability
STATUS_UNSPECIFIED: Status
STATUS_QUEUED: Status
STATUS_IN_PROGRESS: Status
STATUS_COMPLETED: Status
STATUS_FAILED: Status
STATUS_CANCELLED: Status
STATUS_EXPIRED: Status

class Failure(_message.Message):
    __slots__ = ("code", "message", "param", "status", "detail")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PARAM_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    param: str
    status: int
    detail: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., param: _Optional[str] = ..., status: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class TokenUsage(_message.Message):
    __slots__ = ("input", "output", "cached", "reasoning", "estimated", "cache_write", "cache_write_1h", "audio_input", "audio_output", "image_input", "image_output", "images", "audio_seconds")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_1H_FIELD_NUMBER: _ClassVar[int]
    AUDIO_INPUT_FIELD_NUMBER: _ClassVar[int]
    AUDIO_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INPUT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    AUDIO_SECONDS_FIELD_NUMBER: _ClassVar[int]
    input: int
    output: int
    cached: int
    reasoning: int
    estimated: bool
    cache_write: int
    cache_write_1h: int
    audio_input: int
    audio_output: int
    image_input: int
    image_output: int
    images: int
    audio_seconds: float
    def __init__(self, input: _Optional[int] = ..., output: _Optional[int] = ..., cached: _Optional[int] = ..., reasoning: _Optional[int] = ..., estimated: _Optional[bool] = ..., cache_write: _Optional[int] = ..., cache_write_1h: _Optional[int] = ..., audio_input: _Optional[int] = ..., audio_output: _Optional[int] = ..., image_input: _Optional[int] = ..., image_output: _Optional[int] = ..., images: _Optional[int] = ..., audio_seconds: _Optional[float] = ...) -> None: ...
