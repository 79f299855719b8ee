"""What a stored field may hold, worked out once from the annotations of the facts."""

import types
from collections.abc import Callable
from typing import Literal, NewType, Union, get_args, get_origin

from orchestrator.ids import JsonValue

Shape = Callable[[object], object]  #: gives the value of the field back; ValueError: it does not fit


def shape_of(annotation: object) -> Shape:
    """The shape of one annotation of a fact.

    Raises:
        TypeError: the annotation is none that facts use; our bug, met at import.
    """
    while isinstance(annotation, NewType):
        annotation = annotation.__supertype__
    if annotation is JsonValue:
        return _anything
    if isinstance(annotation, type) and annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return _one_of(frozenset(arguments))
    if origin in {Union, types.UnionType} and type(None) in arguments and len(arguments) == 2:
        return _or_null(shape_of(next(argument for argument in arguments if argument is not type(None))))
    if origin is list and arguments == (JsonValue,):
        return _list
    if origin is dict and arguments == (str, JsonValue):
        return _dict
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _tuple_of(shape_of(arguments[0]))
    raise TypeError(f"a fact cannot hold {annotation!r}")


def _anything(value: object) -> object:
    return value


def _text(value: object) -> object:
    if type(value) is not str:
        raise ValueError("text was expected")
    return value


def _integer(value: object) -> object:
    if type(value) is not int:
        raise ValueError("an integer was expected")
    return value


def _number(value: object) -> object:
    if type(value) is int:  # a whole number handed over without its point
        return float(value)
    if type(value) is not float:
        raise ValueError("a number was expected")
    return value


def _truth(value: object) -> object:
    if type(value) is not bool:
        raise ValueError("true or false was expected")
    return value


def _list(value: object) -> object:
    if type(value) is not list:
        raise ValueError("a list was expected")
    return value


def _dict(value: object) -> object:
    if type(value) is not dict:
        raise ValueError("an object was expected")
    return value


def _one_of(words: frozenset[object]) -> Shape:
    def one_of(value: object) -> object:
        if type(value) is not str or value not in words:
            raise ValueError(f"one of {sorted(map(str, words))} was expected")
        return value

    return one_of


def _or_null(shape: Shape) -> Shape:
    def or_null(value: object) -> object:
        return None if value is None else shape(value)

    return or_null


def _tuple_of(shape: Shape) -> Shape:
    def tuple_of(value: object) -> object:
        if type(value) is not list:
            raise ValueError("a list was expected")
        return tuple([shape(item) for item in value])

    return tuple_of


_PLAIN: dict[type, Shape] = {str: _text, int: _integer, float: _number, bool: _truth}
