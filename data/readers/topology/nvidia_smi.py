"""How are the GPUs and NICs of one machine wired? The output of ``nvidia-smi topo -m``."""

import re

from data.errors import BadRecord, BadSource
from data.readers.dump import Dump
from data.readers.topology.islands import islands
from data.schemas.topology import Topology, TopologyNode

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_HEADER = re.compile(r"^\s*GPU\d+(\s|$)")
_ROW = re.compile(r"^\s*(GPU\d+)\s+(.*)$")
_CELL = re.compile(r"^(X|NV\d{1,3}|PIX|PXB|PHB|NODE|SYS|C2C|OK|N/A)$")
_NIC_NAME = re.compile(r"^\s*(NIC\d+)\s*:\s*(\S+)\s*$")
_MAX_GPUS = 1024
_MAX_CHARACTERS = 8 << 20
_NEAREST = ("PIX", "PXB", "PHB", "NODE", "SYS")


def recognises_nvidia_smi(text: str) -> bool:
    """Say whether a line is the matrix's header: GPU0 and the affinity columns."""
    return any(_HEADER.match(line) and "Affinity" in line for line in _ANSI.sub("", text[:65_536]).splitlines())


def read_nvidia_smi(dump: Dump, node: str) -> Topology:
    """Read the matrix as the topology of the one machine ``node``, which it does not name itself.

    GPUs joined by NV# links, directly or through others, form one NVLink domain; a machine whose GPUs all belong
    together is its own domain as far as can be seen from inside it.

    Raises:
        BadSource: no header or no usable row.
    """
    dump.refuse_above(_MAX_CHARACTERS)
    lines = _ANSI.sub("", dump.text).splitlines()
    start = next((i for i, line in enumerate(lines) if _HEADER.match(line) and "Affinity" in line), None)
    if start is None:
        raise dump.refused("a header with GPU0 and CPU Affinity", "none")
    columns = lines[start].partition("CPU Affinity")[0].split()
    gpus = [column for column in columns if re.fullmatch(r"GPU\d+", column)]
    if len(set(columns)) != len(columns) or len(gpus) > _MAX_GPUS:
        raise dump.refused(f"every column once, at most {_MAX_GPUS} GPUs", " ".join(columns)[:200])
    rows, set_aside = _rows(dump, lines, start + 1, columns)
    missing = [gpu for gpu in gpus if gpu not in rows]
    set_aside += [BadRecord(f"{dump.name}: {gpu}", "a row of the matrix", "none") for gpu in missing]
    if not rows:
        raise BadSource(dump.name, set_aside)
    set_aside += _one_sided(dump, rows)
    joined = [(a, b) for a, row in rows.items() for b in gpus if row[b].startswith("NV") and b != a]
    parts = islands(gpus, joined)
    names = {match[1]: match[2] for line in lines if (match := _NIC_NAME.match(line))}
    notes = [f"the dump names no machine: taken for {node}", *_wiring(rows, gpus, parts)]
    notes += _nearest_nics(rows, [column for column in columns if column not in gpus], names)
    domain = node if joined else None
    return Topology(
        source=dump.name,
        format="nvidia-smi topo -m",
        scope="machine",
        nodes=(TopologyNode(id=node, gpus=len(gpus), nvlink_domain=domain),),
        set_aside=tuple(set_aside),
        notes=tuple(notes),
    )


def _rows(
    dump: Dump, lines: list[str], start: int, columns: list[str]
) -> tuple[dict[str, dict[str, str]], list[BadRecord]]:
    rows: dict[str, dict[str, str]] = {}
    bad: list[BadRecord] = []
    for number, line in enumerate(lines[start:], start + 1):
        match = _ROW.match(line)
        if match is None:
            continue  # NIC rows repeat the GPU rows; the legend says nothing that is not known
        name, cells = match[1], match[2].split()[: len(columns)]
        if len(cells) != len(columns) or not all(_CELL.match(cell) for cell in cells):
            bad.append(dump.bad_line(number, f"{len(columns)} cells such as X, NV18, PIX, SYS", line.strip()))
        elif name not in columns or name in rows or cells[columns.index(name)] != "X":
            bad.append(dump.bad_line(number, "one row per GPU column, with X on the diagonal", line.strip()))
        else:
            rows[name] = dict(zip(columns, cells, strict=True))
    return rows, bad


def _one_sided(dump: Dump, rows: dict[str, dict[str, str]]) -> list[BadRecord]:
    return [
        BadRecord(f"{dump.name}: {a} to {b}", f"{rows[b][a]} as from {b} to {a}", rows[a][b])
        for a in rows
        for b in rows
        if a < b and rows[a][b] != rows[b][a]
    ]


def _wiring(rows: dict[str, dict[str, str]], gpus: list[str], parts: list[list[str]]) -> list[str]:
    kinds = sorted({rows[a][b] for a in rows for b in gpus if a != b})
    notes = [f"{len(gpus)} GPUs, pairs over {', '.join(kinds)}"] if kinds else [f"{len(gpus)} GPU"]
    alone = [part[0] for part in parts if len(part) == 1]
    if len(parts) == len(gpus) > 1:
        notes.append("no NVLink between any two GPUs")
    elif len(parts) > 1:
        notes.append(f"{len(parts)} NVLink islands in one machine, which a snapshot cannot tell apart")
        notes += [f"{', '.join(alone)} without NVLink while others have it: broken fabric?"] if alone else []
    return notes


def _nearest_nics(rows: dict[str, dict[str, str]], nics: list[str], names: dict[str, str]) -> list[str]:
    nearest = []
    for gpu, row in rows.items():
        for kind in _NEAREST:
            close = [names.get(nic, nic) for nic in nics if row[nic] == kind]
            if close:
                nearest.append(f"{gpu} {'/'.join(close)} ({kind})")
                break
    return [f"nearest NICs: {', '.join(nearest)[:500]}"] if nearest else []
