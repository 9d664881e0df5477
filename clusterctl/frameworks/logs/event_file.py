"""Scalars of a TensorBoard event file, read by its published format without TensorBoard.

TFRecord: length (8 bytes), its checksum (4), the message, its checksum (4).  Message: tensorflow.Event with
wall_time = 1, step = 2, summary = 5; Summary.value = 1; Value.tag = 1, simple_value = 2, tensor = 8;
TensorProto.tensor_content = 4, float_val = 5, double_val = 6.
Sources: tensorflow/core/util/event.proto, framework/summary.proto, framework/tensor.proto.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

from clusterctl.frameworks.logs.log_rows import LogRow
from clusterctl.frameworks.logs.names import known

MOST_RECORD_BYTES = 1 << 24
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def is_event_file(start: bytes) -> bool:
    """Whether a file begins with an event of TensorBoard: its version, `brain.Event:2`."""
    return b"brain.Event:" in start[:64]


def event_rows(content: bytes) -> Iterator[LogRow | int]:
    """A row per event with scalars; the number of a record that is cut off or broken."""
    at, number = 0, 0
    while at + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        number += 1
        if length > MOST_RECORD_BYTES or at + 16 + length > len(content):
            yield number
            return
        message = content[at + 12 : at + 12 + length]
        at += 16 + length
        try:
            row = _event(message, number)
        except (ValueError, struct.error, UnicodeDecodeError):
            yield number
            continue
        if row.values:
            yield row


def _event(message: bytes, number: int) -> LogRow:
    step, wall, values = 0, 0.0, {}
    for field, value in _fields(message):
        if field == 1 and isinstance(value, bytes) and len(value) == 8:
            (wall,) = struct.unpack("<d", value)
        elif field == 2 and isinstance(value, int):
            step = value
        elif field == 5 and isinstance(value, bytes):
            for inner, one in _fields(value):
                if inner == 1 and isinstance(one, bytes) and (scalar := _scalar(one)):
                    values[known(scalar[0])] = scalar[1]
    return LogRow(values, number, step, wall)


def _scalar(message: bytes) -> tuple[str, float] | None:
    tag, found = "", None
    for field, value in _fields(message):
        if field == 1 and isinstance(value, bytes):
            tag = value[:500].decode()
        elif field == 2 and isinstance(value, bytes) and len(value) == 4:
            (found,) = struct.unpack("<f", value)
        elif field == 8 and isinstance(value, bytes):
            found = _tensor(value) if found is None else found
    return (tag, found) if tag and found is not None and math.isfinite(found) else None


def _tensor(message: bytes) -> float | None:
    """The number of a tensor that holds one."""
    for field, value in _fields(message):
        if isinstance(value, bytes) and field in (4, 5, 6) and len(value) in (4, 8):
            return float(struct.unpack("<f" if len(value) == 4 else "<d", value)[0])
    return None


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of a protobuf message.  Raises ValueError where it is broken."""
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _number(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _number(message, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind, -1)
        if size < 0 or at + size > len(message):
            raise ValueError("broken message")
        yield key >> 3, message[at : at + size]
        at += size


def _number(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("broken number")
