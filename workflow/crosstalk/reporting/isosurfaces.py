"""Isosurfaces of orbitals seen from afar: parallel rays through the grid, translucent, with what lies in front in front.

No mesh: the picture is made slab by slab along the line of sight. In each slab a cubic spline gives the orbital at every
pixel, a change of sign of (orbital - isovalue) is a piece of the surface, and the gradient there is its normal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosstalk.units import BOHR_ANGSTROM

#: Of the density, enclosed by the surfaces that are drawn.
ENCLOSED = 0.80
#: Distance of the slabs and of the spline's knots, Angstrom; surfaces of a cube file have no detail below.
KNOTS = 0.2
#: Direction to the light, and how films look: opacity face on, light that comes from everywhere, gloss.
LIGHT = np.array([-0.45, 0.55, 0.70])
OPACITY, AMBIENT, GLOSS = 0.36, 0.70, 0.35


@dataclass(frozen=True)
class Field:
    """An orbital on a grid: values (nx, ny, nz) in bohr^(-3/2), first point and steps (rows) in Angstrom."""

    values: np.ndarray
    origin: np.ndarray
    steps: np.ndarray

    @classmethod
    def read(cls, path: Path) -> "Field":
        """From a Gaussian cube file, gzipped or not."""
        import gzip

        from ase.io.cube import read_cube

        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            cube = read_cube(file)
        return cls(cube["data"], cube["origin"], cube["spacing"])

    def isovalue(self, enclosed: float = ENCLOSED) -> float:
        """Amplitude whose surfaces enclose that share of the density of a normalised orbital; 0 when the box lacks it."""
        density = np.sort(self.values.ravel() ** 2)[::-1]
        volume = abs(np.linalg.det(self.steps / BOHR_ANGSTROM))
        index = int(np.searchsorted(np.cumsum(density) * volume, enclosed))
        return float(np.sqrt(density[index])) if index < len(density) else 0.0

    def reach(self, isovalue: float) -> np.ndarray:
        """Points (n, 3) of the grid where the amplitude is at least `isovalue`, Angstrom."""
        return self.origin + np.argwhere(np.abs(self.values) >= isovalue) @ self.steps

    def turned(self, rotation: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Values on a grid along the columns of `rotation`, from `low` to `high`: its knots on each axis, and them."""
        from scipy.ndimage import affine_transform

        axes = [a + KNOTS * np.arange(int(np.ceil((b - a) / KNOTS)) + 1) for a, b in zip(low, high, strict=True)]
        to_index = np.linalg.inv(self.steps).T
        offset = to_index @ (rotation @ low - self.origin)
        shape = tuple(len(axis) for axis in axes)
        return axes, affine_transform(self.values, to_index @ rotation * KNOTS, offset, shape, order=3, mode="constant")


@dataclass
class Canvas:
    """A picture in the making. `right`, `up`: coordinates of its pixels (Angstrom); `depth` (up, right): what is solid.

    `front` and `back` hold what lies before and behind it, as colour times opacity and opacity, (up, right, 4).
    """

    right: np.ndarray
    up: np.ndarray
    depth: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.up), len(self.right), 4)
        self.front, self.back = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def ball(self, at: np.ndarray, radius: float) -> None:
        """Make a ball solid; `at`: right, up, towards the viewer."""
        rows = np.flatnonzero(abs(self.up - at[1]) < radius)
        columns = np.flatnonzero(abs(self.right - at[0]) < radius)
        if len(rows) and len(columns):
            here = np.ix_(rows, columns)
            square = (self.up[rows, None] - at[1]) ** 2 + (self.right[None, columns] - at[0]) ** 2
            top = at[2] + np.sqrt(np.clip(radius**2 - square, 0, None))
            self.depth[here] = np.where(square < radius**2, np.maximum(self.depth[here], top), self.depth[here])

    def films(self, field: Field, rotation: np.ndarray, isovalue: float, colours: Mapping[int, np.ndarray]) -> None:
        """Add the surfaces at `isovalue` times each key of `colours` (+1, -1), from the farthest to the nearest."""
        from scipy.interpolate import make_interp_spline

        reach = field.reach(isovalue) @ rotation
        low, high = reach.min(axis=0) - 4 * KNOTS, reach.max(axis=0) + 4 * KNOTS
        axes, values = field.turned(rotation, low, high)
        columns = np.flatnonzero((self.right > axes[0][0]) & (self.right < axes[0][-1]))
        rows = np.flatnonzero((self.up > axes[1][0]) & (self.up < axes[1][-1]))
        at = (self.right[columns], self.up[rows])
        splines = [make_interp_spline(axis, np.eye(len(axis)), k=3) for axis in axes[:2]]
        x, y = (spline(points).astype(np.float32) for spline, points in zip(splines, at, strict=True))
        dx, dy = (spline.derivative()(points).astype(np.float32) for spline, points in zip(splines, at, strict=True))
        slopes = make_interp_spline(axes[2], values, k=3, axis=2).derivative()(axes[2])
        values, slopes = values.astype(np.float32), slopes.astype(np.float32)
        here = np.ix_(rows, columns)
        depth, front, back = self.depth[here], self.front[here], self.back[here]
        below = y @ values[:, :, 0].T @ x.T
        for k in range(len(axes[2]) - 1):
            above = y @ values[:, :, k + 1].T @ x.T
            for sign, colour in colours.items():
                a, b = sign * below - isovalue, sign * above - isovalue
                i, j = np.nonzero((a < 0) != (b < 0))
                if not len(i):
                    continue
                t = a[i, j] / (a[i, j] - b[i, j])
                normal = np.stack([
                    _between(values, k, t, y[i], dx[j]), _between(values, k, t, dy[i], x[j]), _between(slopes, k, t, y[i], x[j])
                ], axis=1)  # fmt: skip
                film = _film(normal * -sign, colour)
                before = axes[2][k] + KNOTS * t > depth[i, j]
                for layer, which in ((front, before), (back, ~before)):
                    old = layer[i[which], j[which]]
                    layer[i[which], j[which]] = film[which] + old * (1 - film[which, 3:])
            below = above
        self.front[here], self.back[here] = front, back


def _between(values: np.ndarray, k: int, t: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Spline values at single pixels (rows of weights for up and right), at the share `t` of the way from slab k to k + 1."""
    near, far = (np.einsum("nr,nr->n", columns @ values[:, :, m], rows) for m in (k, k + 1))
    return (1 - t) * near + t * far


def _film(normal: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Colour times opacity, and opacity, of pieces of a thin film whose outward normals are given (n, 3)."""
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    light = LIGHT / np.linalg.norm(LIGHT)
    facing = np.clip(np.abs(normal[:, 2]), 0.08, 1.0)
    opacity = 1 - (1 - OPACITY) ** (1 / facing)  # a slanted film is passed on a longer way
    bright = AMBIENT + (1 - AMBIENT) * np.clip(normal @ light, 0, 1)
    half = light + np.array([0.0, 0.0, 1.0])
    shine = GLOSS * np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** 40
    seen = np.clip(colour[None] * bright[:, None] + shine[:, None], 0, 1)
    return np.concatenate([seen * opacity[:, None], opacity[:, None]], axis=1).astype(np.float32)
