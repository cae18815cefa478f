"""`/v1/files` and `/v1/batches`: OpenAI's objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import StreamingResponse

from api.auth import authenticate
from api.headers import hints_of
from api.rest import bodies
from api.rest.openai.upload import receive_upload
from api.service.batches import BATCH, FILE, BatchesService, FilesService, bare
from gateway.domain.batches import Batch, BatchStatus, File
from gateway.domain.identity import Caller
from gateway.identity import Identify
from gateway.settings import Api
from gateway.storage.ports import FileFilter

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "purpose": {"type": "string", "description": "Before the file, or behind it."},
                        "file": {"type": "string", "format": "binary"},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer"},
                    },
                }
            }
        },
    }
}


class NewBatch(BaseModel):
    """What a batch is made of. `completion_window` is `24h`."""

    model_config = ConfigDict(extra="forbid")

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: Mapping[str, str] | None = None


def files_router(identity: Identify, service: FilesService, settings: Api) -> APIRouter:
    """The routes of files."""
    routes = APIRouter(prefix="/v1/files", tags=["batches"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    @routes.post("", openapi_extra=_FORM)
    async def create(request: Request) -> dict[str, Any]:
        """Hand over a file: a form with `file` and `purpose` (`batch` for a batch's input)."""
        caller = await who(request)
        headers = request.scope["gateway"]["headers"]
        upload, pieces = await receive_upload(request.receive, headers, settings.body_timeout)
        return file_shape(await service.create(caller, upload, pieces))

    @routes.get("")
    async def find(
        request: Request,
        purpose: str | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
        order: Literal["asc", "desc"] = "desc",
        after: str | None = None,
    ) -> dict[str, Any]:
        """The caller's files."""
        page = await service.find(
            await who(request), purpose=purpose, order=FileFilter(order), limit=limit, after=after
        )
        return _listed([file_shape(file) for file in page.rows], more=page.next_after is not None)

    @routes.get("/{file_id}")
    async def get(request: Request, file_id: str) -> dict[str, Any]:
        """One file."""
        return file_shape(await service.get(await who(request), file_id))

    @routes.get("/{file_id}/content")
    async def content(request: Request, file_id: str) -> StreamingResponse:
        """What is in a file."""
        file, parts = await service.content(await who(request), file_id)
        headers = {"content-length": str(file.bytes)}
        return StreamingResponse(parts, media_type="application/octet-stream", headers=headers)

    @routes.delete("/{file_id}")
    async def delete(request: Request, file_id: str) -> dict[str, Any]:
        """Forget a file."""
        file = await service.delete(await who(request), file_id)
        return {"id": FILE + bare(file.id), "object": "file", "deleted": True}

    return routes


def batches_router(identity: Identify, service: BatchesService, settings: Api) -> APIRouter:
    """The routes of batches."""
    routes = APIRouter(prefix="/v1/batches", tags=["batches"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    @routes.post("", openapi_extra=bodies.described(NewBatch))
    async def create(request: Request) -> dict[str, Any]:
        """Have the requests of a file run within a day, each a request of its own."""
        caller = await who(request)
        door = request.scope["gateway"]
        asked = await bodies.read(request, NewBatch, settings)
        batch = await service.create(
            caller,
            hints_of(door["headers"], door["span"], door["request_id"]),
            input_file=asked.input_file_id,
            endpoint=asked.endpoint,
            window=asked.completion_window,
            metadata=asked.metadata or {},
        )
        return batch_shape(batch)

    @routes.get("")
    async def find(
        request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 20, after: str | None = None
    ) -> dict[str, Any]:
        """The caller's batches, newest first."""
        page = await service.find(await who(request), limit=limit, after=after)
        return _listed([batch_shape(batch) for batch in page.rows], more=page.next_after is not None)

    @routes.get("/{batch_id}")
    async def get(request: Request, batch_id: str) -> dict[str, Any]:
        """One batch."""
        return batch_shape(await service.get(await who(request), batch_id))

    @routes.post("/{batch_id}/cancel")
    async def cancel(request: Request, batch_id: str) -> dict[str, Any]:
        """Ask for a batch's end: its status says when it has come, and what was done stays."""
        return batch_shape(await service.cancel(await who(request), batch_id))

    return routes


def _listed(rows: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    ends = (
        {"first_id": rows[0]["id"], "last_id": rows[-1]["id"]}
        if rows
        else {"first_id": None, "last_id": None}
    )
    return {"object": "list", "data": rows, **ends, "has_more": more}


def file_shape(file: File) -> dict[str, Any]:
    """A file as OpenAI shows it."""
    return {
        "id": FILE + bare(file.id),
        "object": "file",
        "bytes": file.bytes,
        "created_at": _seconds(file.created_at),
        "expires_at": _seconds(file.kept_until),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def batch_shape(batch: Batch) -> dict[str, Any]:
    """A batch as OpenAI shows it."""
    problems = [
        {"code": each.code, "message": each.message, "line": each.line, "param": each.param}
        for each in batch.problems
    ]
    counts = batch.counts
    return {
        "id": BATCH + bare(batch.id),
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": {"object": "list", "data": problems} if problems else None,
        "input_file_id": FILE + bare(batch.input_file),
        "completion_window": batch.window,
        "status": batch.status.value,
        "output_file_id": None if batch.output_file is None else FILE + bare(batch.output_file),
        "error_file_id": None if batch.error_file is None else FILE + bare(batch.error_file),
        "created_at": _seconds(batch.created_at),
        "in_progress_at": _reached(batch, BatchStatus.IN_PROGRESS),
        "expires_at": _seconds(batch.expires_at),
        "finalizing_at": _reached(batch, BatchStatus.FINALIZING),
        "completed_at": _reached(batch, BatchStatus.COMPLETED),
        "failed_at": _reached(batch, BatchStatus.FAILED),
        "expired_at": _reached(batch, BatchStatus.EXPIRED),
        "cancelling_at": _reached(batch, BatchStatus.CANCELLING),
        "cancelled_at": _reached(batch, BatchStatus.CANCELLED),
        "request_counts": {"total": counts.total, "completed": counts.completed, "failed": counts.failed},
        "metadata": dict(batch.metadata) or None,
    }


def _reached(batch: Batch, status: BatchStatus) -> int | None:
    return _seconds(batch.reached.get(status))


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
