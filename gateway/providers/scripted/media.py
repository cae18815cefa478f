"""Pictures and sounds of scripted models: the smallest that are valid, and texts that tell what was heard."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from gateway.providers.scripted.dialect import JSON, Unreadable, pieces
from gateway.providers.scripted.script import Script

CREATED: Final = 1_767_225_600
RATE: Final = 8_000  # samples a second, of one byte
_SOUNDS: Final = {"mp3": b"audio/mpeg", "opus": b"audio/opus", "aac": b"audio/aac", "flac": b"audio/flac"}
Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """An answer: whole, or as `events` if it is streamed, which ends with `end`.

    Events that are not `framed` are pieces of a body of this `kind`.
    """

    body: bytes
    events: tuple[bytes, ...] = ()
    kind: bytes = JSON
    framed: bool = True
    end: tuple[bytes, ...] = (b"data: [DONE]\n\n",)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form."""

    filename: str
    media_type: str
    data: bytes


def used(script: Script, usage: Mapping[str, object]) -> dict[str, object]:
    """The usage of an answer as a field of it, as the script has it."""
    if isinstance(script.usage, str):
        return {}
    return {"usage": usage if script.usage is None else script.usage}


def form_of(kind: bytes, body: bytes) -> dict[str, Any]:
    """The fields and files of a form; several of one name are a list. Raises Unreadable."""
    _, found, boundary = kind.partition(b"boundary=")
    if not found:
        raise Unreadable("Could not read the form: it names no boundary")
    fields: dict[str, Any] = {}
    for part in body.split(b"--" + boundary.strip(b'" '))[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n"))
        disposition = _params(head)
        value: Any = data.removesuffix(b"\r\n")
        if b"filename" in disposition:
            media_type = lines.get(b"content-type", b"").decode()
            value = Upload(disposition[b"filename"].decode(), media_type, value)
        elif (script := disposition[b"name"]).startswith(b"x_script["):
            fields.setdefault("x_script", {})[script[9:-1].decode()] = _plainly(value)
            continue
        else:
            value = {b"true": True, b"false": False}.get(value, value.decode())
        name = disposition[b"name"].decode()
        if name.endswith("[]"):
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = value
    return fields


def _plainly(value: bytes) -> Any:
    """A number or a truth value that came as a text, or the text."""
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value.decode()


def _params(head: bytes) -> dict[bytes, bytes]:
    line = next(each for each in head.split(b"\r\n") if each.lower().startswith(b"content-disposition"))
    params = (each.strip().partition(b"=") for each in line.split(b";")[1:])
    return {name.lower(): value.strip(b'"') for name, _, value in params}


# ---- pictures ----------------------------------------------------------------------------------------------------
def png(seed: str) -> bytes:
    """One pixel whose colour tells what was asked."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0" + sha256(seed.encode()).digest()[:3])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


def images(asked: Fields, script: Script) -> Spoken:
    """As many as are wanted, and streamed as many unfinished ones first."""
    given = [each for each in asked.values() if isinstance(each, Upload)]
    for each in asked.values():
        given += [item for item in each if isinstance(item, Upload)] if isinstance(each, list) else []
    prompt, count = str(asked.get("prompt", "")), int(asked.get("n") or 1)
    usage = used(
        script,
        {
            "input_tokens": len(prompt.split()) + 10 * len(given),
            "output_tokens": 20 * count,
            "total_tokens": len(prompt.split()) + 10 * len(given) + 20 * count,
            "input_tokens_details": {"text_tokens": len(prompt.split()), "image_tokens": 10 * len(given)},
        },
    )

    def picture(i: int) -> str:
        return base64.b64encode(png(f"{prompt} {i} {[sha256(f.data).hexdigest() for f in given]}")).decode()

    if asked.get("response_format") == "url":
        data = [{"url": f"http://pictures.invalid/{i}.png"} for i in range(count)]
    else:
        data = [{"b64_json": picture(i)} for i in range(count)]
    kind = "image_edit" if given or asked.get("images") else "image_generation"
    told = {
        "created_at": CREATED,
        "size": "1x1",
        "quality": "low",
        "background": "opaque",
        "output_format": "png",
    }
    parts = [
        {"type": f"{kind}.partial_image", "b64_json": picture(-i), "partial_image_index": i, **told}
        for i in range(int(asked.get("partial_images") or 0))
    ]
    events = [*parts, {"type": f"{kind}.completed", "b64_json": picture(0), **told, **usage}]
    whole = {"created": CREATED, "data": data, **usage}
    return Spoken(msgspec.json.encode(whole), tuple(map(_named, events)), end=())


def _named(event: dict[str, Any]) -> bytes:
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"


def _plain(event: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(event) + b"\n\n"


# ---- sounds ------------------------------------------------------------------------------------------------------
def wav(samples: bytes) -> bytes:
    """Samples of one byte, RATE a second, as RIFF WAVE."""
    fmt = struct.pack("<HHIIHH", 1, 1, RATE, RATE, 1, 8)
    body = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def speech(asked: Fields, script: Script) -> Spoken:
    """A tenth of a second for each word, as a sound of the text's own, or as events with pieces of it."""
    words = str(asked.get("input", "")).split()
    sound = wav(b"".join((sha256(word.encode()).digest() * 25)[: RATE // 10] for word in words))
    step = -(-len(sound) // max(len(words), 1))
    parts = tuple(sound[i : i + step] for i in range(0, len(sound), step))
    if asked.get("stream_format") == "sse":
        usage = {"input_tokens": len(words), "output_tokens": len(words), "total_tokens": 2 * len(words)}
        events = [{"type": "speech.audio.delta", "audio": base64.b64encode(part).decode()} for part in parts]
        last = {"type": "speech.audio.done", **used(script, usage)}
        return Spoken(sound, (*map(_plain, events), _plain(last)), b"audio/wav", end=())
    kind = _SOUNDS.get(str(asked.get("response_format", "wav")), b"audio/wav")
    return Spoken(sound, parts, kind, framed=False, end=())


def transcription(asked: Fields, script: Script) -> Spoken:
    """The script's text, or what file was heard; in the format that is wanted."""
    file = asked["file"]
    if not isinstance(file, Upload):
        raise Unreadable("Could not read the request: `file` is no file")
    heard = f"heard {len(file.data)} bytes of {file.filename}"
    text = heard if script.text is None else "".join(pieces(script))
    seconds = max(len(file.data) // RATE, 1)
    usage = used(script, {"type": "duration", "seconds": seconds})
    end = f"00:00:{seconds:02d}"
    done = {"type": "transcript.text.done", "text": text, **usage}
    deltas = [{"type": "transcript.text.delta", "delta": word + " "} for word in text.split()]
    events = tuple(_plain(event) for event in (*deltas, done))
    match asked.get("response_format", "json"):
        case "text":
            return Spoken(text.encode() + b"\n", events, b"text/plain; charset=utf-8")
        case "srt":
            body = f"1\n00:00:00,000 --> {end},000\n{text}\n\n"
            return Spoken(body.encode(), events, b"text/plain; charset=utf-8")
        case "vtt":
            body = f"WEBVTT\n\n00:00:00.000 --> {end}.000\n{text}\n\n"
            return Spoken(body.encode(), events, b"text/vtt; charset=utf-8")
        case "verbose_json":
            whole = {
                "task": "transcribe",
                "language": "english",
                "duration": float(seconds),
                "text": text,
                "segments": [
                    {"id": 0, "start": 0.0, "end": float(seconds), "text": text, "temperature": 0.0}
                ],
                "words": [{"word": word, "start": 0.0, "end": 0.1} for word in text.split()],
                **usage,
            }
            return Spoken(msgspec.json.encode(whole), events)
        case _:
            return Spoken(msgspec.json.encode({"text": text, **usage}), events)
