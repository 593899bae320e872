"""How does a nested torch state become named tensors and JSON, and back?

JSON's own null, true, numbers, text and lists stand for themselves. What JSON lacks is an object with one telling key:

    {"tensor": "model/fc.weight"}             a tensor, by name (the path to its first place); tied ones share a name
    {"parameter": "fc/weight"}                a torch.nn.Parameter; both may add "requires_grad"
    {"dict": [[key, value], ...]}             also "ordered_dict", which may add "metadata", and "counter"
    {"tuple": [...]}                          also "set" and "size" (torch.Size)
    {"float": "nan"}                          nan, inf, -inf;  {"bytes": "00ff"} hexadecimal
"""

import json
import math
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch

from data.errors import BadRecord
from data.schemas.tensor import Octets, tensor_bytes

LEAVES_BYTES_MAX = 100_000_000
"""Bytes of JSON that a state may make; a real one makes a few thousand."""

_DEPTH_MAX = 100
_VALUES_MAX = 1_000_000  # a pickle of a few lines can nest one list into itself to 2 ** 100 values

_DTYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "U16": torch.uint16, "I16": torch.int16,
    "U32": torch.uint32, "I32": torch.int32, "U64": torch.uint64, "I64": torch.int64, "F16": torch.float16,
    "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64, "C64": torch.complex64,
    "C128": torch.complex128, "F8_E4M3": torch.float8_e4m3fn, "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
}  # fmt: skip
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MAPPINGS: Mapping[str, type] = {"dict": dict, "ordered_dict": OrderedDict, "counter": Counter}
_SEQUENCES: Mapping[str, type] = {"tuple": tuple, "set": set, "size": torch.Size}
_TAGS = {kind: tag for tag, kind in (*_MAPPINGS.items(), *_SEQUENCES.items())}


@dataclass(frozen=True, slots=True, eq=False)
class StateTensor:
    """A tensor in memory (:class:`data.schemas.tensor.Tensor`)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    tensor: torch.Tensor

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        """Yield the bytes in order, ``piece_bytes`` at a time; a tensor with gaps is copied first."""
        flat = self.tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        octets = flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")
        for start in range(0, len(octets), piece_bytes):
            yield octets[start : start + piece_bytes]


@dataclass(frozen=True, slots=True, eq=False)
class PackedState:
    """A state as tensors in the order in which they occur, and the JSON text of all else (canonical, ASCII)."""

    tensors: tuple[StateTensor, ...]
    leaves: bytes


def pack_state(state: object, where: str) -> PackedState:
    """Take a state apart.

    Args:
        state: what ``torch.load(weights_only=True)`` returned.
        where: the file, for messages.

    Raises:
        BadRecord: a value that is no tensor, number, text or plain container, or far too many of them.
    """
    packing = _Packing(where)
    tree = packing.pack(state, ())
    leaves = json.dumps(tree, allow_nan=False, separators=(",", ":")).encode("ascii")
    if len(leaves) > LEAVES_BYTES_MAX:
        raise BadRecord(where, f"at most {LEAVES_BYTES_MAX} bytes of values beside the tensors", f"{len(leaves)} bytes")
    return PackedState(tuple(packing.tensors), leaves)


def unpack_state(leaves: bytes, tensors: Mapping[str, torch.Tensor]) -> object:
    """Put a state together again; tied tensors are tied again.

    Raises:
        ValueError: not the JSON that :func:`pack_state` writes, or a tensor that it names is missing.
    """
    try:
        return _unpack(json.loads(leaves), tensors)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:  # one of them: RecursionError
        raise ValueError(f"expected the leaves of a torch state, found {type(error).__name__}: {error}") from error


def tensor_of_bytes(octets: bytearray, dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return a tensor over ``octets``, which it keeps.

    Raises:
        ValueError: torch has no such element type, or the bytes do not fill the shape.
    """
    if dtype not in _DTYPES or len(octets) != tensor_bytes(dtype, shape):
        raise ValueError(f"expected bytes of a torch type that fill {shape}, found {len(octets)} of {dtype}")
    if not octets:
        return torch.empty(shape, dtype=_DTYPES[dtype])
    return torch.frombuffer(octets, dtype=torch.uint8).view(_DTYPES[dtype]).reshape(shape)


def torch_type(text: str) -> torch.dtype:
    """Return the element type that torch writes as ``text``, e.g. ``torch.bfloat16``.

    Raises:
        ValueError: archives know no such type.
    """
    for dtype in _DTYPE_NAMES:
        if str(dtype) == text:
            return dtype
    raise ValueError(f"expected an element type of torch, found {text!r}")


