"""Exchange of densities of low rank is the exchange of all densities."""

import numpy as np
import pytest

from crosstalk.engines import low_rank

from .test_fitted_forces import field


def response(mf):
    """A symmetric trial density for each spin, as a stability analysis has them."""
    random = np.random.default_rng(3)
    found = []
    for c, n in zip(np.reshape(mf.mo_coeff, (-1, *mf.mo_coeff.shape[-2:])), np.atleast_2d(mf.mo_occ), strict=True):
        mixed = c[:, n == 0] @ random.normal(size=((n == 0).sum(), (n > 0).sum())) @ c[:, n > 0].T
        found.append(mixed + mixed.T)
    return np.squeeze(np.array(found))


@pytest.mark.parametrize("omega", [None, 0.3])
@pytest.mark.parametrize("charge", [0, 1])
def test_the_halves_give_the_whole(charge, omega, monkeypatch):
    mf = field("b3lyp", charge)
    trial = response(mf)
    calls = []
    monkeypatch.setattr(low_rank, "_halves", lambda dm, real=low_rank._halves: calls.append(real(dm)) or calls[-1])
    ours = mf.with_df.get_jk(trial, with_j=omega is None, omega=omega)
    assert len(calls) == 1 and max(c.shape[1] for c in calls[0]) <= 5, "water has five occupied orbitals"
    monkeypatch.setattr(low_rank, "_halves", lambda dm: None)
    theirs = mf.with_df.get_jk(trial, with_j=omega is None, omega=omega)
    assert ours[1].shape == trial.shape and abs(ours[1]).max() > 0.01
    assert ours[1] == pytest.approx(theirs[1], abs=1e-10)
    if omega is None:
        assert ours[0] == pytest.approx(theirs[0], abs=1e-10)


@pytest.mark.parametrize("kept_mb", [1000.0, 0.0], ids=["kept", "not kept"])
@pytest.mark.parametrize("omega", [None, 0.3])
@pytest.mark.parametrize("charge", [0, 1])
def test_known_factors_give_the_whole(charge, omega, kept_mb, monkeypatch):
    mf = field("b3lyp", charge)
    monkeypatch.setattr(low_rank, "KEPT_MB", kept_mb)
    monkeypatch.setattr(low_rank, "BLOCK", 30)  # several blocks of water's
    orbitals = np.reshape(mf.mo_coeff, (-1, *mf.mo_coeff.shape[-2:]))
    occupied = [c[:, n > 0] for c, n in zip(orbitals, np.atleast_2d(mf.mo_occ), strict=True)]
    known = low_rank.Occupied(occupied)
    random = np.random.default_rng(4)
    for _ in range(2):  # the second time with what was kept
        partners = [random.normal(size=(2, *c.shape)) for c in occupied]
        half = np.array([a @ c.T for a, c in zip(partners, occupied, strict=True)])
        trial = half + np.swapaxes(half, -1, -2)
        ours = mf.with_df.get_jk(low_rank.tagged(trial, known, partners), with_j=omega is None, omega=omega)
        monkeypatch.setattr(low_rank, "_halves", lambda dm: None)
        theirs = mf.with_df.get_jk(trial, with_j=omega is None, omega=omega)
        assert ours[1].shape == trial.shape and abs(ours[1]).max() > 0.01
        assert ours[1] == pytest.approx(theirs[1], abs=1e-10)
        if omega is None:
            assert ours[0] == pytest.approx(theirs[0], abs=1e-10)
    assert bool(known._kept) == bool(kept_mb)


def test_what_has_no_low_rank_is_left_alone():
    n = 12
    random = np.random.default_rng(1).normal(size=(n, n))
    assert low_rank._halves(random + random.T) is None
    assert [c.shape for c in low_rank._halves(np.outer(random[0], random[0]))] == [(n, 1), (n, 0)]


@pytest.mark.parametrize("omega", [None, 0.3, -0.3])
@pytest.mark.parametrize("charge", [0, 1])
def test_exchange_of_shells_is_that_of_the_library(charge, omega, monkeypatch):
    from pyscf import df

    mf = field("b3lyp", charge)
    monkeypatch.setattr(low_rank, "BLOCK", 30)
    density = mf.make_rdm1()
    ours = mf.with_df.get_jk(density, with_j=omega is None, omega=omega)
    theirs = df.DF(mf.mol, mf.with_df.auxbasis).get_jk(density, with_j=omega is None, omega=omega)
    assert ours[1].shape == density.shape and abs(ours[1]).max() > 0.01
    assert ours[1] == pytest.approx(theirs[1], abs=1e-12)
    if omega is None:
        assert ours[0] == pytest.approx(theirs[0], abs=1e-12)
