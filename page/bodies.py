"""Check the JSON body of a request. Only what the page and its API's clients send is valid."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

MAX_VALUES = 8192  # values in a body; Gradio walks through all of them several times
ID = r"[A-Za-z0-9_-]{1,64}"  # a session, an event, an upload or an argument's name
Id = Annotated[str, Field(pattern=f"^{ID}$")]
Number = Annotated[int, Field(ge=0, lt=1000)]  # Gradio's number of a function or a component


class Call(BaseModel, extra="forbid", strict=True):
    """A call of an endpoint or of one of the page's events."""

    data: list
    session_hash: Id | None = None
    event_id: Id | None = None
    fn_index: Number | None = None
    trigger_id: Number | None = None
    event_data: Any = None


class ServerCall(BaseModel, extra="forbid", strict=True):
    """A call of app.py's `answer` by page/pen.js."""

    data: Any
    session_hash: Id
    component_id: int
    fn_name: Literal["answer"]


BODIES = {
    "call": TypeAdapter(Call),
    "named": TypeAdapter(dict[Id, Any]),
    "server": TypeAdapter(ServerCall),
    "rpc": TypeAdapter(dict[Literal["jsonrpc", "id", "method", "params", "result", "error"], Any]),
}


def is_valid(kind: str, body: bytes, functions: Collection[int]) -> bool:
    """Return whether a body fits its kind of route.

    Parameters
    ----------
    kind : str, a key of `BODIES`
    body : bytes
    functions : collection of int, Gradio's numbers of the functions that clients may call
    """
    if sum(map(body.count, b",[{")) > MAX_VALUES:  # a comma or bracket precedes each value
        return False
    try:
        call = BODIES[kind].validate_json(body, strict=True)
    except ValidationError:
        return False
    return kind != "call" or call.fn_index in (None, *functions)
