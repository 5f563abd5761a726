"""Whether a relaxed molecule is a minimum, from a few gradients: the lowest vibration, without the others.

A Hessian takes a gradient for each coordinate. The lowest eigenvalue of it takes a few (Davidson's method on differences of
gradients, as in searches for transition states; Sharada, Bell and Head-Gordon, J. Chem. Phys. 2014, 140, 164115): products of
the Hessian with vectors, which begin as a mixture of GFN2's soft modes and are corrected with GFN2's Hessian. Every
estimate lies above the lowest eigenvalue, so a negative one proves a saddle point; that there is none holds as far as
the residual says.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.engines import pyscf as engine
from crosstalk.engines import pyscf_hessian as hessians
from crosstalk.engines import pyscf_relax as relaxation
from crosstalk.record import Gate, Outcome
from crosstalk.units import FORCE_CONSTANT_CM1

if TYPE_CHECKING:
    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Products of the Hessian with a vector at most, each one gradient.
MAX_PRODUCTS = 12
#: The lowest mode is known when its residual is this part of its eigenvalue (of that of FLAT_CM1 when it is softer), or when
#: the last two products lowered that by no more than this part: gradients have noise, below which no residual gets.
RESIDUAL, FALL = 0.3, 0.1
FLAT_CM1 = 40.0
#: Largest displacement of an atom in a difference of gradients, Angstrom. More than in a whole Hessian: the force constant of
#: a soft mode is small beside the noise.
STEP = 0.03


@dataclass(frozen=True)
class LowestMode:
    """wavenumber (1/cm; imaginary negative), displacement (n, 3; norm 1), left (residual or fall over what it may be), products (number)."""

    wavenumber: float
    displacement: np.ndarray
    left: float
    products: int


def lowest_mode(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `lowest_mode`: the lowest vibration of a relaxed geometry. Where it is imaginary the structure goes downhill along
    it, is relaxed again and looked at again. The structure of the outcome is the minimum, to the last digit the one given where that is one.
    """
    start, settings = engine.geometry_of(spec, inputs), spec.settings
    if isinstance(start, Outcome):
        return start
    if len(start) == 1:
        return Outcome(structures=[start], gates=[Gate("true_minimum", True, 0.0, -hessians.NOISE_CM1, "1/cm")])
    atoms, rungs, products = start, [], 0
    with engine.until_finished(folder):
        for attempt in range(hessians.MAX_FOLLOWED + 1):
            part = folder / f"look-{attempt}"
            part.mkdir(exist_ok=True)
            surface = relaxation.Surface(settings, atoms, part, for_differences=True)
            here = surface.at(atoms.positions.copy())
            found = search(surface, settings)
            products += found.products
            if found.wavenumber > -hessians.NOISE_CM1 or attempt == hessians.MAX_FOLLOWED:
                break
            rungs.append("imaginary_mode_followed")
            atoms = hessians.downhill(settings, atoms, found.displacement, found.wavenumber, folder, attempt)
    for path in [*folder.glob("look-*"), *folder.glob("follow-*")]:
        shutil.rmtree(path)
    lowest, left = round(found.wavenumber, 1), round(found.left, 2)
    failure, kept = relaxation.kept_bonds(start, atoms, settings.get("connectivity", "kept"))
    outcome = Outcome(*failure, rungs=sorted(set(rungs)), structures=[atoms])
    outcome.gates = [
        Gate("true_minimum", lowest > -hessians.NOISE_CM1, lowest, -hessians.NOISE_CM1, "1/cm"),
        Gate("mode_converged", left <= 1.0, left, 1.0),
        *kept,
    ]
    outcome.quantities = {
        "energy_ev": here.energy, "lowest_mode_cm1": found.wavenumber, "n_products": products,
        "max_force_ev_per_angstrom": here.max_force,
    }  # fmt: skip
    return outcome


def search(surface: relaxation.Surface, settings: Mapping[str, Any]) -> LowestMode:
    """The lowest mode at the first point of a surface, which has been computed."""
    atoms, positions = surface.start, surface.points[0].positions
    roots = np.repeat(np.sqrt(atoms.get_masses()), 3)
    space = hessians.internal_space(atoms)
    guess = relaxation.force_constants(settings, atoms)
    model = None if guess is None else relaxation.model_gradients(settings, atoms)
    size = space.shape[1]
    stiffness = np.ones(size)
    if guess is not None:
        stiffness, turned = np.linalg.eigh(space.T @ (guess / np.outer(roots, roots)) @ space)
        space = space @ turned
    flat = (FLAT_CM1 / FORCE_CONSTANT_CM1) ** 2
    random = np.random.default_rng(1)
    vector = random.uniform(0.5, 1.0, size) * random.choice([-1.0, 1.0], size) / np.maximum(abs(stiffness), flat)
    basis, images, course = np.empty((size, 0)), np.empty((size, 0)), []
    while True:
        vector = vector / np.linalg.norm(vector)
        shift = (space @ vector) / roots
        step = STEP / abs(shift.reshape(-1, 3)).max()
        slope = hessians.along(surface, model, (step * shift).reshape(-1, 3))
        basis = np.column_stack([basis, vector])
        images = np.column_stack([images, space.T @ (slope.ravel() / roots / step)])
        inside = basis.T @ images
        values, vectors = np.linalg.eigh((inside + inside.T) / 2)
        lowest, mode = float(values[0]), basis @ vectors[:, 0]
        residual = images @ vectors[:, 0] - lowest * mode
        course.append(lowest)
        scale = max(abs(lowest), flat)
        left = float(np.linalg.norm(residual)) / scale / RESIDUAL
        if len(course) > 2:
            left = min(left, float(course[-3] - lowest) / scale / FALL)
        if left <= 1.0 or basis.shape[1] in (size, MAX_PRODUCTS):
            break
        gap = stiffness - lowest
        vector = residual / np.where(abs(gap) < flat, np.copysign(flat, gap), gap)
        for _ in range(2):
            vector = vector - basis @ (basis.T @ vector)
    displacement = ((space @ mode) / roots).reshape(positions.shape)
    wavenumber = float(np.sign(lowest) * np.sqrt(abs(lowest)) * FORCE_CONSTANT_CM1)
    return LowestMode(wavenumber, displacement / np.linalg.norm(displacement), left, basis.shape[1])
