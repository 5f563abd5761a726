"""Minimum of an expensive surface of potential energy with few gradients, guided by a cheap one.

The surface is taken for the guide (a cheap method, or springs) plus a correction that is learnt from energies and
gradients of the difference: functions that the guide is likely to be wrong by (constant pulls along bonds and angles, which turn
with them, and the stiffness of each kind of them), and a Gaussian process in coordinates in which a model Hessian is the unit
matrix, both of them as they are at the last point that was no failure: on a long way bonds break and form. Every step minimises
the sum within a trust radius of that point, and computes the expensive gradient there (Koistinen et al., J. Chem. Phys. 2017, 147,
152720, for processes on atoms; Garijo del Rio et al., Phys. Rev. B 2019, 100, 104103, for their minima).
The points so far are all that a resumed relaxation needs.

Coordinates are vectors (m,) of the atoms that move, Angstrom; energies eV; gradients eV/Angstrom.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

Surface = Callable[[np.ndarray], tuple[float, np.ndarray]]
#: The cheap surface to trust around a place (m,): the same everywhere, or one made for the place.
Guide = Callable[[np.ndarray], Surface]
#: Takes from a move or a gradient what must not be.
Projection = Callable[[np.ndarray], np.ndarray]
#: The largest force left where a point (m,) has a gradient (m,), eV/Angstrom.
Left = Callable[[np.ndarray, np.ndarray], float]

#: Longest move of an atom in a step, Angstrom: at first, at most, at least; how it grows and shrinks. Beyond it a wall
#: rises (eV/Angstrom^2), so that what is stiff finds its place while what is soft still travels.
RADIUS, LARGEST, SMALLEST = 0.2, 0.5, 0.04
GROW, REACHED, SHRINK, WALL = 1.4, 2.0, 0.5, 50.0
#: A point that is higher than the one it was reached from by more than this is a failure, eV; one where the slope along the way
#: has turned round, to more than this share of what it was, went too far.
FAILED, OVERSHOT = 0.02, 0.75
#: Length of the process in units in which the model Hessian is one (root of eV).
LENGTH = 4.0
#: Standard deviations of the noise in values, eV, and in gradients, root of eV, for a process whose own is 1 eV. Energies on a
#: real-space grid move with the atoms' places on it, by more than a relaxation's last steps gain: gradients are believed.
VALUE_NOISE, GRADIENT_NOISE = 0.02, 5e-4
#: Points that the correction remembers, the last ones, of those that are not higher than where it stands by more than WILD, eV, and where
#: the guide is not off by more than that either. No step leads further down than ABSURD, eV: a guide that says so has gone wrong, before or after it.
MEMORY, WILD, ABSURD = 30, 5.0, 50.0
#: A step whose longest move is shorter leads nowhere, Angstrom.
NOWHERE = 1e-4
#: Steps on the sum of guide and correction, and the shares of the wanted force to which they converge: on flat ground less
#: takes longer steps than the correction is good for. The next one where the model has that already and the measurement has not.
INNER_STEPS = 30
INNER_SHARES = (0.7, 0.2, 0.05)


@dataclass(frozen=True, eq=False)
class Internal:
    """What the correction may consist of beside the process.

    functions  values (k,) and derivatives (k, m) at x
    spread     standard deviations (k,) of how much of each there is
    """

    functions: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    spread: np.ndarray


#: What the correction may consist of around a place (m,), and the model Hessian there (m, m), positive definite.
Place = Callable[[np.ndarray], tuple[Internal | None, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Point:
    """A geometry (m,) with the energy and the gradient (m,) of the expensive surface."""

    x: np.ndarray
    energy: float
    gradient: np.ndarray


class Process:
    """Mean of a Gaussian process with squared-exponential kernel through values and gradients at points z (n, m).

    Data and predictions of an isotropic kernel stay in the span of gradients and differences of the points, so all is
    done there: 2n coordinates at most, whatever the number of atoms.
    """

    def __init__(self, z: np.ndarray, values: np.ndarray, gradients: np.ndarray):
        self.origin, self.base = z[-1], float(values.max())
        self.span = _basis(np.vstack([z[:-1] - z[-1], gradients]))
        self.points = (z - self.origin) @ self.span
        data = np.hstack([(values - self.base)[:, None], gradients @ self.span])
        self.weights = np.linalg.solve(_covariance(self.points), data.ravel()).reshape(data.shape)

    def __call__(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        across = (z - self.origin) @ self.span - self.points
        near = np.exp(-0.5 * (across**2).sum(axis=1) / LENGTH**2)
        own, slopes = self.weights[:, 0], self.weights[:, 1:]
        along = near * (own + (across * slopes).sum(axis=1) / LENGTH**2)
        gradient = (near @ slopes - along @ across) / LENGTH**2
        return self.base + float(along.sum()), self.span @ gradient


def _basis(vectors: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span the rows of `vectors`."""
    if not len(vectors):
        return np.zeros((vectors.shape[1], 0))
    left, sizes, _ = np.linalg.svd(vectors.T, full_matrices=False)
    return left[:, sizes > 1e-9 * max(sizes[0], 1e-12)]


