"""What becomes of the verbs that read and write files, given mutated checkpoints, archives of them, and bases?

A mutated checkpoint is compressed; a mutated archive, or one whose base was mutated or exchanged, is restored, or it is
loaded. Whatever happens, no file may be left behind that was not there before, unless it is the whole result.
"""

import atexit
import io
import json
import shutil
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tasks.codecs import qfz
from tasks.codecs.compress import compress_checkpoint
from tasks.codecs.keeping import Packing
from tasks.codecs.restore import Restoring, restore_checkpoint
from tests.fuzz_archives import outcome_of
from tests.fuzz_mutations import change_field, mutated, scarred
from tests.fuzz_samples import REBUILT_BYTES, Sample, parts, taken_apart

_RESTORING = Restoring(limit_bytes=1 << 24, memory_bytes=REBUILT_BYTES)
_SHARDS = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """An archive of a checkpoint and those below it, by name; the top one stands first."""

    name: str
    top: Sample
    below: dict[str, bytes]
    restored: dict[str, bytes]


@lru_cache(maxsize=1)
def checkpoints() -> dict[str, dict[str, bytes]]:
    """Return the files of a checkpoint of every format."""
    import torch

    rng = np.random.default_rng(2)
    arrays: dict[str, Any] = {
        "w": rng.standard_normal((16, 5)).astype("<f4"),
        "turned": np.asfortranarray(np.arange(6, dtype="<i8").reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "none": np.zeros((0, 3), "<f8"),
    }
    tensors = {
        name: np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))) for name, array in arrays.items()
    }
    weight = torch.from_numpy(arrays["w"].copy())
    state = {
        "model": OrderedDict(a=weight, tied=weight, half=weight.bfloat16()),
        "steps": [1, 2.5, float("nan"), None, "x", (True, b"\0")],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_file(tensors, folder / "m.safetensors", metadata={"format": "pt"})
        torch.save(state, folder / "m.pt")
        np.savez(folder / "m.npz", **arrays)
        np.savez_compressed(folder / "d.npz", **arrays)
        np.save(folder / "m.npy", arrays["turned"])
        files = {path.name: {path.name: path.read_bytes()} for path in folder.iterdir()}
        shards = {"w": "model-1.safetensors", "big": "model-2.safetensors"}
        for tensor, shard in shards.items():
            save_file({tensor: tensors[tensor]}, folder / shard)
        (folder / _SHARDS).write_text(json.dumps({"metadata": {}, "weight_map": shards}))
        files[_SHARDS] = {shard: (folder / shard).read_bytes() for shard in (_SHARDS, *shards.values())}
    return files


@lru_cache(maxsize=1)
def archives() -> tuple[Kept, ...]:
    """Return archives of checkpoints of every format, lossy ones, and a chain."""
    found = [_kept(name, files, Packing()) for name, files in checkpoints().items()]
    plain = checkpoints()["m.safetensors"]
    found += [_kept("m.safetensors", plain, Packing(keep=keep)) for keep in ("int8", "rms:0.05", "network:0.2")]
    return (*found, _chain())


def _kept(name: str, files: dict[str, bytes], packing: Packing) -> Kept:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "in").mkdir()
        for file, octets in files.items():
            (folder / "in" / file).write_bytes(octets)
        compress_checkpoint(folder / "in" / name, folder / "m.qfz", packing=packing)
        restore_checkpoint(folder / "m.qfz", folder / "out")
        top = taken_apart(f"{name} {packing.keep}", (folder / "m.qfz").read_bytes())
        return Kept(top.name, top, {}, _files(folder / "out"))


def _chain() -> Kept:
    """Return an archive that needs one that needs another, of numbers that go on as they went."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal(3_000).astype("<f4")
    step = (1e-4 * rng.standard_normal(3_000)).astype("<f4")
    with tempfile.TemporaryDirectory() as place:
        folder, base = Path(place), None
        for name in ("a", "b", "c"):
            values = values + step + (1e-6 * rng.standard_normal(3_000)).astype("<f4")
            save_file({"w": values}, folder / f"{name}.safetensors")
            compress_checkpoint(
                folder / f"{name}.safetensors", folder / f"{name}.qfz", base=base, packing=Packing(effort="small")
            )
            base = folder / f"{name}.qfz"
        restore_checkpoint(folder / "c.qfz", folder / "out")
        below = {name: (folder / name).read_bytes() for name in ("b.qfz", "a.qfz")}
        octets = (folder / "c.qfz").read_bytes()
        tensors = {name: array.tobytes() for name, array in qfz.load_file(folder / "c.qfz").items()}
        top = Sample("chain", octets, *parts(octets), None, tensors)
        return Kept("chain", top, below, _files(folder / "out"))


def judged_case(seed: int, number: int) -> tuple[str, str]:
    """Return what was mutated, and what became of it (:func:`tests.fuzz_archives.outcome_of`)."""
    rng = np.random.default_rng((seed, number))
    folder = _emptied()
    what = int(rng.integers(5))
    if what < 2:
        name, work = _compressed(folder, rng)
    else:
        name, work = _restored(folder, rng) if what < 4 else _loaded(folder, rng)
    before = _files(folder)
    outcome = outcome_of(work, *((ValueError,) if what == 4 else ()))  # numpy does not have every type
    results = ("out", "out.qfz") if outcome == "read" else ()
    left = [path for path in _files(folder).keys() - before.keys() if path.split("/")[0] not in results]
    return name, f"FINDING: {left} left behind, {outcome}" if left else outcome


def _compressed(folder: Path, rng: np.random.Generator) -> tuple[str, Callable[[], str]]:
    """Return what compresses a mutated checkpoint, which must then be restored to it."""
    names = sorted(checkpoints())
    name = names[int(rng.integers(len(names)))]
    files = dict(checkpoints()[name])
    chosen = sorted(files)[int(rng.integers(len(files)))]
    files[chosen] = _changed_checkpoint(chosen, files[chosen], rng)
    for file, octets in files.items():
        (folder / file).write_bytes(octets)

    def work() -> str:
        compress_checkpoint(folder / name, folder / "out.qfz")
        restore_checkpoint(folder / "out.qfz", folder / "out")
        if name.endswith((".safetensors", ".npy")) and (folder / "out").read_bytes() != files[name]:
            return "FINDING: another file, without a word"
        return "read"

    return f"compress {name}", work


def _changed_checkpoint(name: str, octets: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with something wrong: any bytes, its header, or what a zip file holds with the CRC made right."""
    how = int(rng.integers(4))
    if how == 0:
        return octets[: int(rng.integers(len(octets)))]
    if how == 1 or name.endswith(".npy"):
        length = len(octets) if how == 1 else 128
        return scarred(octets[:length], rng) + octets[length:]
    if name.endswith(".json"):
        index = json.loads(octets)
        change_field(index, rng)
        return json.dumps(index).encode()
    if name.endswith(".safetensors"):
        length = int.from_bytes(octets[:8], "little")
        text = octets[8 : 8 + length]
        if how == 2:
            header = json.loads(text)
            change_field(header, rng)
            text = json.dumps(header).encode()
        else:
            text = scarred(text, rng)
        return len(text).to_bytes(8, "little") + text + octets[8 + length :]
    return _rezipped(octets, rng)


