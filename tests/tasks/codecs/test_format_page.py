"""The page and the schema that are published say what archives are: enough to write a reader from."""

import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Literal

import jsonschema
import numpy as np
import pytest

from tasks.codecs.chain import Chain
from tasks.codecs.coded_planes import CodedPlanes
from tasks.codecs.delta import Delta
from tasks.codecs.delta_trend import Trend
from tasks.codecs.networks.form import Kind, NetworkForm, decompose
from tasks.codecs.networks.quantised import from_bytes, quantise, to_bytes
from tasks.codecs.networks.rebuild import tensor_octets
from tasks.codecs.protocol import Around
from tasks.codecs.quantise import Quantised
from tasks.codecs.quantise_groups import QuantisedGroups
from tasks.codecs.schema import PATH, schema_text
from tests.fuzz_samples import samples
from tests.tasks.codecs import network_reader_from_the_page as networks_page
from tests.tasks.codecs import reader_from_the_page as page

GOLDEN = Path(__file__).parents[2] / "golden"


def test_the_published_schema_is_the_one_of_the_dataclasses() -> None:
    assert PATH.read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("reader", [page, networks_page])
def test_a_reader_of_the_page_shares_nothing_with_the_code(reader: ModuleType) -> None:
    text = Path(str(reader.__file__)).read_text(encoding="utf-8")
    assert not any(f"{word} {package}" in text for word in ("import", "from") for package in ("tasks", "data", "tests"))


@pytest.mark.parametrize("name", ["small.qfz", "small_torch.qfz"])
def test_the_golden_archives_are_read_by_the_page(name: str) -> None:
    octets = (GOLDEN / name).read_bytes()
    index, _ = page.read_index(octets)
    jsonschema.validate(index, json.loads(PATH.read_text(encoding="utf-8")))
    found = page.read_archive(octets)
    if name == "small.qfz":
        assert b"".join(found.values()) == (GOLDEN / "small.safetensors").read_bytes()


OPERATIONS = {"zstd", "planes", "coded_planes", "delta", "delta_trend", "quantised", "quantised_groups"}


@pytest.mark.slow
def test_generated_archives_are_read_by_the_page() -> None:
    seen = set()
    held: dict[str, page.History] = {}
    for sample in samples():
        kinds = {operation["kind"] for chain in sample.index["chains"] for operation in chain}
        if kinds <= OPERATIONS and not any("recipe" in stored for stored in sample.index["tensors"]):
            below: page.History | None = None
            for each in reversed(sample.chain):
                if each.name not in held:
                    held[each.name] = page.read_history(each.octets, below)
                below = held[each.name]
            found = {name: versions[0] for name, versions in held[sample.name].items()}
            assert found.pop("") == b"{}"
            assert found == sample.tensors
            seen |= kinds
    assert seen == OPERATIONS