@dataclass(slots=True, eq=False)
class _Packing:
    """The state of one walk: tensors found so far, their names, and how many values were seen."""

    where: str
    tensors: list[StateTensor] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    known: dict[tuple[object, ...], str] = field(default_factory=dict)
    values: int = 0

    def pack(self, value: object, path: tuple[object, ...]) -> object:
        self.values += 1
        if len(path) > _DEPTH_MAX or self.values > _VALUES_MAX:
            raise self.refuse(path[:4], f"at most {_DEPTH_MAX} levels and {_VALUES_MAX} values", "more")
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if isinstance(value, int) and kind is int:
            if value.bit_length() > 4096:
                raise self.refuse(path, "an integer of at most 4096 bits", f"{value.bit_length()} bits")
            return value
        if isinstance(value, float) and kind is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, bytes):
            return {"bytes": value.hex()}
        if isinstance(value, torch.Tensor):
            return self.pack_tensor(value, path)
        if isinstance(value, list) and kind is list:
            return [self.pack(item, (*path, number)) for number, item in enumerate(value)]
        if isinstance(value, (tuple, set)) and kind in _TAGS:
            items = sorted(value, key=repr) if isinstance(value, set) else value
            return {_TAGS[kind]: [self.pack(item, (*path, number)) for number, item in enumerate(items)]}
        if isinstance(value, dict) and kind in _TAGS:
            return self.pack_mapping(value, path)
        raise self.refuse(path, "tensors, numbers, text and plain containers", f"{kind.__module__}.{kind.__qualname__}")

    def pack_mapping(self, value: dict[object, object], path: tuple[object, ...]) -> object:
        for key in value:
            if type(key) not in (str, int, float, bool, type(None)):
                raise self.refuse(path, "keys that are text or numbers", f"a key of {type(key).__qualname__}")
        pairs = [[self.pack(key, path), self.pack(item, (*path, key))] for key, item in value.items()]
        packed: dict[str, object] = {_TAGS[type(value)]: pairs}
        # torch hangs the version of each module onto the state: an attribute of the ordered dictionary
        attributes = vars(value) if isinstance(value, OrderedDict) else {}
        if set(attributes) - {"_metadata"}:
            raise self.refuse(path, "no attribute but _metadata", f"the attributes {sorted(attributes)}")
        if attributes:
            packed["metadata"] = self.pack(attributes["_metadata"], (*path, "_metadata"))
        return packed

    def pack_tensor(self, value: torch.Tensor, path: tuple[object, ...]) -> object:
        tag = {torch.Tensor: "tensor", torch.nn.Parameter: "parameter"}.get(type(value))
        dense = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
        if tag is None or not dense or value.dtype not in _DTYPE_NAMES:
            found = f"{type(value).__qualname__} of {value.dtype}, {value.layout}, on {value.device}"
            raise self.refuse(path, "a dense tensor of a plain element type", found)
        place = (value.untyped_storage().data_ptr(), value.storage_offset(), value.stride(), value.shape, value.dtype)
        # an empty tensor has no place of its own; a conjugate shares one with its original
        tied = place if value.numel() and not value.is_conj() and not value.is_neg() else object()
        name = self.known.get((tied,))
        if name is None:
            name = self.known[(tied,)] = self.name(path)
            self.tensors.append(StateTensor(name, _DTYPE_NAMES[value.dtype], tuple(value.shape), value))
        packed: dict[str, object] = {tag: name}
        return (
            packed | {"requires_grad": value.requires_grad} if value.requires_grad != (tag == "parameter") else packed
        )

    def name(self, path: tuple[object, ...]) -> str:
        bare = "/".join(str(step) for step in path).encode("utf-8", "replace").decode() or "state"
        name, number = bare, 2
        while name in self.names:  # 0 and "0" are two keys
            name, number = f"{bare} ({number})", number + 1
        self.names.add(name)
        return name

    def refuse(self, path: tuple[object, ...], expected: str, found: str) -> BadRecord:
        return BadRecord(f"{self.where}: {'/'.join(str(step) for step in path) or 'state'}", expected, found)


def _unpack(packed: object, tensors: Mapping[str, torch.Tensor]) -> object:
    """Return the value that one node of the JSON stands for."""
    if isinstance(packed, list):
        return [_unpack(item, tensors) for item in packed]
    if not isinstance(packed, dict):
        return packed
    if not packed:
        raise ValueError("expected an object with a tag, found {}")
    tag = next(iter(packed))
    content = packed[tag]
    if tag in ("tensor", "parameter"):
        wanted = packed.get("requires_grad", tag == "parameter")
        if tag == "parameter":
            return torch.nn.Parameter(tensors[content], requires_grad=wanted)
        return tensors[content].detach().requires_grad_(wanted)
    if tag in _MAPPINGS:
        mapping = _MAPPINGS[tag]({_unpack(key, tensors): _unpack(item, tensors) for key, item in content})
        if "metadata" in packed:
            vars(mapping)["_metadata"] = _unpack(packed["metadata"], tensors)
        return mapping
    if tag in _SEQUENCES:
        return _SEQUENCES[tag](_unpack(item, tensors) for item in content)
    if tag in ("float", "bytes"):
        return float(content) if tag == "float" else bytes.fromhex(content)
    raise ValueError(f"expected one of {', '.join((*_MAPPINGS, *_SEQUENCES))}, found {tag!r}")
