"""Options and arguments that several commands of ``fkflow`` share, and their types."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fkflow.cli import completion


class Device(StrEnum):
    """Where to compute; auto takes the GPU if there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Format(StrEnum):
    """File formats of the plots."""

    png = "png"
    pdf = "pdf"
    svg = "svg"


class FilmFormat(StrEnum):
    """File formats of an animation; auto takes mp4 if there is ffmpeg."""

    auto = "auto"
    mp4 = "mp4"
    gif = "gif"


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one key, as in --set train.iterations=100."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, max=2**32 - 1, help="Seed of all random numbers.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="CPU threads of a process; left out: a good choice.")
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        metavar="N",
        min=1,
        max=256,
        help="Processes that share the walkers, one core each; left out: 1, or as many as a repeated run had.",
    ),
]
On = Annotated[Device, typer.Option("--device", help="Where to compute.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, all else on stderr.")]
Target = Annotated[
    float | None,
    typer.Option(
        "--target-error", metavar="ENERGY", help="Error of the energy to reach, with no more work than it takes."
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress: the result on stdout, warnings and errors on stderr.")
]
Log = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        dir_okay=False,
        help="Add progress, warnings and the result to this file, with the time.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what another run left in the folder.")]
RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="A run folder, the name of one in runs, or its result.h5.", autocompletion=completion.runs
    ),
]