def floats(dtype: str, count: int) -> bytes:
    values = (np.random.default_rng(count).laplace(size=count) * 0.02).astype("<f4")
    values[:4] = [0.0, -0.0, np.inf, np.nan]
    if dtype == "BF16":
        return (values.view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<f4", "C128": "<f8"}[dtype]).tobytes()


@pytest.mark.parametrize(
    ("dtype", "count", "effort", "how"),
    [
        ("F32", 8_201, "fast", 3),
        ("BF16", 9_007, "fast", 3),
        ("F16", 30_005, "fast", 4),
        ("F16", 12_005, "small", 2),
        ("C64", 3_000, "small", 2),
        ("F64", 1_003, "fast", 2),
    ],
)
def test_coded_planes_are_read_by_the_page(dtype: str, count: int, effort: str, how: int) -> None:
    raw = floats(dtype, count)
    codec = CodedPlanes(rotated=True, effort=effort)  # type: ignore[arg-type]
    packed = bytes(codec.encode(raw, Around(dtype)))
    assert packed[4] == how  # the plane of exponents
    assert page.coded_planes(packed, page.width_of(dtype), rotated=True) == raw


@pytest.mark.parametrize("raw", [b"", b"\7", bytes(4_096), bytes(range(7)) * 300])
def test_few_and_constant_words_are_read_by_the_page(raw: bytes) -> None:
    assert page.coded_planes(bytes(CodedPlanes().encode(raw, Around("U8"))), 1, rotated=False) == raw


@pytest.mark.parametrize("dtype", ["U8", "I16", "F16", "BF16", "F32", "C64", "I64", "F64", "C128", "F8_E4M3"])
def test_differences_are_read_by_the_page(dtype: str) -> None:
    base = floats(dtype, 2_003) if dtype in page.EXPONENTS else np.random.default_rng(3).bytes(16_000)
    words = np.frombuffer(base, f"<u{page.width_of(dtype)}").copy()
    moved = np.random.default_rng(4).random(len(words)) < 0.3
    words[moved] += np.random.default_rng(5).integers(0, 20, len(words)).astype(words.dtype)[moved]
    raw = words.tobytes()
    packed = bytes(Delta().encode(raw, Around(dtype, base)))
    assert page.difference(packed, base, dtype) == raw


@pytest.mark.parametrize("changes", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64", "C64", "C128"])
def test_trends_are_read_by_the_page(dtype: str, changes: Literal[1, 2, 3]) -> None:
    rng, count = np.random.default_rng(6), 2_003
    first, step = rng.standard_normal((2, count))
    chunks = [page.of_floats(first + n * 0.01 * step, dtype).tobytes() for n in range(5)]
    chunks = [floats(dtype, 8)[: 4 * page.width_of(dtype)] + chunk for chunk in chunks]  # infinite, and no number
    raw, base, *earlier = reversed(chunks)
    packed = bytes(Trend(changes=changes).encode(raw, Around(dtype, base, earlier=tuple(earlier[:changes]))))
    assert page.trend(packed, [base, *earlier], dtype, changes) == raw


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
@pytest.mark.parametrize(
    "codec", [Quantised(0.01, 0.006), Quantised(0.05, 0.045), QuantisedGroups(8, 100, 30), QuantisedGroups(4, 64, 64)]
)
def test_quantised_chunks_are_read_by_the_page(codec: Quantised | QuantisedGroups, dtype: str) -> None:
    raw = floats(dtype, 3_001)  # with an infinity and one that is no number
    packed = bytes(codec.encode(raw, Around(dtype)))
    assert int.from_bytes(packed[4:8], "little") >= 2 or codec.kind == "quantised_groups"
    wanted = bytes(codec.decode(packed, Around(dtype), len(raw)))
    assert page.undone(asdict(codec), packed, dtype, []) == wanted


@pytest.mark.parametrize("kind", ["cp", "tucker", "tt", "qtt"])
@pytest.mark.parametrize("relative_error", [0.2, 1e-3, 1e-6])
def test_networks_are_read_by_the_page(kind: Kind, relative_error: float) -> None:
    rng = np.random.default_rng(8)
    axes = [np.linspace(0.0, 1.0, length) for length in (12, 8, 6)]
    smooth = np.exp(-np.abs(axes[0][:, None, None] - axes[1][None, :, None]) - 2.0 * axes[2])
    form = NetworkForm(kind, ((3, 4), (2, 2, 2), (6,)), (0, 2, 1, 5, 3, 4), (2, 1, 1, 2))
    if kind == "qtt":
        form = NetworkForm(kind, ((3, 4), (2, 2, 2), (6,)), (0, 2, 1, 5, 3, 4), (1,) * 6)
    found = quantise(decompose(smooth, form, relative_error / 2, rng), relative_error / 2)
    read = networks_page.tensor(to_bytes(found))
    wanted = np.frombuffer(tensor_octets(from_bytes(to_bytes(found)), "F64").tobytes(), "<f8").reshape(smooth.shape)
    np.testing.assert_allclose(read, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())
    assert np.linalg.norm(read - smooth) <= 1.1 * relative_error * np.linalg.norm(smooth)


@pytest.mark.parametrize("chain", [(CodedPlanes(rotated=True),)])
def test_the_page_refuses_a_changed_stream(chain: Chain) -> None:
    """Its states would not end as they began."""
    packed = bytearray(chain[0].encode(floats("F32", 8_201), Around("F32")))
    packed[200] ^= 1
    with pytest.raises((AssertionError, StopIteration)):
        page.coded_planes(bytes(packed), 4, rotated=True)
