"""Whatever files a checkpoint is, they come back; whatever kills a write, an archive is whole or not there."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.file import read_checkpoint
from data.whole_file import claimed_file
from tasks.codecs import lossy, qfz
from tasks.codecs.archive import open_archive
from tasks.codecs.compress import compress_checkpoint
from tasks.codecs.container import read_index
from tasks.codecs.index import Source, SourceFile
from tasks.codecs.keeping import Packing
from tasks.codecs.restore import Restoring, restore_checkpoint
from tasks.codecs.writer import write_archive

ROOT = Path(__file__).resolve().parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def normal(count: int, seed: int) -> Any:
    return np.random.default_rng(seed).standard_normal(count).astype("<f4")


ARRAYS = {
    "weights": normal(12, 1).reshape(3, 4),
    "turned": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "text": np.array(["a", "bcd"]),
    "big": np.arange(5, dtype=">i4"),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(2.5),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_npy_file_comes_back_byte_for_byte(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "a.npy", ARRAYS[name])
    compress_checkpoint(tmp_path / "a.npy", tmp_path / "a.qfz")
    assert restore_checkpoint(tmp_path / "a.qfz", tmp_path / "r.npy").same_file
    assert (tmp_path / "r.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_arrays_of_an_npz_file_come_back(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    compress_checkpoint(tmp_path / "a.npz", tmp_path / "a.qfz")
    for target in ("r.npz", "again.npz"):
        restore_checkpoint(tmp_path / "a.qfz", tmp_path / target)
    assert (tmp_path / "r.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    with np.load(tmp_path / "r.npz") as loaded:
        assert loaded.files == list(ARRAYS)
        for name, array in ARRAYS.items():
            found = loaded[name]
            assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
            assert found.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize("member", ["../a.npy", "/a.npy", "b\\..\\a.npy", "", "a\0b", "a" * 70_000])
def test_a_member_that_would_leave_its_folder_is_refused(tmp_path: Path, member: str) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    contents = read_checkpoint(tmp_path / "a.npz")
    tree = json.loads(contents.leaves)
    tree["arrays"][0][0] = member
    leaves = json.dumps(tree).encode()
    size = (tmp_path / "a.npz").stat().st_size
    source = Source("npz", "0" * 64, size, (SourceFile("", "0" * 64, size, len(leaves), 1),))
    with (tmp_path / "a.qfz").open("wb") as file:
        write_archive(file, source, leaves, contents.tensors)
    with pytest.raises(BadRecord, match="expected the leaves of an npz file, found a member called"):
        restore_checkpoint(tmp_path / "a.qfz", tmp_path / "r.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "a.qfz"]


def shards(folder: Path) -> Path:
    folder.mkdir()
    files = {f"layer{number}": f"model-{number + 1:05}-of-00003.safetensors" for number in range(3)}
    for number, (name, file) in enumerate(files.items()):
        save_file({name: normal(200_000, number), f"{name}.bias": normal(7, number)}, folder / file)
    files |= {f"{name}.bias": file for name, file in files.items()}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}, indent=1))
    return folder


@pytest.mark.parametrize("workers", [1, 3])
def test_shards_and_their_index_come_back_byte_for_byte(tmp_path: Path, workers: int) -> None:
    folder = shards(tmp_path / "model")
    compressed = compress_checkpoint(folder, tmp_path / "m.qfz", packing=Packing(workers=workers))
    assert len(read_index(tmp_path / "m.qfz").source.files) == 4
    restored = restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r", restoring=Restoring(workers=workers))
    assert names(tmp_path / "r") == names(folder)
    assert all((tmp_path / "r" / name).read_bytes() == (folder / name).read_bytes() for name in names(folder))
    assert restored.same_file
    assert (restored.sha256, restored.size_bytes) == (compressed.source_sha256, compressed.source_bytes)
    assert restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r") == restored  # what is there is compared and kept
    (tmp_path / "r" / "model-00001-of-00003.safetensors").write_bytes(
        (folder / "model-00002-of-00003.safetensors").read_bytes()
    )
    with pytest.raises(BadRecord):
        restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r")


def test_a_damaged_archive_of_shards_leaves_no_folder(tmp_path: Path) -> None:
    folder = shards(tmp_path / "model")
    compress_checkpoint(folder, tmp_path / "m.qfz")
    octets = bytearray((tmp_path / "m.qfz").read_bytes())
    octets[1_500_000] ^= 4
    (tmp_path / "m.qfz").write_bytes(octets)
    with pytest.raises(BadRecord, match="chunk"):
        restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r")
    assert names(tmp_path) == ["m.qfz", "model"]


def test_a_lossy_archive_keeps_its_bound_and_says_that_it_is_one(tmp_path: Path) -> None:
    values = np.concatenate([normal(50_000, 3), np.array([np.nan, np.inf, 1e30], dtype="<f4")])
    save_file({"w": values, "kept": values[:2000].copy()}, tmp_path / "m.safetensors")
    packing = Packing("abs:1e-3", ("kept",))
    compressed = compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz", packing=packing)
    restored = restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r.safetensors")
    assert (compressed.exact, restored.same_file) == (False, False)
    loaded: Any = qfz.load_file(tmp_path / "m.qfz")
    finite = np.isfinite(values)
    assert 0 < np.abs(loaded["w"][finite].astype(float) - values[finite]).max() <= 1e-3
    assert loaded["w"][~finite].tobytes() == values[~finite].tobytes()
    assert loaded["kept"].tobytes() == values[:2000].tobytes()
    with pytest.raises(BadRecord, match="an exact archive, found one that lost of w"):
        compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")


def test_a_policy_of_ones_own_goes_before_the_words(tmp_path: Path) -> None:
    source = model(tmp_path)
    packing = Packing(other=lossy.by_tensor({"1": 0.01}))
    assert not compress_checkpoint(source, tmp_path / "m.qfz", packing=packing).exact
    found = {stored.name: stored.error is None for stored in read_index(tmp_path / "m.qfz").tensors}
    assert [name for name, exact in found.items() if not exact] == ["1"]


def test_an_archive_whose_base_lies_elsewhere_is_compared_and_kept(tmp_path: Path) -> None:
    before = normal(50_000, 1)
    (tmp_path / "bases").mkdir()
    for name, values in (("a", before), ("b", before + np.float32(1e-7))):
        save_file({"w": values}, tmp_path / f"{name}.safetensors")
    base = tmp_path / "bases" / "a.qfz"
    compress_checkpoint(tmp_path / "a.safetensors", base)
    done = compress_checkpoint(tmp_path / "b.safetensors", tmp_path / "b.qfz", base=base)
    assert done.base == "a.qfz"
    assert compress_checkpoint(tmp_path / "b.safetensors", tmp_path / "b.qfz", base=base) == done
    with pytest.raises(SourceUnavailable, match=r"a\.qfz"):
        restore_checkpoint(tmp_path / "b.qfz", tmp_path / "r")
    for place in (base, base.parent):
        assert restore_checkpoint(tmp_path / "b.qfz", tmp_path / "r", restoring=Restoring((place,))).same_file
    assert names(tmp_path) == ["a.safetensors", "b.qfz", "b.safetensors", "bases", "r"]


def test_threads_do_not_change_a_byte(tmp_path: Path) -> None:
    save_file({f"{number}": normal(150_000, number % 4) for number in range(6)}, tmp_path / "m.safetensors")
    for workers in (1, 3):
        compress_checkpoint(tmp_path / "m.safetensors", tmp_path / f"{workers}.qfz", packing=Packing(workers=workers))
    assert (tmp_path / "1.qfz").read_bytes() == (tmp_path / "3.qfz").read_bytes()


COMPRESS = """
import sys
from pathlib import Path
from tasks.codecs.compress import compress_checkpoint
compress_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), progress=lambda *told: print(*told, flush=True))
"""
SAVE = """
import os, sys
import numpy as np
from tasks.codecs import lossy, qfz
tensors = {str(n): np.random.default_rng(n).standard_normal(150_000).astype("<f4") for n in range(8)}
qfz.save({"warm": tensors["0"]})
while sys.stdin.readline():
    child = os.fork()
    if not child:
        qfz.save_file(tensors, sys.argv[1])
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()
    os.waitpid(child, 0)
    print("over", flush=True)
