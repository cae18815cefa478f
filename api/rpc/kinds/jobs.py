"""What a job asks and what it answered, of whatever kind, as typed messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from api.rpc.answered import chat_response
from api.rpc.asked import chat_body
from api.rpc.kinds.audio import speech_body, transcription_body, transcription_message
from api.rpc.kinds.completions import complete_body, complete_response
from api.rpc.kinds.embeddings import embed_body, embed_response
from api.rpc.kinds.images import edit_body, generate_body, images_message, vary_body
from api.rpc.kinds.moderations import moderate_body, moderate_response
from api.rpc.kinds.rerank import rerank_body, rerank_response
from api.rpc.reading import read
from api.rpc.values import struct_of
from api.service.ask import Incoming
from gateway import files
from gateway.domain.errors import InvalidRequest
from gateway.domain.operations import Operation
from gateway.storage.ports import JSON, KeptAnswer
from gateway.v1 import audio_pb2 as audio
from gateway.v1 import jobs_pb2 as pb


def _recording(request: audio.Recording) -> Incoming:
    return transcription_body(request.options, request.audio)


_BODIES: Final[Mapping[str, tuple[Operation, Callable[[Any], bytes | Incoming]]]] = {
    "chat": (Operation.CHAT, chat_body),
    "complete": (Operation.COMPLETIONS, complete_body),
    "edit_images": (Operation.IMAGE_EDITS, edit_body),
    "embed": (Operation.EMBEDDINGS, embed_body),
    "generate_images": (Operation.IMAGE_GENERATIONS, generate_body),
    "moderate": (Operation.MODERATIONS, moderate_body),
    "rerank": (Operation.RERANK, rerank_body),
    "speech": (Operation.SPEECH, speech_body),
    "transcribe": (Operation.TRANSCRIPTIONS, _recording),
    "translate": (Operation.TRANSLATIONS, _recording),
    "vary_images": (Operation.IMAGE_VARIATIONS, vary_body),
}
_STREAMED: Final[Mapping[str, Callable[..., bytes]]] = {"chat": chat_body, "complete": complete_body}
_RESULTS: Final[Mapping[Operation, tuple[str, Callable[[bytes], Any]]]] = {
    Operation.CHAT: ("chat", chat_response),
    Operation.COMPLETIONS: ("complete", complete_response),
    Operation.EMBEDDINGS: ("embed", embed_response),
    Operation.IMAGE_EDITS: ("images", images_message),
    Operation.IMAGE_GENERATIONS: ("images", images_message),
    Operation.IMAGE_VARIATIONS: ("images", images_message),
    Operation.MODERATIONS: ("moderate", moderate_response),
    Operation.RERANK: ("rerank", rerank_response),
}
_HEARD: Final = frozenset({Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS})


def job_body(request: pb.JobsServiceCreateRequest) -> dict[str, object]:
    """The endpoint and the body that `POST /api/v1/jobs` would have got, files inside. Raises InvalidRequest."""
    kind = request.WhichOneof("body")
    if kind is None:
        raise InvalidRequest("`chat` or another body is required.", param="chat")
    operation, body_of = _BODIES[kind]
    asked = getattr(request, kind)
    if request.stream:
        if kind not in _STREAMED:
            raise InvalidRequest(f"A job of `{kind}` cannot stream.", param="stream")
        body = _STREAMED[kind](asked, stream=True)
    else:
        body = body_of(asked)
    if isinstance(body, Incoming):
        fields = msgspec.json.decode(body.raw, type=dict[str, msgspec.Raw])
        body = files.inlined(fields, body.files).encode()
    return {"endpoint": operation.value, "body": msgspec.Raw(body)}


def job_result(endpoint: str, kept: KeptAnswer | None) -> dict[str, Any]:
    """The one field of a job that holds its result; none where there is none."""
    if kept is None:
        return {}
    operation = Operation(endpoint)
    if operation in _HEARD:
        return {"transcription": transcription_message(kept.body, kept.media_type)}
    if kept.media_type != JSON:
        return {"speech": audio.Sound(media_type=kept.media_type, data=kept.body)}
    if operation not in _RESULTS:
        return {"other": struct_of(read(kept.body))}
    name, message = _RESULTS[operation]
    return {name: message(kept.body)}
