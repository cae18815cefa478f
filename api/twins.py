"""Which REST operation each rpc is the twin of: the same question, the same answer, the same error at both doors."""

from __future__ import annotations

from types import MappingProxyType

TWINS = MappingProxyType(
    {
        "gateway.v1.InferenceService.Chat": ("POST", "/v1/chat/completions"),
        "gateway.v1.InferenceService.ChatStream": ("POST", "/v1/chat/completions"),
        "gateway.v1.InferenceService.Complete": ("POST", "/v1/completions"),
        "gateway.v1.InferenceService.CompleteStream": ("POST", "/v1/completions"),
        "gateway.v1.InferenceService.Embed": ("POST", "/v1/embeddings"),
        "gateway.v1.InferenceService.EditImages": ("POST", "/v1/images/edits"),
        "gateway.v1.InferenceService.EditImagesStream": ("POST", "/v1/images/edits"),
        "gateway.v1.InferenceService.GenerateImages": ("POST", "/v1/images/generations"),
        "gateway.v1.InferenceService.GenerateImagesStream": ("POST", "/v1/images/generations"),
        "gateway.v1.InferenceService.Moderate": ("POST", "/v1/moderations"),
        "gateway.v1.InferenceService.Rerank": ("POST", "/v1/rerank"),
        "gateway.v1.InferenceService.Speech": ("POST", "/v1/audio/speech"),
        "gateway.v1.InferenceService.Transcribe": ("POST", "/v1/audio/transcriptions"),
        "gateway.v1.InferenceService.TranscribeStream": ("POST", "/v1/audio/transcriptions"),
        "gateway.v1.InferenceService.Translate": ("POST", "/v1/audio/translations"),
        "gateway.v1.InferenceService.VaryImages": ("POST", "/v1/images/variations"),
        "gateway.v1.JobsService.Cancel": ("POST", "/api/v1/jobs/{job_id}/cancel"),
        "gateway.v1.JobsService.Create": ("POST", "/api/v1/jobs"),
        "gateway.v1.JobsService.Delete": ("DELETE", "/api/v1/jobs/{job_id}"),
        "gateway.v1.JobsService.Get": ("GET", "/api/v1/jobs/{job_id}"),
        "gateway.v1.JobsService.GetResult": ("GET", "/api/v1/jobs/{job_id}/result"),
        "gateway.v1.JobsService.List": ("GET", "/api/v1/jobs"),
        "gateway.v1.JobsService.Redeliver": ("POST", "/api/v1/jobs/{job_id}/deliveries"),
        "gateway.v1.JobsService.Watch": ("GET", "/api/v1/jobs/{job_id}/events"),
        "gateway.v1.LiveService.Get": ("GET", "/api/v1/models/{name}/live"),
        "gateway.v1.ModelsService.Get": ("GET", "/v1/models/{name}"),
        "gateway.v1.ModelsService.List": ("GET", "/v1/models"),
        "gateway.v1.PricesService.Add": ("POST", "/api/v1/prices"),
        "gateway.v1.PricesService.CancelRepricing": ("POST", "/api/v1/prices/reprice/{repricing_id}/cancel"),
        "gateway.v1.PricesService.Estimate": ("POST", "/api/v1/prices/estimate"),
        "gateway.v1.PricesService.Get": ("GET", "/api/v1/prices/{price_id}"),
        "gateway.v1.PricesService.GetRepricing": ("GET", "/api/v1/prices/reprice/{repricing_id}"),
        "gateway.v1.PricesService.List": ("GET", "/api/v1/prices"),
        "gateway.v1.PricesService.ListRepricings": ("GET", "/api/v1/prices/reprice"),
        "gateway.v1.PricesService.Reprice": ("POST", "/api/v1/prices/reprice"),
        "gateway.v1.RequestsService.Get": ("GET", "/api/v1/requests/{request_id}"),
        "gateway.v1.RequestsService.List": ("GET", "/api/v1/requests"),
        "gateway.v1.RulesService.Explain": ("POST", "/api/v1/rules/explain"),
        "gateway.v1.RulesService.Get": ("GET", "/api/v1/rules"),
        "gateway.v1.RulesService.GetVersion": ("GET", "/api/v1/rules/versions/{version}"),
        "gateway.v1.RulesService.ListVersions": ("GET", "/api/v1/rules/versions"),
        "gateway.v1.RulesService.Publish": ("POST", "/api/v1/rules/publish"),
        "gateway.v1.RulesService.Rollback": ("POST", "/api/v1/rules/rollback"),
        "gateway.v1.RulesService.GetSimulation": ("GET", "/api/v1/rules/simulations/{simulation_id}"),
        "gateway.v1.RulesService.Simulate": ("POST", "/api/v1/rules/simulate"),
        "gateway.v1.RulesService.Validate": ("POST", "/api/v1/rules/validate"),
        "gateway.v1.UsageService.Query": ("GET", "/api/v1/usage"),
        "gateway.v1.WebhooksService.CreateSecret": ("POST", "/api/v1/webhooks/secret"),
        "gateway.v1.WebhooksService.GetSecrets": ("GET", "/api/v1/webhooks/secret"),
        "gateway.v1.WebhooksService.RotateSecret": ("POST", "/api/v1/webhooks/secret/rotate"),
        "gateway.v1.RegistryService.Create": ("POST", "/api/v1/models"),
        "gateway.v1.RegistryService.Delete": ("DELETE", "/api/v1/models/{name}"),
        "gateway.v1.RegistryService.DeleteAlias": ("DELETE", "/api/v1/aliases/{name}"),
        "gateway.v1.RegistryService.Disable": ("POST", "/api/v1/models/{name}/disable"),
        "gateway.v1.RegistryService.Discover": ("POST", "/api/v1/models/discover"),
        "gateway.v1.RegistryService.Drain": ("POST", "/api/v1/models/{name}/drain"),
        "gateway.v1.RegistryService.Enable": ("POST", "/api/v1/models/{name}/enable"),
        "gateway.v1.RegistryService.Export": ("GET", "/api/v1/models/export"),
        "gateway.v1.RegistryService.Get": ("GET", "/api/v1/models/{name}"),
        "gateway.v1.RegistryService.Import": ("POST", "/api/v1/models/import"),
        "gateway.v1.RegistryService.List": ("GET", "/api/v1/models"),
        "gateway.v1.RegistryService.ListAliases": ("GET", "/api/v1/aliases"),
        "gateway.v1.RegistryService.ListChanges": ("GET", "/api/v1/models/changes"),
        "gateway.v1.RegistryService.PutAlias": ("PUT", "/api/v1/aliases/{name}"),
        "gateway.v1.RegistryService.Replace": ("PUT", "/api/v1/models/{name}"),
        "gateway.v1.RegistryService.Test": ("POST", "/api/v1/models/{name}/test"),
        "gateway.v1.RegistryService.Update": ("PATCH", "/api/v1/models/{name}"),
    }
)
"""By the rpc's full name: method and path, as the route says it (`{name}` for the route's `{name:path}`)."""