def _rezipped(octets: bytes, rng: np.random.Generator) -> bytes:
    """Return a zip file of which a member was changed, left out, doubled or renamed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(octets)) as before, zipfile.ZipFile(out, "w") as after:
        entries = before.infolist()
        chosen, how = int(rng.integers(len(entries))), int(rng.integers(8))
        for number, entry in enumerate(entries):
            content, member = before.read(entry), entry.filename
            if number == chosen and how == 0:
                continue
            if number == chosen and how == 1:
                member = ("../x.npy", "w.npy", "x" * 9000 + ".npy", "archive/data.pkl")[int(rng.integers(4))]
            elif number == chosen:
                length = min(len(content), 128) if how < 5 else len(content)
                content = scarred(content[:length], rng) + content[length:]
            with warnings.catch_warnings(action="ignore"):  # two of one name are meant
                after.writestr(member, content, entry.compress_type)
    return out.getvalue()


def _given(folder: Path, rng: np.random.Generator) -> tuple[Kept, bool]:
    """Write a mutated archive, or one on another base; return it, and whether checksums were mended."""
    kept = archives()[int(rng.integers(len(archives())))]
    whole, mended = {"c.qfz": kept.top.octets, **kept.below}, False
    names = tuple(whole)
    chosen = names[int(rng.integers(len(names)))]
    how = int(rng.integers(5)) if kept.below else 4
    if how == 0:
        whole[chosen] = whole[names[int(rng.integers(len(names)))]]
        mended = chosen == "c.qfz"  # a whole archive of something else is no damage
    elif how == 1:
        del whole[chosen]
    elif how == 2:
        whole[chosen] = scarred(whole[chosen], rng)
    else:
        sample = kept.top if how == 4 else _lowest()
        whole["c.qfz" if how == 4 else "a.qfz"], mended = mutated(sample, rng)
    for name, octets in whole.items():
        (folder / name).write_bytes(octets)
    return kept, mended


@lru_cache(maxsize=1)
def _lowest() -> Sample:
    return taken_apart("a.qfz", archives()[-1].below["a.qfz"])


def _restored(folder: Path, rng: np.random.Generator) -> tuple[str, Callable[[], str]]:
    """Return what restores a mutated archive."""
    kept, mended = _given(folder, rng)
    restoring = Restoring((), 1, bool(rng.integers(2)), _RESTORING.limit_bytes, _RESTORING.memory_bytes)

    def work() -> str:
        restore_checkpoint(folder / "c.qfz", folder / "out", restoring=restoring)
        same = mended or _files(folder / "out") == kept.restored
        return "read" if same else "FINDING: another checkpoint, without a word"

    return f"restore {kept.name}", work


def _loaded(folder: Path, rng: np.random.Generator) -> tuple[str, Callable[[], str]]:
    """Return what loads a mutated archive, from its file or from memory."""
    kept, mended = _given(folder, rng)
    framework, from_file = ("numpy", "torch")[int(rng.integers(2))], bool(rng.integers(2))

    def work() -> str:
        if from_file:
            found: dict[str, Any] = qfz.load_file(folder / "c.qfz", framework=framework)
        else:
            octets = (folder / "c.qfz").read_bytes() if (folder / "c.qfz").exists() else b""
            found = qfz.load(octets, framework=framework, bases=(folder,))
        same = mended or framework != "numpy" or kept.top.tensors == {n: array.tobytes() for n, array in found.items()}
        return "read" if same else "FINDING: other tensors, without a word"

    return f"load {kept.name}", work


def _files(place: Path) -> dict[str, bytes]:
    """Return every file of a folder by its path in it, or the one file, which has no name."""
    if place.is_file():
        return {"": place.read_bytes()}
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


@lru_cache(maxsize=1)
def _folder() -> Path:
    name = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, name)
    return Path(name)


def _emptied() -> Path:
    """Return a folder with nothing in it; the same one every time."""
    folder = _folder()
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder
