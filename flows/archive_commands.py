"""What can be done with checkpoints from a terminal? Compress, restore, inspect and verify archives."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.told import say, told

if TYPE_CHECKING:
    from tasks.codecs.compress import Progress
    from tasks.codecs.index import Index
    from tasks.codecs.restore import Restoring
    from tasks.codecs.treatment import Policy

archive_app = typer.Typer(
    no_args_is_help=True,
    help="Compress checkpoints without losing a bit (or within a bound), restore, inspect and verify them.",
)

Archive = Annotated[Path, typer.Argument(help="An archive, *.qfz.")]
Workers = Annotated[int, typer.Option(min=1, max=1024, help="Threads; they do not change a byte.")]
Bases = Annotated[
    list[Path] | None,
    typer.Option("--base", help="An archive below this one, or a folder of some. Default: beside it."),
]
Verify = Annotated[bool, typer.Option("--verify/--no-verify", help="Read back what was written, and compare.")]
WORKERS = min(8, os.cpu_count() or 1)


@archive_app.command()
def compress(
    checkpoint: Annotated[
        Path, typer.Argument(help="safetensors, torch, npz or npy; a shard index (*.index.json) or a folder with one.")
    ],
    archive: Annotated[
        Path | None, typer.Argument(help="Where the archive goes. Default: beside the checkpoint, *.qfz.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="The archive of an earlier checkpoint, to store differences to; it is then needed."),
    ] = None,
    workers: Workers = WORKERS,
    effort: Annotated[Literal["fast", "small"], typer.Option(help="small: fewer bytes, in more time.")] = "fast",
    keep: Annotated[
        str,
        typer.Option(
            help="exact; or a bound: rms:0.01 (of each tensor's RMS), rms-all:0.01 (of the whole, one step for all), "
            "abs:1e-3, int8, int4; network:0.01 (tensor networks where they are smaller); or a preset: "
            "weight-archiving:0.05, gradient-sync, mixed-precision, cpu-only."
        ),
    ] = "exact",
    bits: Annotated[
        Path | None,
        typer.Option(help="With --keep rms:X: sensitivities of tensors (JSON, CSV), to lose X where it matters least."),
    ] = None,
    exact: Annotated[
        list[str] | None, typer.Option(help="With a bound: a tensor that stays exact, * for any letters. Repeatable.")
    ] = None,
    chain: Annotated[
        int, typer.Option(min=0, max=64, help="Archives that may lie one above the other before one stands alone.")
    ] = 8,
    verify: Verify = True,
) -> None:
    """Compress a checkpoint; the archive counts once it was read back and holds the same bits."""
    from tasks.codecs.compress import compress_checkpoint
    from tasks.codecs.keeping import Packing

    target = archive or beside(checkpoint)
    with told(), _usage(), _bars() as progress:
        began = time.monotonic()
        other = None if bits is None else _allocated(checkpoint, bits, keep, workers)
        packing = Packing(keep, tuple(exact or ()), effort, workers, chain, verify, other)
        done = compress_checkpoint(checkpoint, target, base=base, packing=packing, progress=progress)
        seconds = time.monotonic() - began
    kept = (
        "every bit kept" if done.exact else f"kept within {keep}" + (" on the whole, by sensitivities" if bits else "")
    )
    checked = "read back and compared" if verify else "not read back"
    say(
        f"{target}: {done.tensors} tensors, {_size(done.source_bytes)} -> {_size(done.archive_bytes)}, "
        f"{done.ratio:.3f} x smaller, {kept}, {checked}, {seconds:.1f} s"
    )
    if done.base is not None:
        say(f"a difference to {done.base}: keep that archive beside it")
    if done.note:
        say(done.note)


def _allocated(checkpoint: Path, bits: Path, keep: str, workers: int) -> "Policy":
    """Return the policy that spends bits where the sensitivities say; print what it foretells."""
    from data.readers.checkpoint.file import read_checkpoint
    from data.readers.sensitivities import read_sensitivities
    from qiskit_solvers.anneal import Anneal
    from tasks.allocate_bits import allocate_bits

    kind, _, bound = keep.partition(":")
    if kind != "rms":
        raise ValueError(f"--bits: expected --keep rms:RATIO beside it, found {keep!r}")
    made = allocate_bits(
        read_checkpoint(checkpoint).tensors, read_sensitivities(bits), float(bound), Anneal(), seed=0, workers=workers
    )
    before, after = (
        sum(sizes) for sizes in zip(*((row.before_bytes, row.size_bytes) for row in made.rows), strict=True)
    )
    say(f"steps for {len(made.rows)} tensors: {_size(int(before))} with one ratio -> {_size(int(after))} foretold")
    for note in made.notes:
        say(note)
    return made.policy


@archive_app.command()
def restore(
    archive: Archive,
    target: Annotated[Path, typer.Argument(help="The checkpoint to write: a file, or a folder for shards.")],
    base: Bases = None,
    workers: Workers = WORKERS,
    tensor: Annotated[str | None, typer.Option(help="Only this tensor, into *.safetensors or *.npy.")] = None,
    rows: Annotated[
        str | None, typer.Option("--slice", metavar="A:B", help="With --tensor: rows A to before B of it.")
    ] = None,
    refine: Annotated[
        str | None,
        typer.Option(
            help="Guess what a bound lost, within the greatest error, into *.safetensors: sparse-activations, "
            "high-noise, dense-weights, quantized-embeddings; or some of hhl,qft,qsvt."
        ),
    ] = None,
    verify: Verify = True,
) -> None:
    """Restore the checkpoint of an archive, or one tensor of it."""
    from tasks.codecs.extract import Part, extract_tensor
    from tasks.codecs.restore import Restoring, restore_checkpoint

    if rows is not None and tensor is None:
        raise typer.BadParameter("--slice: expected --tensor beside it, found none")
    restoring = Restoring(tuple(base or ()), workers, verify)
    if refine is not None:
        if tensor is not None:
            raise typer.BadParameter("--refine: expected no --tensor beside it, found one")
        _restore_refined(archive, target, refine, restoring)
        return
    with told(), _usage(), _bars() as progress:
        began = time.monotonic()
        if tensor is None:
            done = restore_checkpoint(archive, target, restoring=restoring, progress=progress)
        else:
            part = Part(tensor, None if rows is None else _rows(rows))
            done = extract_tensor(archive, target, part, restoring=restoring)
        seconds = time.monotonic() - began
    same = ", byte for byte the file that was compressed" if done.same_file else ""
    say(f"{target}: {done.tensors} tensors, {_size(done.size_bytes)}{same}, {seconds:.1f} s")
    say(f"sha256 {done.sha256}")


def _restore_refined(archive: Path, target: Path, refine: str, restoring: "Restoring") -> None:
    """Restore with toggles, and say which of them took part."""
    from tasks.codecs.refined_file import restore_refined, toggles_of

    with told(), _usage(), _bars() as progress:
        began = time.monotonic()
        toggles, missing = toggles_of(refine)
        done = restore_refined(archive, target, toggles, restoring=restoring, progress=progress)
        seconds = time.monotonic() - began
    written = done.restored
    say(f"{target}: {done.refined} of {written.tensors} tensors refined, {_size(written.size_bytes)}, {seconds:.1f} s")
    for each in (*missing, *done.fallbacks):
        say(f"{each.wanted}: {each.used} instead: {each.reason}")
    for note in done.notes:
        say(note)
    say(f"sha256 {written.sha256}")


@archive_app.command()
def inspect(
    archive: Archive,
    most: Annotated[int, typer.Option(min=0, help="Tensors to list, the largest in the archive first.")] = 40,
) -> None:
    """Show what an archive holds; only its index is read."""
    from flows.console import wide_console
    from tasks.codecs.container import read_index

    with told():
        index = read_index(archive)
        size = archive.stat().st_size
        ratio = index.source.size_bytes / size
        say(
            f"{archive}: {index.source.format}, {len(index.tensors)} tensors, {_size(index.source.size_bytes)} -> "
            f"{_size(size)}, {ratio:.3f} x smaller\nsource sha256 {index.source.sha256}"
        )
        for file in index.source.files if len(index.source.files) > 1 else ():
            say(f"  {file.name}: {file.tensors} tensors, {_size(file.size_bytes)}")
        if index.base is not None:
            below = index.base
            say(f"a difference to {below.file} (index {below.index_sha256[:16]}), {below.depth} archives below")
        wide_console().print(_table(index, most))


@archive_app.command()
def verify(
    archive: Archive,
    base: Bases = None,
    workers: Workers = WORKERS,
    quick: Annotated[bool, typer.Option("--quick", help="Do not make tensors that have a recipe.")] = False,
) -> None:
    """Read every byte of an archive, decode it, and hash it before and after; make what has recipes."""
    from tasks.codecs.verify import verify_archive

    with told(), _bars() as progress:
        began = time.monotonic()
        done = verify_archive(archive, bases=tuple(base or ()), workers=workers, quick=quick, progress=progress)
        seconds = time.monotonic() - began
    below = f", with the {done.depth} archives below it" if done.depth else ""
    below += f", {done.rebuilt} made from their recipes" if done.rebuilt else ""
    below += f", {done.not_rebuilt} with a recipe not made" if done.not_rebuilt else ""
    say(f"{archive}: {done.tensors} tensors, {_size(done.archive_bytes)}, sound{below}, {seconds:.1f} s")


def beside(checkpoint: Path) -> Path:
    """Return where the archive of a checkpoint goes unless somebody says otherwise: beside it, ``*.qfz``."""
    return checkpoint.with_name(f"{checkpoint.name.removesuffix('.index.json')}.qfz")


@contextmanager
def _bars() -> Iterator["Progress"]:
    """Show a bar for each phase, in bytes; nothing where there is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:12}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total)
            bars.update(tasks[phase], advance=done)

        yield progress


@contextmanager
def _usage() -> Iterator[None]:
    """Say a wrong argument as wrong usage, exit code 2."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _rows(text: str) -> tuple[int | None, int | None]:
    start, colon, stop = text.partition(":")
    try:
        if not colon:
            return int(start), int(start) + 1
        return (int(start) if start.strip() else None), (int(stop) if stop.strip() else None)
    except ValueError as error:
        raise typer.BadParameter(f"--slice: expected A:B, found {text!r}") from error


def _size(octets: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if octets < 1000 or unit == "GB":
            break
        octets /= 1000
    return f"{octets:,.0f} {unit}" if unit == "bytes" else f"{octets:,.2f} {unit}"


def _table(index: "Index", most: int) -> object:
    from rich.table import Table
    from rich.text import Text

    from tasks.report.plain import one_line

    table = Table(title="Tensors, the largest in the archive first", title_justify="left")
    for column in ("tensor", "type", "shape"):
        table.add_column(column, overflow="fold")
    for column in ("raw", "packed", "ratio"):
        table.add_column(column, justify="right")
    table.add_column("how", overflow="fold")
    for stored in sorted(index.tensors, key=lambda stored: -stored.packed_bytes)[:most]:
        chains = dict.fromkeys(stored.chains)
        kinds = ["+".join(operation.kind for operation in index.chains[chain]) or "as it is" for chain in chains]
        how = [f"same as {stored.same_as}"] if stored.same_as is not None else kinds
        how += [f"difference to {stored.base}"] if stored.base is not None else []
        how += [f"made from {stored.recipe.kind}"] if stored.recipe is not None else []
        if stored.error is not None:
            how.append(f"{stored.error.mode} <= {stored.error.bound:g}: rms {stored.error.relative_rms:.3g} of its own")
        ratio = f"{stored.raw_bytes / stored.packed_bytes:.2f}" if stored.packed_bytes else ""
        shape = " x ".join(str(length) for length in stored.shape) or "number"
        raw, packed = _size(stored.raw_bytes), _size(stored.packed_bytes)
        cells = (stored.name, stored.dtype, shape, raw, packed, ratio, ", ".join(how))
        table.add_row(*(Text(one_line(cell)) for cell in cells))  # rich would take [brackets] of a name for markup
    return table
