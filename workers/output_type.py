"""The output type of an agent: a pydantic model, any other type with a JSON form, a JSON Schema, or plain text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.plan.schemas import schema_fault
from workers.plain import NotPlain, dumped, explain, plain_copy


@dataclass(frozen=True, slots=True)
class OutputType:
    """`schema` is what a model is asked for; None: text."""

    schema: dict[str, JsonValue] | None
    adapter: TypeAdapter[object] | None = None

    def read(self, data: JsonValue) -> JsonValue:
        """Data that fits the schema, as the type makes it.

        Raises:
            NotPlain: the type refuses it, by a rule that its schema does not hold.
        """
        if self.adapter is None:
            return plain_copy(data)
        try:
            value = self.adapter.validate_python(data)
        except ValidationError as error:
            raise NotPlain(*explain(error)) from None
        return dumped(self.adapter, value)


def output_type(agent: str, output: object) -> OutputType:
    """What `Pool.agent(output=...)` stands for.

    Raises:
        PromiseError: it is no type, has no JSON form, or its schema is not safe to run.
    """
    if output is None or output is str:
        return OutputType(None)
    adapter: TypeAdapter[object] | None = None
    if isinstance(output, Mapping):
        schema = cast(dict[str, JsonValue], plain_copy(dict(output)))
    else:
        try:
            adapter = TypeAdapter(cast(type[object], output))
            schema = adapter.json_schema(mode="validation")
        except (PydanticUserError, TypeError) as error:
            raise PromiseError(
                f"the output type of agent {agent} has no JSON form: {error}",
                "use a pydantic model, JSON types, or a JSON Schema",
            ) from None
    fault = schema_fault(schema)
    if fault is not None:
        path, reason = fault
        place = ".".join(map(str, path)) or "the schema"
        raise PromiseError(f"the output type of agent {agent} cannot be used: {place}: {reason}", "exchange that part")
    return OutputType(schema, adapter)
