"""The OTLP exporter, from the extra `otlp`. It reads OTEL_EXPORTER_OTLP_* itself."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource

from orchestrator.adapters.otel.encoding import Encoder, encode
from orchestrator.adapters.otel.sink import Formed, Sink
from orchestrator.adapters.otel.span import Told
from orchestrator.errors import PromiseError


class _Direct(Sink):
    """The library's exporter in everything but the encoding, which is most of what spans cost a busy process.

    Raises:
        PromiseError: the library has no client of the known form inside; it promises none.
    """

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter()
        client: Any = getattr(self._exporter, "_client", None)
        if not callable(getattr(client, "export", None)):
            raise PromiseError(
                "the installed OTLP exporter sends in a way that is not known here",
                "install hierarchical-orchestrator[otlp] with the versions of its lock",
            )
        self._client = client
        self._encoder: Encoder | None = None

    def form(self, told: Told) -> bytes:
        """See `Sink`."""
        return encode(told)

    def send(self, formed: Sequence[Formed], resource: Resource) -> bool:
        """See `Sink`."""
        encoder = self._encoder
        if encoder is None:
            encoder = self._encoder = Encoder(resource)
        well = True
        for body in encoder.requests(formed):  # type: ignore[arg-type]  # all of it is ours
            well = self._client.export(body).success and well
        return well

    def shutdown(self) -> None:
        """See `Sink`."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # of a library


def otlp_exporter() -> Sink:
    """Spans over HTTP to the endpoint that the environment names."""
    return _Direct()


__all__ = ["otlp_exporter"]
