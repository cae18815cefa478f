"""Every way a request can end badly, told apart by its code.

A class's docstring is the message a caller may read; `detail` is for operators and never leaves the gateway's own
records. `api/errors.py` holds the one table from code to HTTP, gRPC and dialect shapes.
"""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any, ClassVar


class GatewayError(Exception):
    """Something in the gateway went wrong."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = False  # whether another model may serve what this one never will
    unsent: ClassVar[bool] = (
        False  # whether the upstream cannot have heard of it, so that nothing is to be paid
    )

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        detail: str | None = None,
        retry_after: timedelta | None = None,
        status: int | None = None,
    ) -> None:
        """`message` is safe for callers, `detail` for operators only, `status` the upstream's HTTP status."""
        self.message = message or inspect.cleandoc(type(self).__doc__ or GatewayError.__doc__ or "")
        self.param = param
        self.detail = detail
        self.retry_after = retry_after
        self.status = status
        super().__init__(self.message)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep the register of codes, so that an error can be rebuilt from what a history or a row says."""
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            if cls.code in BY_CODE:
                raise TypeError(f"error code {cls.code} stands twice")
            BY_CODE[cls.code] = cls


BY_CODE: dict[str, type[GatewayError]] = {GatewayError.code: GatewayError}


# ---- what the caller sent ----------------------------------------------------------------------------------------
class InvalidJson(GatewayError):
    """The request body is not valid JSON."""

    code = "invalid_json"


class InvalidRequest(GatewayError):
    """The request is not valid."""

    code = "invalid_request"


class NotCarried(GatewayError):
    """A field of the request cannot be carried over to this model, and the request is strict."""

    code = "field_not_supported"
    elsewhere = True


class InvalidHost(GatewayError):
    """The Host header names no host that this gateway serves."""

    code = "invalid_host"


class BodyTooLarge(GatewayError):
    """The request body is larger than this gateway takes."""

    code = "body_too_large"


class HeadTooLarge(GatewayError):
    """The request line and headers are longer than this gateway takes."""

    code = "head_too_large"


class BodyTimeout(GatewayError):
    """The request body did not arrive in time."""

    code = "body_timeout"
    retryable = True


class NotFound(GatewayError):
    """There is nothing at this address."""

    code = "not_found"


class MethodNotAllowed(GatewayError):
    """This address does not take that method."""

    code = "method_not_allowed"


class Unauthenticated(GatewayError):
    """No valid key was given. Send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`."""

    code = "invalid_api_key"


class Forbidden(GatewayError):
    """Your key does not carry the right to do this."""

    code = "permission_denied"


class ModelNotFound(GatewayError):
    """The model does not exist or you do not have access to it."""

    code = "model_not_found"


class NoModelFits(GatewayError):
    """No model that you may use can serve this request."""

    code = "no_model_fits"


class NoModelAvailable(GatewayError):
    """No model that could serve this request can be called at the moment. Try again soon."""

    code = "no_model_available"
    retryable = True


class RefusedByRule(GatewayError):
    """A rule of this gateway refuses this request."""

    code = "refused_by_rule"


class ModelExists(GatewayError):
    """There is a model or an alias of this name already."""

    code = "model_exists"


class VersionConflict(GatewayError):
    """It was changed since you read it. Read it again, and repeat your change on what is there now."""

    code = "version_conflict"

    def __init__(self, message: str | None = None, *, current: int = 0, **more: Any) -> None:
        """`current` is the version that is there now; 0 if there is none."""
        super().__init__(message, **more)
        self.current = current


class RateLimited(GatewayError):
    """A limit on the rate of your requests or of a model is reached. Try again after the time given."""

    code = "rate_limited"
    retryable = True


class RulesInvalid(GatewayError):
    """The rules are not valid."""

    code = "rules_invalid"


class RuleVersionNotFound(GatewayError):
    """There is no such version of the rules."""

    code = "rule_version_not_found"


class JobNotFound(GatewayError):
    """There is no such job."""

    code = "job_not_found"


class RequestNotFound(GatewayError):
    """There is no such request."""

    code = "request_not_found"


class FileNotFound(GatewayError):
    """There is no such file, or it is not yours."""

    code = "file_not_found"


class FileUnreadable(GatewayError):
    """The file can no longer be read: it was sealed with a key that is gone, or a part of it is lost."""

    code = "file_unreadable"


class BatchNotFound(GatewayError):
    """There is no such batch, or it is not yours."""

    code = "batch_not_found"


class BatchEnded(GatewayError):
    """The batch has ended already."""

    code = "batch_ended"


class BatchExpired(GatewayError):
    """This request could not be executed before the completion window expired."""

    code = "batch_expired"


class BatchCancelled(GatewayError):
    """This request was not executed because its batch was cancelled."""

    code = "batch_cancelled"


class JobNotFinished(GatewayError):
    """The job has no result yet. Ask again later, or watch the job."""

    code = "job_not_finished"
    retryable = True


class WebhookSecretExists(GatewayError):
    """You have a secret for webhooks already. Rotate it to get another one."""

    code = "webhook_secret_exists"


class WebhookSecretNotFound(GatewayError):
    """You have no secret for webhooks yet. Create one."""

    code = "webhook_secret_not_found"


class JobFinished(GatewayError):
    """The job has ended already and can no longer be cancelled."""

    code = "job_finished"


class ResponseNotFound(GatewayError):
    """There is no such response."""

    code = "response_not_found"


class PreviousResponseNotFound(GatewayError):
    """The response that this one is to follow, or one before it, is not kept here."""

    code = "previous_response_not_found"


class ConversationNotFound(GatewayError):
    """There is no such conversation."""

    code = "conversation_not_found"


class ItemNotFound(GatewayError):
    """There is no such item in this conversation."""

    code = "item_not_found"


class PriceNotFound(GatewayError):
    """Nobody has said what this costs."""

    code = "price_not_found"


class ImplausiblePrice(GatewayError):
    """The price cannot be meant."""

    code = "implausible_price"


class RepricingNotFound(GatewayError):
    """There is no such repricing."""

    code = "repricing_not_found"


class RepricingUnderWay(GatewayError):
    """A period is being priced anew already. Wait for its end, or cancel it."""

    code = "repricing_under_way"


class SimulationNotFound(GatewayError):
    """There is no such simulation."""

    code = "simulation_not_found"


class SimulationUnderWay(GatewayError):
    """Another simulation of yours has not ended."""

    code = "simulation_under_way"


class RequestInProgress(GatewayError):
    """The request with this Idempotency-Key is still being answered. Ask again with the same key."""

    code = "request_in_progress"
    retryable = True


class AnswerNotKept(GatewayError):
    """The request with this Idempotency-Key was answered; its answer is too large to be kept. Use another key."""

    code = "answer_not_kept"


class IdempotencyMismatch(GatewayError):
    """This Idempotency-Key was used before with another request."""

    code = "idempotency_key_reused"


# ---- time and the caller -----------------------------------------------------------------------------------------
class DeadlineExceeded(GatewayError):
    """The request's deadline passed before a model had answered."""

    code = "deadline_exceeded"


class Cancelled(GatewayError):
    """The caller left or cancelled before the answer was complete."""

    code = "cancelled"


class Interrupted(GatewayError):
    """The process that made this call died before it could keep the answer; whether the model was paid is not known."""

    code = "interrupted"
    retryable = True


class Abandoned(GatewayError):
    """The process that was answering the caller died; the connection broke with it and nothing was called again."""

    code = "abandoned"


class HedgeLost(GatewayError):
    """Another model was asked beside this one and answered first."""

    code = "hedge_lost"


# ---- the upstream ------------------------------------------------------------------------------------------------
class UpstreamUnavailable(GatewayError):
    """The model could not be reached or is failing."""

    code = "upstream_unavailable"
    retryable = True


class UpstreamTimeout(GatewayError):
    """The model did not answer in time."""

    code = "upstream_timeout"
    retryable = True


class UpstreamRateLimited(GatewayError):
    """The model's provider is limiting our rate."""

    code = "upstream_rate_limited"
    retryable = True


class UpstreamMalformed(GatewayError):
    """The model's answer could not be understood."""

    code = "upstream_malformed"
    retryable = True


class UpstreamBroken(GatewayError):
    """The model's answer broke off before its end."""

    code = "upstream_broken"
    retryable = True


class UpstreamAuth(GatewayError):
    """The gateway's own access to this model was refused by its provider. An administrator has to look at it."""

    code = "upstream_auth"
    elsewhere = True


class UpstreamNotFound(GatewayError):
    """The provider does not know this model. An administrator has to look at it."""

    code = "upstream_not_found"
    elsewhere = True


class UpstreamForbidden(GatewayError):
    """The model's address is none that this gateway calls. An administrator has to look at it."""

    code = "upstream_forbidden"
    elsewhere = True


class UpstreamRejected(GatewayError):
    """The model's provider refused the request as invalid."""

    code = "upstream_rejected"


class ContextTooLong(GatewayError):
    """The request is longer than the model's context window."""

    code = "context_length_exceeded"
    elsewhere = True  # at one with a larger window


class ContentFiltered(GatewayError):
    """The model's provider refused the request by its content policy."""

    code = "content_filter"


# ---- who is told of a finished job --------------------------------------------------------------------------------
class ReceiverUnreachable(GatewayError):
    """The receiver could not be reached."""

    code = "receiver_unreachable"
    retryable = True


class ReceiverTimeout(GatewayError):
    """The receiver did not answer in time."""

    code = "receiver_timeout"
    retryable = True


class ReceiverInsecure(GatewayError):
    """The receiver's certificate is not valid for its name."""

    code = "receiver_insecure"
    retryable = True


class ReceiverRefused(GatewayError):
    """The receiver answered with something else than success."""

    code = "receiver_refused"
    retryable = True


class ReceiverGone(GatewayError):
    """The receiver said that it is gone for good (410)."""

    code = "receiver_gone"


class ReceiverForbidden(GatewayError):
    """The receiver's address is none that this gateway calls."""

    code = "receiver_forbidden"


class BusUnavailable(GatewayError):
    """NATS could not be reached."""

    code = "bus_unavailable"
    retryable = True


class BusRefused(GatewayError):
    """NATS did not take the message."""

    code = "bus_refused"
    retryable = True


class DestinationSealed(GatewayError):
    """Where to deliver, or what to sign with, cannot be decrypted: its key is not in the ring."""

    code = "destination_sealed"
    retryable = True


# ---- ourselves ---------------------------------------------------------------------------------------------------
class StorageUnavailable(GatewayError):
    """The gateway's database cannot be reached for the moment. Try again soon."""

    code = "storage_unavailable"
    retryable = True


class EngineUnavailable(GatewayError):
    """The gateway's workflow engine cannot be reached for the moment. Try again soon."""

    code = "engine_unavailable"
    retryable = True


class Overloaded(GatewayError):
    """The gateway is answering as many requests as it can. Try again soon."""

    code = "overloaded"
    retryable = True


class ShuttingDown(GatewayError):
    """This replica of the gateway is shutting down. Try again: another one will answer."""

    code = "shutting_down"
    retryable = True
