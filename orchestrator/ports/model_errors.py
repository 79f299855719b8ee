"""What the model port raises: one class per way in which a call can end without a usable answer."""

from orchestrator.errors import OrchestratorError, RetryableError, StepError, TerminalError


class ModelError(OrchestratorError):
    """A model gave no usable answer; the class says why.

    `kind` is the word the journal keeps, `again` says whether trying again can help, `step_kind` is what it is to a
    step: `rate_limit`, `timeout`, `provider`, or `terminal`. `may_be_billed`: the request was sent, and nobody can
    say what the endpoint charged for it. The message never holds a prompt or a key.
    """

    kind: str = "model"
    again: bool = False
    step_kind: str = "terminal"

    def __init__(
        self, model: str, reason: str = "", retry_after_s: float | None = None, may_be_billed: bool = False
    ) -> None:
        super().__init__(model, reason, retry_after_s, may_be_billed)
        self.model, self.reason = model, reason
        self.retry_after_s, self.may_be_billed = retry_after_s, may_be_billed

    def __str__(self) -> str:
        return f"model {self.model}: {self.kind.replace('_', ' ')}" + (f": {self.reason}" if self.reason else "")

    def as_step_error(self) -> StepError:
        """What worker code that cannot go on without the answer raises."""
        if self.step_kind == "terminal":
            return TerminalError(str(self))
        return RetryableError(str(self), self.step_kind, self.retry_after_s)


class ModelRateLimited(ModelError):
    """The endpoint refused for now; try again after `retry_after_s` seconds."""

    kind, again, step_kind = "rate_limited", True, "rate_limit"


class ModelTimeout(ModelError):
    """The deadline of the call, or of one try, passed."""

    kind, again, step_kind = "timeout", True, "timeout"


class ModelUnavailable(ModelError):
    """No connection, a server's error, or a circuit breaker that keeps a failing endpoint alone."""

    kind, again, step_kind = "unavailable", True, "provider"


class ModelInterrupted(ModelError):
    """The answer broke off: the connection ended, or the stream had no final chunk."""

    kind, again, step_kind = "interrupted", True, "provider"


class ModelBadReply(ModelError):
    """What the endpoint sent is no chat completion: another content type, no JSON, no choices."""

    kind, again, step_kind = "bad_reply", True, "provider"


class ModelReplyTooLarge(ModelError):
    """The answer is over the endpoint's limit in bytes; reading stopped there."""

    kind = "reply_too_large"


class ModelTruncated(ModelError):
    """The answer reached the limit of its tokens. `text` is what there is of it, never to be taken for the whole."""

    kind = "truncated"

    def __init__(
        self,
        model: str,
        reason: str = "",
        retry_after_s: float | None = None,
        may_be_billed: bool = False,
        text: str = "",
    ) -> None:
        super().__init__(model, reason, retry_after_s, may_be_billed)
        self.args = (*self.args, text)
        self.text = text


class ModelRefused(ModelError):
    """The model declined to answer."""

    kind = "refused"


class ModelFiltered(ModelError):
    """The provider's content filter withheld the answer or turned the prompt away."""

    kind = "filtered"


class ModelBadOutput(ModelError):
    """The answer does not fit the schema asked for, also after the faults were handed back once."""

    kind = "bad_output"


class ModelUnknownTool(ModelBadOutput):
    """The model asked for a tool it was not given, also after it was told so once."""

    kind = "unknown_tool"


class ModelUnauthorised(ModelError):
    """The endpoint does not take the key, or not for this model."""

    kind = "unauthorised"


class ModelNotFound(ModelError):
    """The endpoint has no such model."""

    kind = "not_found"


class ModelBadRequest(ModelError):
    """The endpoint turns the request itself away."""

    kind = "bad_request"


class ModelContextTooLong(ModelError):
    """The prompt is longer than the model can read."""

    kind = "context_too_long"


class ModelUnpriced(ModelError):
    """Nobody knows what the model costs, and the settings do not say that it is free; nothing was sent."""

    kind = "unpriced"


class ModelNotConfigured(ModelError):
    """The settings name no model for this tier; nothing was sent."""

    kind = "not_configured"
