"""A grid as text, as a picture, and as an animation of learning.

    print(text(world, policy=pi))
    save(world, "grid.png", values=v, policy=pi, trajectory=[0, 1, 6])
    animate(world, "learning.gif", frames)          # frames: (title, values, policy), ...

Pictures need Matplotlib, and the GIF Pillow, which comes with it (`pip install minigrad[viz]`); an
MP4 needs ffmpeg (`pip install minigrad[video]` brings one).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..export import export
from .mdp import probabilities

ARROWS = "↑→↓←o"
DIRECTIONS = ((0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, 0.0))
FORBIDDEN, TARGET, PATH = "#f0c674", "#8fc7ee", "#2e9e4f"


@export("rl.drawing.text")
def text(world: Any, *, values: Any = None, policy: Any = None) -> str:
    """The grid in characters: `x` forbidden, `*` target, `@` the agent, or the best action's arrow,
    or the values, one row a line.
    """
    rows, columns = world.rows, world.columns
    if values is not None:
        v = np.asarray(values, np.float64).reshape(rows, columns)
        return "\n".join(" ".join(f"{x:7.2f}" for x in row) for row in v)
    cells = np.full((rows, columns), ".", dtype="<U1")
    if policy is not None:
        pi = probabilities(policy, rows * columns, world.action_space.n)
        cells[...] = np.array(list(ARROWS))[pi.argmax(1)].reshape(rows, columns)
    else:
        for cell in world.forbidden:
            cells[cell] = "x"
        if world.target is not None:
            cells[world.target] = "*"
        cells[divmod(world.state, columns)] = "@"
    return "\n".join(" ".join(row) for row in cells)


def figure(
    world: Any, *, values: Any = None, policy: Any = None, trajectory: Any = None, title: str = ""
) -> Any:
    """A Matplotlib figure of the grid. Values and arrows are left out where cells are tiny."""
    from matplotlib.figure import Figure

    rows, columns = world.rows, world.columns
    scale = min(0.8, 8 / max(rows, columns))
    fig = Figure(figsize=(scale * columns + 0.4, scale * rows + 0.6), dpi=80)
    ax = fig.add_subplot()
    _cells(ax, world, values)
    small = max(rows, columns) <= 25
    if values is not None and small:
        v = np.asarray(values, np.float64).reshape(rows, columns)
        raised = 0.0 if policy is None else 0.28  # above the arrows
        for (r, c), x in np.ndenumerate(v):
            ax.text(c, r - raised, f"{x:.1f}", ha="center", va="center", fontsize=14 * scale + 1)
    if policy is not None and small:
        _arrows(ax, world, probabilities(policy, rows * columns, world.action_space.n))
    if trajectory is not None and len(trajectory):
        r, c = np.divmod(np.asarray(trajectory), columns)
        shake = np.random.default_rng(0).uniform(-0.12, 0.12, (2, len(r)))
        ax.plot(c + shake[0], r + shake[1], color=PATH, linewidth=1.2)
        ax.plot(c[-1], r[-1], "*", color="#2040c0", markersize=18 * scale)
    ax.set_title(title, fontsize=10)
    fig.tight_layout(pad=0.5)
    return fig


def _cells(ax: Any, world: Any, values: Any) -> None:
    from matplotlib.patches import Rectangle

    rows, columns = world.rows, world.columns
    if values is not None and max(rows, columns) > 25:
        ax.imshow(np.asarray(values).reshape(rows, columns), cmap="viridis")
    colours = [(cell, FORBIDDEN) for cell in world.forbidden]
    if world.target is not None:
        colours.append((world.target, TARGET))
    for (r, c), colour in colours:
        ax.add_patch(Rectangle((c - 0.5, r - 0.5), 1, 1, facecolor=colour))
    ax.set_xlim(-0.5, columns - 0.5)
    ax.set_ylim(rows - 0.5, -0.5)
    ax.set_aspect("equal")
    if max(rows, columns) <= 25:
        ax.set_xticks(np.arange(-0.5, columns), minor=True)
        ax.set_yticks(np.arange(-0.5, rows), minor=True)
        ax.grid(which="minor", color="0.6", linewidth=0.6)
        ax.set_xticks(range(columns), range(1, columns + 1))
        ax.set_yticks(range(rows), range(1, rows + 1))
        ax.tick_params(which="both", length=0, labelsize=8, labeltop=True, labelbottom=False)


def _arrows(ax: Any, world: Any, pi: np.ndarray) -> None:
    for s, a in zip(*np.nonzero(pi > 1e-6), strict=True):
        r, c = divmod(int(s), world.columns)
        dx, dy = DIRECTIONS[a]
        size = 0.12 + 0.3 * pi[s, a]
        if dx == dy == 0:
            ax.plot(c, r, "o", mfc="none", mec=PATH, markersize=3 + 8 * pi[s, a])
        else:
            ax.annotate(
                "",
                (c + dx * size, r + dy * size),
                (c, r),
                arrowprops={"arrowstyle": "->", "color": PATH, "shrinkA": 0, "shrinkB": 0},
            )


def pixels(fig: Any) -> np.ndarray:
    """A figure as an array (height, width, 3) of uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@export("rl.drawing.picture")
