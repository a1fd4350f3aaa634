"""The protobuf wire format, reading only: enough for TensorBoard events and W&B records, and nothing is executed.

Source: https://protobuf.dev/programming-guides/encoding/. Every length is checked against the buffer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | bytes
"""A varint or fixed number as int, a length-delimited field as bytes."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class BadProtobuf(ValueError):
    """The bytes are no protobuf message, or are cut off."""


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """(field number, value) in the order they stand; fixed32 and fixed64 are raw little-endian unsigned integers."""
    position = 0
    while position < len(message):
        tag, position = varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, position = varint(message, position)
            yield number, value
        elif kind == BYTES:
            size, position = varint(message, position)
            yield number, _slice(message, position, size)
            position += size
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
            yield number, int.from_bytes(_slice(message, position, size), "little")
            position += size
        else:
            raise BadProtobuf(f"wire type {kind}")


def _slice(message: bytes, position: int, size: int) -> bytes:
    if position + size > len(message):
        raise BadProtobuf("a field is longer than its message")
    return message[position : position + size]


def varint(message: bytes, position: int) -> tuple[int, int]:
    """A base-128 number at `position` and the position behind it."""
    value = shift = 0
    while shift < 70:
        if position >= len(message):
            raise BadProtobuf("a number is cut off")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise BadProtobuf("a number has more than ten bytes")


def text(value: Value) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def float32(value: Value) -> float:
    """A fixed32 field as the float it holds."""
    if not isinstance(value, int):
        raise BadProtobuf("a float32 was expected")
    return float(struct.unpack("<f", (value & 0xFFFFFFFF).to_bytes(4, "little"))[0])


def float64(value: Value) -> float:
    if not isinstance(value, int):
        raise BadProtobuf("a float64 was expected")
    return float(struct.unpack("<d", (value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little"))[0])


def signed(value: Value) -> int:
    """A varint field as the int64 it holds."""
    if not isinstance(value, int):
        raise BadProtobuf("a number was expected")
    return value - (1 << 64) if value >= 1 << 63 else value


def submessage(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise BadProtobuf("a message was expected")
    return value