"""


def started(code: str, *arguments: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *(str(each) for each in arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def killed_after(code: str, lines: int, *arguments: Path) -> None:
    """Run ``code``, and kill it with SIGKILL once it has said so many lines."""
    with started(code, *arguments) as process:
        assert process.stdout is not None
        for _ in range(lines):
            if not process.stdout.readline():
                break
        process.kill()


def model(folder: Path) -> Path:
    """Write a model of twelve chunks in eight tensors, one of which is tied to another."""
    tensors = {str(number): normal(200_000, number % 7) for number in range(8)}
    save_file(tensors, folder / "m.safetensors")
    return folder / "m.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize("lines", [10, 15, 20])
def test_a_killed_write_continues_where_it_was(tmp_path: Path, lines: int) -> None:
    """The archive is the same byte for byte as one that was written at once."""
    source = model(tmp_path)
    killed_after(COMPRESS, lines, source, tmp_path / "m.qfz")
    assert ".m.qfz.partial" in names(tmp_path)
    assert "m.qfz" not in names(tmp_path)
    kept = (tmp_path / ".m.qfz.journal").read_text().count('"stored"')
    packed: list[int] = []
    compress_checkpoint(
        source, tmp_path / "m.qfz", progress=lambda phase, done, _: packed.append(done) if phase == "compress" else None
    )
    assert kept >= 1
    assert packed[1:kept] == [800_000] * (kept - 1)  # after the leaves, tensors that were there already, not chunks
    compress_checkpoint(source, tmp_path / "once.qfz")
    assert (tmp_path / "m.qfz").read_bytes() == (tmp_path / "once.qfz").read_bytes()
    assert names(tmp_path) == ["m.qfz", "m.safetensors", "once.qfz"]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["partial", "journal", "source", "options"])
def test_a_killed_write_that_is_not_to_be_believed_begins_anew(tmp_path: Path, what: str) -> None:
    source = model(tmp_path)
    killed_after(COMPRESS, 20, source, tmp_path / "m.qfz")
    path = tmp_path / f".m.qfz.{'journal' if what == 'journal' else 'partial'}"
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 8
    if what in ("partial", "journal"):
        path.write_bytes(octets)
    if what == "source":
        save_file({"other": normal(200_000, 9)}, source)
    packing = Packing(effort="small" if what == "options" else "fast")
    compress_checkpoint(source, tmp_path / "m.qfz", packing=packing)
    compress_checkpoint(source, tmp_path / "once.qfz", packing=packing)
    assert (tmp_path / "m.qfz").read_bytes() == (tmp_path / "once.qfz").read_bytes()
    assert names(tmp_path) == ["m.qfz", "m.safetensors", "once.qfz"]


@pytest.mark.slow
def test_ten_kills_leave_the_old_archive_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a.qfz"
    qfz.save_file({"old": np.ones(3)}, path)
    old = path.read_bytes()
    with started(SAVE, path) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def saved(kill_after_s: float) -> bytes:
            print("save", file=process.stdin, flush=True)
            child = int(process.stdout.readline())  # type: ignore[union-attr]
            time.sleep(kill_after_s)
            os.kill(child, signal.SIGKILL)  # its number is not another's: its parent waits for our word
            print("wait", file=process.stdin, flush=True)
            process.stdout.readline()  # type: ignore[union-attr]
            return path.read_bytes()

        began = time.monotonic()
        print("save\nwait", file=process.stdin, flush=True)
        process.stdout.readline()
        process.stdout.readline()
        takes_s = time.monotonic() - began
        new, seen = path.read_bytes(), set()
        for kill in range(10):
            path.write_bytes(old)
            seen.add(saved(takes_s * kill / 9))
        process.stdin.close()
    assert new != old
    assert seen <= {old, new}
    assert old in seen


@pytest.mark.slow
def test_two_writers_of_one_archive_do_not_disturb_each_other(tmp_path: Path) -> None:
    source = model(tmp_path)
    with started(COMPRESS, source, tmp_path / "m.qfz") as process:
        assert process.stdout is not None
        while "compress" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(SourceUnavailable, match=r"m\.qfz: another process is writing it"):
            compress_checkpoint(source, tmp_path / "m.qfz")
        process.send_signal(signal.SIGCONT)
        process.stdout.read()
    assert process.returncode == 0
    assert names(tmp_path) == ["m.qfz", "m.safetensors"]
    with open_archive(tmp_path / "m.qfz") as archive:
        archive.verify()


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    source = model(tmp_path)
    (tmp_path / "other.safetensors").write_bytes(source.read_bytes()[:-1] + b"\1")
    compress_checkpoint(tmp_path / "other.safetensors", tmp_path / "m.qfz")
    before = (tmp_path / "m.qfz").read_bytes()
    with pytest.raises(BadRecord, match="not overwritten"):
        compress_checkpoint(source, tmp_path / "m.qfz")
    assert (tmp_path / "m.qfz").read_bytes() == before


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    with claimed_file(tmp_path / "a") as file:
        file.write(b"whole")
        with pytest.raises(SourceUnavailable, match="another process is writing it"), claimed_file(tmp_path / "a"):
            pass
    assert (tmp_path / "a").read_bytes() == b"whole"
    with pytest.raises(KeyboardInterrupt), claimed_file(tmp_path / "a") as file:
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a"]


def test_a_full_disk_leaves_no_shards_and_no_parts(tmp_path: Path) -> None:
    folder = shards(tmp_path / "model")
    compress_checkpoint(folder, tmp_path / "m.qfz")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(BadRecord, match="with room for the file"):
            restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r")
        with pytest.raises(BadRecord, match="with room for the file"):
            compress_checkpoint(folder, tmp_path / "x.qfz")
        with pytest.raises(OSError, match="too large"):
            qfz.save_file({"a": normal(200_000, 1)}, tmp_path / "y.qfz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["m.qfz", "model"]


PEAK = """
import sys
from pathlib import Path
from tasks.codecs.compress import compress_checkpoint
from tasks.codecs.index import Source, SourceFile
from tasks.codecs.keeping import Packing
from tasks.codecs.restore import Restoring, restore_checkpoint
from tasks.codecs.writer import write_archive

def peak_kib():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

folder = Path(sys.argv[1])
compress_checkpoint(folder / "warm.safetensors", folder / "warm.qfz", packing=Packing(workers=2))  # kernels are loaded
restore_checkpoint(folder / "warm.qfz", folder / "warm", restoring=Restoring(workers=2))
before = peak_kib()
compress_checkpoint(folder / "m.safetensors", folder / "m.qfz", packing=Packing(workers=2))
restore_checkpoint(folder / "m.qfz", folder / "r.safetensors", restoring=Restoring(workers=2))
print(before, peak_kib())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_checkpoint(tmp_path: Path) -> None:
    """200 MB through less than 60 MB, as the system counts the process."""
    values = normal(500_000, 7)
    save_file({"w": values}, tmp_path / "warm.safetensors")
    tensors = {f"{number}": np.roll(values, number) for number in range(99)}
    tensors["large"] = values[:500_000]
    save_file(tensors, tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").stat().st_size > 2e8
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    before, after = (int(number) for number in done.stdout.split())
    assert after - before < 60 * 1024