def picture(world: Any, **what: Any) -> np.ndarray:
    """The grid as pixels (height, width, 3); what: values, policy, trajectory, title."""
    return pixels(figure(world, **what))


@export("rl.drawing.save")
def save(world: Any, path: Any, **what: Any) -> None:
    """The grid as a PNG file; what: values, policy, trajectory, title."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure(world, **what).savefig(path, dpi=110)


@export("rl.drawing.animate")
def animate(
    world: Any, path: Any, frames: Iterable[tuple[str, Any, Any]], *, seconds: float = 0.4
) -> None:
    """A GIF or MP4 of learning: one picture for each (title, values, policy), either of which may
    be None.
    """
    write_film(
        path,
        [picture(world, title=t, values=v, policy=p) for t, v, p in frames],
        seconds=seconds,
    )


@export("rl.drawing.write_gif")
def write_gif(path: Any, frames: Sequence[np.ndarray], *, seconds: float = 0.04) -> None:
    """Pictures (height, width, 3) as an endless GIF. ValueError if there are none."""
    from PIL import Image

    if not len(frames):
        raise ValueError("write_gif: no frames")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    images = [Image.fromarray(np.asarray(f)) for f in frames]
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=int(seconds * 1000), loop=0
    )


@export("rl.drawing.write_mp4")
def write_mp4(path: Any, frames: Sequence[np.ndarray], *, seconds: float = 0.04) -> None:
    """Pictures (height, width, 3) as an MP4 film (H.264), by ffmpeg.

    ImportError if there is no ffmpeg, RuntimeError with its message if it fails, ValueError if
    there are no frames.
    """
    if not len(frames):
        raise ValueError("write_mp4: no frames")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    pixels = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    even = "pad=ceil(iw/2)*2:ceil(ih/2)*2"  # what players read, yuv420p, halves both sides
    with subprocess.Popen(
        [_ffmpeg(), "-y", "-loglevel", "error", *pixels, "-r", f"{1 / seconds:g}", "-i", "-",
         "-vf", even, "-pix_fmt", "yuv420p", "-f", "mp4", str(path)],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        try:
            for frame in frames:
                process.stdin.write(np.ascontiguousarray(frame, np.uint8).tobytes())
        except BrokenPipeError:  # it gave up: its message says why
            pass
        _, message = process.communicate()
    if process.returncode:
        raise RuntimeError(f"write_mp4: ffmpeg failed: {message.decode(errors='replace').strip()}")


def _ffmpeg() -> str:
    """The ffmpeg of the package imageio-ffmpeg, or else the one on the PATH."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except ImportError:
        found = shutil.which("ffmpeg")
    if found is None:
        raise ImportError(
            "write_mp4 needs ffmpeg, and there is none on the PATH\n"
            "  help: pip install 'minigrad[video]', or write a .gif"
        )
    return found


@export("rl.drawing.write_film")
def write_film(path: Any, frames: Sequence[np.ndarray], *, seconds: float = 0.04) -> None:
    """Pictures as a film; the name tells which: .gif or .mp4. ValueError for another one."""
    writers = {".gif": write_gif, ".mp4": write_mp4}
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise ValueError(f"write_film: expected a name ending in .gif or .mp4, got {str(path)!r}")
    writers[suffix](path, frames, seconds=seconds)
