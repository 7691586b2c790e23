"""Make every figure of docs/gallery.md from shipped recipes: about half an hour on two CPU cores.

    python scripts/make_gallery.py [--only h2 bosons ...] [--work runs/gallery] [--out docs/figures]

Runs that are finished in the working folder are drawn again, not computed again.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

#: no image may be larger, in bytes
MOST = 300_000


@dataclass(frozen=True)
class Source:
    """A run or scan: the command that makes it, without --out, and the pictures to take from it."""

    command: tuple[str, ...]
    pictures: tuple[str, ...]


SOURCES = {
    "h2": Source(
        ("run", "h2.toml", "--seed", "1"),
        ("convergence", "projection", "density_z", "density_zrho", "conditional_zx", "drift_zx", "trajectories"),
    ),
    "bosons": Source(
        ("run", "bosons.toml", "--seed", "1"),
        ("density_r", "density_xy", "pair_r", "conditional_xy", "drift_xy", "trajectories", "walkers"),
    ),
    "two_bosons": Source(
        ("run", "bosons.toml", "--seed", "1", "--set", "system.particles=2"),
        ("density_r", "pair_r"),
    ),
    "bosons3d": Source(("run", "bosons3d.toml", "--seed", "1"), ("conditional_xy", "drift_xy", "pair_r")),
    "moshinsky": Source(("run", "moshinsky.toml", "--seed", "1"), ("density_r",)),
    "double_well": Source(("run", "double_well.toml", "--seed", "1"), ("density_x", "drift_x", "trajectories")),
    "scan_h2": Source(("scan", "scan_h2.toml", "--seed", "1"), ("scan",)),
    "scan_bosons": Source(("scan", "scan_bosons.toml", "--seed", "1"), ("scan",)),
}
#: a short and small film: it must stay below MOST as well
FILM = ("--format", "gif", "--seconds", "4", "--fps", "10", "--size", "320")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SOURCES, default=list(SOURCES), help="these alone")
    parser.add_argument("--work", type=Path, default=Path("runs/gallery"), help="where the runs are kept")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"), help="where the images go")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    too_large = []
    for name in arguments.only:
        source, folder = SOURCES[name], arguments.work / name
        kind, recipe, *options = source.command
        if not any((folder / done).exists() for done in ("result.h5", "scan.h5")):
            fkflow(kind, recipe, *options, "--out", folder)
        for picture in source.pictures:
            target = arguments.out / f"{name}_{picture}"
            target = draw(folder, picture, target)
            if target.suffix == ".png" and target.stat().st_size > MOST:
                few_colours(target)
            size = target.stat().st_size
            print(f"{target}  {size / 1000:.0f} kB")
            if size > MOST:
                too_large.append(target)
    for target in too_large:
        print(f"{target} is larger than {MOST / 1000:.0f} kB", file=sys.stderr)
    return 1 if too_large else 0


def draw(folder: Path, picture: str, target: Path) -> Path:
    """One picture of a run as `target` with the right ending."""
    if picture == "walkers":
        target = target.with_suffix(".gif")
        fkflow("animate", folder, "--out", target, *FILM)
        return target
    target = target.with_suffix(".png")
    if picture == "scan":
        fkflow("plot", folder)
        shutil.copy(folder / "scan.png", target)
    else:
        fkflow("plot", folder, picture, "--out", folder / "plots")
        shutil.copy(folder / "plots" / f"{picture}.png", target)
    return target


def few_colours(image: Path) -> None:
    """Write a picture again with a palette of 256 colours, which are enough for a map of one colour scale."""
    with Image.open(image) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    small.save(image, optimize=True)


def fkflow(*arguments: object) -> None:
    """Run a command of fkflow, its progress visible; ends the script if it fails."""
    subprocess.run([sys.executable, "-m", "fkflow", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
