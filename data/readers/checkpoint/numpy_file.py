"""Which arrays does an npy or npz file hold? Read without unpickling: an array of objects is refused.

An array keeps its header (NEP 1) as it stands in the file, and its bytes in the order of the file. So one in Fortran
order is stored as its transpose, under its name with ``.T``; elements that no checkpoint type names (big-endian
numbers, text, dates, records) are stored as unsigned words of their width, or as bytes. Restoring writes the header
back, and the array is what it was.

The leaves of an npz file are JSON: ``{"deflated": false, "arrays": [[member, header], ...]}``, headers in hexadecimal.
"""

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.contents import CheckpointFile, FileTensor
from data.schemas.tensor import DIMENSIONS_MAX, Octets

MAGIC = b"\x93NUMPY"
HEADER_BYTES_MAX = 10_000
"""As numpy limits it."""

_MEMBER_BYTES_MAX = 60_000  # a zip file has 16 bits for the length of a name

DTYPES = {
    "|b1": "BOOL", "|u1": "U8", "|i1": "I8", "<u2": "U16", "<i2": "I16", "<u4": "U32", "<i4": "I32", "<u8": "U64",
    "<i8": "I64", "<f2": "F16", "<f4": "F32", "<f8": "F64", "<c8": "C64", "<c16": "C128",
}  # fmt: skip
"""Our names of numpy's element types."""

_WORDS = {1: "U8", 2: "U16", 4: "U32", 8: "U64"}


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one array.

    Args:
        octets: as it stands in the file.
        dtype: what its elements are stored as.
        shape: what its bytes are stored as; reversed for Fortran order.
        size_bytes: of the elements.
        transposed: whether the bytes are those of the transpose.
    """

    octets: bytes
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    transposed: bool


@dataclass(frozen=True, slots=True)
class MemberTensor:
    """An array inside an npz file (:class:`data.schemas.tensor.Tensor`)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    member: str
    header_bytes: int
    size_bytes: int

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        """Yield the bytes in order, ``piece_bytes`` at a time.

        Raises:
            SourceUnavailable: the file is gone or was cut since it was opened.
            BadRecord: what the zip file holds is damaged.
        """
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                file.read(self.header_bytes)
                for start in range(0, self.size_bytes, piece_bytes):
                    piece = file.read(min(piece_bytes, self.size_bytes - start))
                    if len(piece) < min(piece_bytes, self.size_bytes - start):
                        raise SourceUnavailable(f"{self.path}: cut short while it was read, at {self.name}")
                    yield piece
                file.read(1)  # at its end the zip file compares the CRC
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
            raise BadRecord(f"{self.path}: {self.member}", "a whole array", str(error)) from error
        except OSError as error:
            raise SourceUnavailable(f"{self.path}: {error.strerror or error}") from error


def read_npy(path: Path) -> CheckpointFile:
    """Read the header of an npy file; its one tensor is called ``array``.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadRecord: it is cut, damaged, or an array of objects.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file, str(path))
            found = path.stat().st_size
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error
    expected = len(header.octets) + header.size_bytes
    if found != expected:
        raise BadRecord(str(path), f"{expected} bytes", f"{found} bytes")
    name = _named("array", header)
    tensor = FileTensor(name, header.dtype, header.shape, path, len(header.octets), header.size_bytes)
    return CheckpointFile(path, header.octets, (tensor,))


def read_npz(path: Path) -> CheckpointFile:
    """Read the headers of the arrays in an npz file; tensors have the names under which numpy gives them.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadRecord: it is damaged, or holds anything but arrays of numbers.
    """
    tensors, headers = [], []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            for entry in entries:
                where = f"{path}: {entry.filename}"
                if not entry.filename.endswith(".npy"):
                    raise BadRecord(where, "an array (*.npy)", "another file")
                if not is_member(entry.filename):
                    raise BadRecord(where, "a member within its folder", entry.filename[:80])
                with archive.open(entry) as file:
                    header = read_header(cast("BinaryIO", file), where)
                if len(header.octets) + header.size_bytes != entry.file_size:
                    expected = f"{len(header.octets) + header.size_bytes} bytes"
                    raise BadRecord(where, expected, f"{entry.file_size} bytes")
                name = _named(entry.filename.removesuffix(".npy"), header)
                headers.append([entry.filename, header.octets.hex()])
                tensors.append(
                    MemberTensor(
                        name,
                        header.dtype,
                        header.shape,
                        path,
                        entry.filename,
                        len(header.octets),
                        header.size_bytes,
                    )
                )
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadRecord(str(path), "a whole npz file", str(error)) from error
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror or error}") from error
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise BadRecord(str(path), "every array's name once", "one twice")
    deflated = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    leaves = json.dumps({"deflated": deflated, "arrays": headers}, separators=(",", ":")).encode("ascii")
    return CheckpointFile(path, leaves, tuple(tensors))


def is_member(name: str) -> bool:
    """Return whether an npz file may hold an array of this name, which must not lead out of a folder."""
    steps = name.replace("\\", "/").split("/")
    return len(name.encode()) <= _MEMBER_BYTES_MAX and "\0" not in name and steps[0] != "" and ".." not in steps


def read_header(file: BinaryIO, where: str) -> Header:
    """Read the header of an array.

    Raises:
        BadRecord: it is none, one of another version, or that of an array of objects.
    """
    start = file.read(8)
    version = tuple(start[6:8])
    if not start.startswith(MAGIC) or version not in ((1, 0), (2, 0)):
        raise BadRecord(where, "an array as numpy writes it (version 1 or 2)", f"a file that starts with {start!r}")
    field = file.read(2 if version == (1, 0) else 4)
    length = int.from_bytes(field, "little")
    if length > HEADER_BYTES_MAX:
        raise BadRecord(where, f"a header of at most {HEADER_BYTES_MAX} bytes", f"{length} bytes")
    octets = start + field + file.read(length)
    text = io.BytesIO(octets[8:])
    try:
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(text)  # evaluates literals only
    except Exception as error:  # not only ValueError: the text of a damaged header fails in the tokenizer too
        raise BadRecord(where, "the header of an array", f"{type(error).__name__}: {error}") from error
    if dtype.hasobject:
        raise BadRecord(where, "an array of numbers", "objects, which only pickle could read")
    if len(shape) >= DIMENSIONS_MAX or any(length < 0 for length in shape):
        raise BadRecord(where, f"fewer than {DIMENSIONS_MAX} dimensions, none negative", str(shape)[:80])
    size = math.prod(shape) * dtype.itemsize
    turned = bool(fortran) and len(shape) > 1
    shape = tuple(reversed(shape)) if turned else tuple(shape)
    name = DTYPES.get(dtype.str) or _WORDS.get(dtype.itemsize)
    if name is None or dtype.subdtype is not None:
        name, shape = "U8", (*shape, dtype.itemsize)
    return Header(octets, name, shape, size, turned)


def _named(name: str, header: Header) -> str:
    return f"{name}.T" if header.transposed else name
