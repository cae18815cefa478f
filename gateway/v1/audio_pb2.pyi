from gateway.v1 import common_pb2 as _common_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SpeechRequest(_message.Message):
    __slots__ = ("model", "input", "voice", "response_format", "speed", "instructions", "metadata", "gateway", "extras")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    VOICE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    model: str
    input: str
    voice: str
    response_format: str
    speed: float
    instructions: str
    metadata: _containers.ScalarMap[str, str]
    gateway: _common_pb2.GatewayOptions
    extras: _struct_pb2.Struct
    def __init__(self, model: _Optional[str] = ..., input: _Optional[str] = ..., voice: _Optional[str] = ..., response_format: _Optional[str] = ..., speed: _Optional[float] = ..., instructions: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., gateway: _Optional[_Union[_common_pb2.GatewayOptions, _Mapping]] = ..., extras: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class SpeechResponse(_message.Message):
    __slots__ = ("media_type", "audio", "served")
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    audio: bytes
    served: _common_pb2.Served
    def __init__(self, media_type: _Optional[str] = ..., audio: _Optional[bytes] = ..., served: _Optional[_Union[_common_pb2.Served, _Mapping]] = ...) -> None: ...

class Sound(_message.Message):
    __slots__ = ("media_type", "data")
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    data: bytes
    def __init__(self, media_type: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class TranscriptionOptions(_message.Message):
    __slots__ = ("model", "filename", "media_type", "language", "prompt", "response_format", "temperature", "timestamp_granularities", "include", "metadata", "gateway", "extras")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_GRANULARITIES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    model: str
    filename: str
    media_type: str
    language: str
    prompt: str
    response_format: str
    temperature: float
    timestamp_granularities: _containers.RepeatedScalarFieldContainer[str]
    include: _containers.RepeatedScalarFieldContainer[str]
    metadata: _containers.ScalarMap[str, str]
    gateway: _common_pb2.GatewayOptions
    extras: _struct_pb2.Struct
    def __init__(self, model: _Optional[str] = ..., filename: _Optional[str] = ..., media_type: _Optional[str] = ..., language: _Optional[str] = ..., prompt: _Optional[str] = ..., response_format: _Optional[str] = ..., temperature: _Optional[float] = ..., timestamp_granularities: _Optional[_Iterable[str]] = ..., include: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., gateway: _Optional[_Union[_common_pb2.GatewayOptions, _Mapping]] = ..., extras: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Recording(_message.Message):
    __slots__ = ("options", "audio")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    options: TranscriptionOptions
    audio: bytes
    def __init__(self, options: _Optional[_Union[TranscriptionOptions, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class TranscribeRequest(_message.Message):
    __slots__ = ("options", "audio")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    options: TranscriptionOptions
    audio: bytes
    def __init__(self, options: _Optional[_Union[TranscriptionOptions, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class TranscribeStreamRequest(_message.Message):
    __slots__ = ("options", "audio")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    options: TranscriptionOptions
    audio: bytes
    def __init__(self, options: _Optional[_Union[TranscriptionOptions, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class TranslateRequest(_message.Message):
    __slots__ = ("options", "audio")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    options: TranscriptionOptions
    audio: bytes
    def __init__(self, options: _Optional[_Union[TranscriptionOptions, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class Transcription(_message.Message):
    __slots__ = ("text", "task", "language", "duration", "words", "segments", "usage", "extras")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    text: str
    task: str
    language: str
    duration: float
    words: _containers.RepeatedCompositeFieldContainer[TranscriptionWord]
    segments: _containers.RepeatedCompositeFieldContainer[TranscriptionSegment]
    usage: TranscriptionUsage
    extras: _struct_pb2.Struct
    def __init__(self, text: _Optional[str] = ..., task: _Optional[str] = ..., language: _Optional[str] = ..., duration: _Optional[float] = ..., words: _Optional[_Iterable[_Union[TranscriptionWord, _Mapping]]] = ..., segments: _Optional[_Iterable[_Union[TranscriptionSegment, _Mapping]]] = ..., usage: _Optional[_Union[TranscriptionUsage, _Mapping]] = ..., extras: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class TranscriptionWord(_message.Message):
    __slots__ = ("word", "start", "end", "extras")
    WORD_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    word: str
    start: float
    end: float
    extras: _struct_pb2.Struct
    def __init__(self, word: _Optional[str] = ..., start: _Optional[float] = ..., end: _Optional[float] = ..., extras: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class TranscriptionSegment(_message.Message):
    __slots__ = ("start", "end", "text", "extras")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    start: float
    end: float
    text: str
    extras: _struct_pb2.Struct
    def __init__(self, start: _Optional[float] = ..., end: _Optional[float] = ..., text: _Optional[str] = ..., extras: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class TranscriptionUsage(_message.Message):
    __slots__ = ("type", "input_tokens", "output_tokens", "total_tokens", "seconds", "extras")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    type: str
    input_tokens: int
    output_tokens: int
    total_tokens: int
    seconds: float
    extras: _struct_pb2.Struct
    def __init__(self, type: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., total_tokens: _Optional[int] = ..., seconds: _Optional[float] = ..., extras: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class TranscribeResponse(_message.Message):
    __slots__ = ("transcription", "served")
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    transcription: Transcription
    served: _common_pb2.Served
    def __init__(self, transcription: _Optional[_Union[Transcription, _Mapping]] = ..., served: _Optional[_Union[_common_pb2.Served, _Mapping]] = ...) -> None: ...

class TranslateResponse(_message.Message):
    __slots__ = ("transcription", "served")
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    transcription: Transcription
    served: _common_pb2.Served
    def __init__(self, transcription: _Optional[_Union[Transcription, _Mapping]] = ..., served: _Optional[_Union[_common_pb2.Served, _Mapping]] = ...) -> None: ...

class TranscriptEvent(_message.Message):
    __slots__ = ("type", "delta", "text", "usage", "extras")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    type: str
    delta: str
    text: str
    usage: TranscriptionUsage
    extras: _struct_pb2.Struct
    def __init__(self, type: _Optional[str] = ..., delta: _Optional[str] = ..., text: _Optional[str] = ..., usage: _Optional[_Union[TranscriptionUsage, _Mapping]] = ..., extras: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class TranscribeStreamResponse(_message.Message):
    __slots__ = ("transcript", "served")
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    transcript: TranscriptEvent
    served: _common_pb2.Served
    def __init__(self, transcript: _Optional[_Union[TranscriptEvent, _Mapping]] = ..., served: _Optional[_Union[_common_pb2.Served, _Mapping]] = ...) -> None: ...