def _covariance(points: np.ndarray) -> np.ndarray:
    """Covariances of values and gradients at points (n, d), noise on the diagonal: (n (1 + d), n (1 + d))."""
    n, d = points.shape
    across = (points[:, None] - points[None]) / LENGTH**2
    near = np.exp(-0.5 * LENGTH**2 * (across**2).sum(axis=2))
    full = np.empty((n, 1 + d, n, 1 + d))
    full[:, 0, :, 0] = near
    full[:, 0, :, 1:] = near[..., None] * across
    full[:, 1:, :, 0] = -(near[..., None] * across).transpose(0, 2, 1)
    bent = np.eye(d) / LENGTH**2 - across[..., :, None] * across[..., None, :]
    full[:, 1:, :, 1:] = (near[..., None, None] * bent).transpose(0, 2, 1, 3)
    matrix = full.reshape(n * (1 + d), -1)
    matrix[np.diag_indices_from(matrix)] += np.tile(np.r_[VALUE_NOISE, np.full(d, GRADIENT_NOISE)], n) ** 2
    return matrix


def descend(
    measure: Surface,
    guide: Guide,
    place: Place,
    known: Sequence[Point],
    left: Left,
    fmax: float,
    max_points: int,
    allowed: Projection = lambda vector: vector,
) -> list[Point]:
    """The points of a relaxation, `known` ones (at least the start) first, until no more than `fmax` is `left` at the last.

    Or until the guide leads nowhere: it has no answer (infinity) where the search stands, or all around it, or an absurd one.
    place    says what the correction is made of; its Hessian is the metric of the correction, and where the minimisation of the sum begins
    allowed  what is left of a move; gradients of `measure` are without the rest already
    """

    def within(surface: Surface, x: np.ndarray) -> tuple[float, np.ndarray]:
        energy, gradient = surface(x)
        return energy, allowed(gradient)

    points, curved = list(known), None
    guiding: Surface | None = None
    cheap: list[tuple[float, np.ndarray]] = []
    while left(points[-1].x, points[-1].gradient) > fmax and len(points) < max_points:
        here, radius = trust(points)
        internal, hessian = place(here.x)
        curved = hessian.copy() if curved is None else curved
        if (around := guide(here.x)) is not guiding:
            guiding, cheap = around, []
        cheaply = partial(within, around)
        cheap += [cheaply(point.x) for point in points[len(cheap) :]]
        stood = [here, trust(points[: points.index(here)] or points[:1])[0]]
        level, before = (cheap[points.index(point)][0] for point in stood)
        if not np.isfinite(level) or level < before - ABSURD:
            break
        tame = [p.energy < here.energy + WILD and abs(c[0] - level) < WILD for p, c in zip(points, cheap, strict=True)]
        near = np.flatnonzero(tame)[-MEMORY:].tolist()
        model = corrected(
            _sane(cheaply, level), internal, [points[k] for k in near], [cheap[k] for k in near], _units(hessian)
        )
        for share in INNER_SHARES:
            x = nearby_minimum(model, here.x, curved, radius, share * fmax, left, allowed)
            if longest(x - here.x) >= NOWHERE:
                break
        else:
            break
        points.append(Point(x, *measure(x)))
    return points