_OPENAIS = "OpenAI's own objects, for its SDKs: gRPC has JobsService"

ALONE = MappingProxyType(
    {
        ("POST", "/v1/messages"): "another dialect of Chat and ChatStream; JobsService takes its bodies too",
        ("POST", "/v1/files"): _OPENAIS,
        ("GET", "/v1/files"): _OPENAIS,
        ("GET", "/v1/files/{file_id}"): _OPENAIS,
        ("GET", "/v1/files/{file_id}/content"): _OPENAIS,
        ("DELETE", "/v1/files/{file_id}"): _OPENAIS,
        ("POST", "/v1/batches"): _OPENAIS,
        ("GET", "/v1/batches"): _OPENAIS,
        ("GET", "/v1/batches/{batch_id}"): _OPENAIS,
        ("POST", "/v1/batches/{batch_id}/cancel"): _OPENAIS,
        ("POST", "/v1/messages/count_tokens"): "belongs to that dialect alone",
    }
)
"""REST operations without a twin, and why they need none."""

REST_ALONE = MappingProxyType(
    {
        "/v1/responses": "a dialect of the kind chat: gRPC callers have Chat, ChatStream and JobsService",
        "/v1/conversations": "what /v1/responses goes on with",
    }
)
"""Paths, with all below them, that have no rpc, and why."""
