"""Tables for people (aligned columns) and for README.md (Markdown), and the machine they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Table:
    """A result. Cells are text already."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(slots=True)
class Report:
    """What a program found: its tables, and the numbers by name that a summary compares with targets."""

    tables: list[Table] = field(default_factory=list[Table])
    facts: dict[str, float] = field(default_factory=dict[str, float])


def ms(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1000:.2f}"


def plain(table: Table) -> str:
    """The table with aligned columns: text to the left, numbers to the right."""
    lines = [list(table.columns), *(list(row) for row in table.rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(table.columns))]
    right = [n > 0 and all(_is_number(row[n]) for row in table.rows) for n in range(len(table.columns))]

    def said(line: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if aligned else cell.ljust(width)
            for cell, width, aligned in zip(line, widths, right, strict=True)
        )
        return "  " + "  ".join(cells).rstrip()

    rule = "  " + "  ".join("─" * width for width in widths)
    body = [said(lines[0]), rule, *(said(line) for line in lines[1:])]
    return "\n".join([table.title, *body, *(f"  {note}" for note in table.notes)])


def markdown(table: Table) -> str:
    """The table for README.md."""
    right = [n > 0 and all(_is_number(row[n]) for row in table.rows) for n in range(len(table.columns))]
    head = [
        "| " + " | ".join(table.columns) + " |",
        "|" + "|".join("--:" if r else "---" for r in right) + "|",
    ]
    rows = ["| " + " | ".join(row) + " |" for row in table.rows]
    notes = ["", *(f"{note}  " for note in table.notes)] if table.notes else []
    return "\n".join([f"**{table.title}**", "", *head, *rows, *notes])


def shown(tables: Iterable[Table], *, as_markdown: bool) -> str:
    """All tables, one after the other."""
    return "\n\n".join((markdown if as_markdown else plain)(table) for table in tables) + "\n"


def machine() -> str:
    """What this was measured on, and what else kept it busy."""
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores, {_cpu_model()}, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load average {load}"
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _is_number(cell: str) -> bool:
    return cell in {"", "–"} or cell.replace(",", "").lstrip("+-−").replace(".", "", 1).rstrip("×%").isdigit()
