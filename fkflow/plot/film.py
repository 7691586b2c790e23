"""Films as files: an MP4 by way of ffmpeg where there is one, else an animated GIF."""

from __future__ import annotations

import contextlib
import io
import itertools
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from matplotlib.animation import FFMpegWriter
from PIL import Image

from fkflow.errors import StoreError, UsageError
from fkflow.results.folders import make_folder
from fkflow.results.paths import reason

#: a file's ending -> what it is called
FORMATS = {".gif": "gif", ".mp4": "mp4"}
#: first frames of a GIF, from which its colours are chosen
FIRST = 6
#: colours of a GIF beside white and black: these suffice, in half the bytes of the 256 that it may have
SHADES = 118
#: colours as near as this to white or black (of 255) become white or black
NEAR = 10


def choose_format(out: Path | None, asked: str) -> str:
    """The format of a film: the one asked for or, for "auto", that of the file's ending or the best there is.

    Raises UsageError if the two do not fit, the ending is unknown, or an MP4 is wanted and there is no ffmpeg.
    """
    ending = FORMATS.get(out.suffix.lower()) if out is not None else None
    if out is not None and ending is None:
        raise UsageError(f"--out {out}: the file name must end in {' or '.join(FORMATS)}")
    if ending is not None and asked not in ("auto", ending):
        raise UsageError(f"--out {out} is not a file name for --format {asked}: let it end in .{asked}")
    found = bool(FFMpegWriter.isAvailable())
    wanted = ending or (asked if asked != "auto" else "mp4" if found else "gif")
    if wanted == "mp4" and not found:
        raise UsageError("an MP4 needs the program ffmpeg, which was not found: install it, or use --format gif")
    return wanted


def film_path(folder: Path, out: Path | None, format: str) -> Path:
    """Where a film of that format goes: `out`, or a file in `folder`, which may have to be made.

    Raises UsageError if it cannot be written there; writes nothing yet.
    """
    path = folder / f"walkers.{format}" if out is None else out
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder, not a file: choose another --out")
        if out is not None and not path.parent.is_dir():
            raise UsageError(f"--out {out}: there is no folder {path.parent}")
        present = next(above for above in path.parents if above.exists())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be written: {reason(error)}") from error
    make_folder(present)
    return path


def encode(frames: Iterator[np.ndarray], count: int, fps: int, format: str) -> bytes:
    """The film of `count` frames (height, width, 3) uint8 of even height and width, as the bytes of a file.

    Raises StoreError if ffmpeg fails.
    """
    return _mp4(frames, fps) if format == "mp4" else _gif(frames, count, fps)


def _gif(frames: Iterator[np.ndarray], count: int, fps: int) -> bytes:
    """One set of colours for all frames and no dithering: what does not move costs nothing."""
    first = list(itertools.islice(frames, FIRST))
    palette = _palette(first)
    reduced = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in itertools.chain(first, frames)
    )
    # a GIF counts in hundredths of a second: each frame is shown at the nearest one
    ends = np.round(100 * np.arange(count + 1) / fps).astype(int)
    buffer = io.BytesIO()
    durations = (10 * np.diff(ends)).tolist()
    next(reduced).save(buffer, "GIF", save_all=True, append_images=reduced, duration=durations, loop=0)
    return buffer.getvalue()


def _palette(frames: Iterable[np.ndarray]) -> Image.Image:
    """The colours for these frames; a rare one counts for more than its share, or thin lines would lose theirs."""
    colours, counts = np.unique(np.concatenate([p.reshape(-1, 3) for p in frames]), axis=0, return_counts=True)
    # paper and letters keep their white and black
    grey = (colours.min(1) > 255 - NEAR) | (colours.max(1) < NEAR)
    repeated = np.repeat(colours[~grey], np.ceil(counts[~grey] ** 0.4).astype(int), axis=0)
    chosen = Image.fromarray(repeated[None]).quantize(SHADES, method=Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, 0, 0, 0, *chosen])
    return palette


def _mp4(frames: Iterator[np.ndarray], fps: int) -> bytes:
    """H.264 with the colours that every player knows, made by ffmpeg in a folder of its own."""
    first = next(frames)
    height, width = first.shape[:2]
    with tempfile.TemporaryDirectory(prefix="fkflow-") as folder:
        film, errors = Path(folder) / "film.mp4", Path(folder) / "errors.txt"
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}", "-framerate", str(fps)]
        coded = ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        command = [FFMpegWriter.bin_path(), "-loglevel", "error", *raw, "-i", "-", *coded, str(film)]
        try:
            with errors.open("wb") as words:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=words, stderr=words)
        except OSError as error:
            raise StoreError(f"ffmpeg cannot be started ({reason(error)}): use --format gif") from error
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                for frame in itertools.chain([first], frames):
                    process.stdin.write(frame.tobytes())
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            if process.wait() != 0 or not film.is_file():
                said = errors.read_text(errors="replace").strip().splitlines() or ["it did not say why"]
                raise StoreError(f"ffmpeg could not make the MP4 ({said[0]}): use --format gif")
            return film.read_bytes()
        finally:
            process.kill()
            process.wait()