def _sane(guide: Surface, level: float) -> Surface:
    """The guide, infinite where it is far below `level`, which is its energy where the search stands."""

    def surface(x: np.ndarray) -> tuple[float, np.ndarray]:
        energy, gradient = guide(x)
        return (energy, gradient) if energy > level - ABSURD else (np.inf, np.zeros_like(x))

    return surface


def _units(hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices to coordinates in which the Hessian is the unit matrix, and back."""
    curvatures, modes = np.linalg.eigh(hessian)
    return (modes * np.sqrt(curvatures)).T, modes / np.sqrt(curvatures)


def corrected(
    guide: Surface,
    internal: Internal | None,
    points: Sequence[Point],
    cheap: Sequence[tuple[float, np.ndarray]],
    units: tuple[np.ndarray, np.ndarray],
) -> Surface:
    """The guide with what its values at the points, `cheap`, lack of theirs. `units`: matrices to unit coordinates and back."""
    to_unit, from_unit = units
    values = np.array([point.energy - energy for point, (energy, _) in zip(points, cheap, strict=True)])
    slopes = np.array([from_unit.T @ (p.gradient - g) for p, (_, g) in zip(points, cheap, strict=True)])
    z, amounts = np.array([to_unit @ point.x for point in points]), np.zeros(0)
    if internal is not None:
        there = [internal.functions(point.x) for point in points]
        known = np.array([found for found, _ in there])
        designs = np.array([(derivatives @ from_unit).T for _, derivatives in there])
        amounts = _amounts(z, values, slopes, known, designs, internal.spread)
        values, slopes = values - known @ amounts, slopes - designs @ amounts
    process = Process(z, values, slopes)

    def surface(x: np.ndarray) -> tuple[float, np.ndarray]:
        energy, gradient = guide(x)
        more, slope = process(to_unit @ x)
        energy, gradient = energy + more, gradient + to_unit.T @ slope
        if internal is not None:
            found, derivatives = internal.functions(x)
            energy, gradient = energy + float(amounts @ found), gradient + amounts @ derivatives
        return energy, gradient

    return surface


def _amounts(
    z: np.ndarray, values: np.ndarray, slopes: np.ndarray, known: np.ndarray, designs: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """How much of each function (k,) there most likely is, if what is left is a constant and the process.

    z, slopes (n, m); values (n,); known (n, k) and designs (n, m, k): the functions and their derivatives at z.
    Generalised least squares (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 2.7). Gradients across
    the span of the points are independent of all else and of each other, so they need a matrix over points only.
    """
    n, _, k = designs.shape
    span = _basis(z[:-1] - z[-1])
    within = (z - z[-1]) @ span
    squared = ((within[:, None] - within[None]) ** 2).sum(axis=2)
    inside, outside = (
        _covariance(within),
        np.exp(-0.5 * squared / LENGTH**2) / LENGTH**2 + GRADIENT_NOISE**2 * np.eye(n),
    )

    along = np.einsum("mr,nmk->nrk", span, designs, optimize=True)
    design = np.zeros((n, 1 + span.shape[1], k + 1))
    design[:, 0, :k], design[:, 0, k], design[:, 1:, :k] = known, 1.0, along
    design = design.reshape(-1, k + 1)
    data = np.hstack([(values - values.max())[:, None], slopes @ span]).ravel()
    weighed = np.linalg.solve(inside, design)
    normal, right = weighed.T @ design, weighed.T @ data

    across = designs - np.einsum("mr,nrk->nmk", span, along, optimize=True)
    weighed = np.tensordot(np.linalg.inv(outside), across, 1)
    normal[:k, :k] += np.tensordot(weighed, across, ([0, 1], [0, 1])) + np.diag(spread**-2.0)
    right[:k] += np.tensordot(weighed, slopes, ([0, 1], [0, 1]))
    return np.linalg.solve(normal, right)[:k]


def trust(points: Sequence[Point]) -> tuple[Point, float]:
    """The last point that was no failure, and the longest move of an atom from it (Angstrom) that the points so far justify.

    More after a descent, but no more than a few times its way: short steps are those near the minimum. Half the way after a failure
    or a step too far, which energies that wave with the atoms' places on a grid do not show and slopes do.
    """
    here, radius = points[0], RADIUS
    for point in points[1:]:
        move = point.x - here.x
        way, failed = longest(move), point.energy > here.energy + FAILED
        if failed or point.gradient @ move > OVERSHOT * abs(here.gradient @ move):
            radius = max(SMALLEST, SHRINK * min(radius, way))
        else:
            radius = max(SMALLEST, min(LARGEST, GROW * radius, REACHED * way))
        here = here if failed else point
    return here, radius


def nearby_minimum(
    surface: Surface,
    start: np.ndarray,
    curved: np.ndarray,
    radius: float,
    tolerance: float,
    left: Left,
    allowed: Projection = lambda vector: vector,
) -> np.ndarray:
    """Where a cheap surface is lowest within about `radius` of `start` for each atom: damped BFGS, `curved` learns on the way."""
    x, step = start, radius
    energy, gradient = surface(x)
    bent = np.zeros_like(curved)
    for _ in range(INNER_STEPS):
        pushed = allowed(gradient + _wall(x - start, radius)[1])
        if left(x, pushed) <= tolerance:
            break
        move = allowed(_move(curved + bent, pushed, step))
        there, slope = surface(x + move)
        if np.isfinite(there):
            _learn(curved, move, slope - gradient)
        if there + _wall(x + move - start, radius)[0] > energy + _wall(x - start, radius)[0]:
            step = 0.5 * longest(move)
            if step < 1e-4:
                break
            continue
        x, energy, gradient, step = x + move, there, slope, min(2 * step, radius)
        bent = _wall_hessian(x - start, radius)
    return x


def _wall(move: np.ndarray, radius: float) -> tuple[float, np.ndarray]:
    """Energy and gradient of what keeps every atom within the radius."""
    vectors = move.reshape(-1, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    beyond = np.maximum(lengths - radius, 0.0)
    outward = vectors / np.maximum(lengths, 1e-12)[:, None]
    return 0.5 * WALL * float(beyond @ beyond), (WALL * beyond[:, None] * outward).ravel()


def _wall_hessian(move: np.ndarray, radius: float) -> np.ndarray:
    """Second derivatives of the wall along each atom's way out, which are all that is stiff in it."""
    outward = np.zeros((len(move), len(move)))
    for atom, vector in enumerate(move.reshape(-1, 3)):
        if (length := float(np.linalg.norm(vector))) > radius:
            here = slice(3 * atom, 3 * atom + 3)
            outward[here, here] = WALL * np.outer(vector, vector) / length**2
    return outward


def longest(vector: np.ndarray) -> float:
    """The longest of the vectors on the atoms."""
    return float(np.linalg.norm(vector.reshape(-1, 3), axis=1).max())


def _move(hessian: np.ndarray, gradient: np.ndarray, radius: float) -> np.ndarray:
    """Newton's step; with a constant added to all curvatures where it would be longer than the radius."""
    curvatures, modes = np.linalg.eigh(hessian)
    along = gradient @ modes

    def move(more: float) -> np.ndarray:
        return -modes @ (along / (curvatures + more))

    if longest(found := move(0.0)) <= radius:
        return found
    low, high = 0.0, 1.0
    while longest(move(high)) > radius:
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if longest(move(middle)) > radius else (low, middle)
    return move(high)


def _learn(hessian: np.ndarray, move: np.ndarray, change: np.ndarray) -> None:
    """BFGS in place, damped so that the matrix stays positive definite (Powell 1978)."""
    expected = hessian @ move
    model, seen = float(move @ expected), float(move @ change)
    share = 1.0 if seen >= 0.2 * model else 0.8 * model / (model - seen)
    mixed = share * change + (1 - share) * expected
    hessian += np.outer(mixed, mixed) / float(move @ mixed) - np.outer(expected, expected) / model
