"""Laws of the BEEF-vdW ensemble: linear in its terms, as wide as its covariance says, alike on both sides of a minus sign."""

import numpy as np
import pytest

from crosstalk import beef


def test_no_terms_no_spread_and_twice_the_terms_twice_the_spread():
    terms = np.random.default_rng(1).normal(0, 1, 32)
    assert beef.spread(np.zeros(32)) == 0.0
    assert beef.spread(2 * terms) == pytest.approx(2 * beef.spread(terms))
    assert beef.changes(terms) + beef.changes(-terms) == pytest.approx(np.zeros(beef.SIZE), abs=1e-12)


def test_the_spread_is_that_of_the_covariance_it_is_drawn_from():
    """Variance of a linear form: c . Omega c; the LDA and PBE correlation terms share one coefficient with opposite signs."""
    from ase.dft.pars_beefvdw import uiOmega

    random = np.random.default_rng(2)
    for _ in range(5):
        terms = random.normal(0, 1, 32)
        free = np.append(terms[:30], terms[30] - terms[31])
        exact = float(np.sqrt(free @ np.array(uiOmega) @ free))
        assert beef.spread(terms) == pytest.approx(exact, rel=0.06)  # 2,000 draws: 1.6 % is one standard error


def test_the_members_are_ase_s_own():
    from ase.dft.bee import ensemble

    terms = np.random.default_rng(3).normal(0, 1, 32)
    assert beef.changes(terms) - 5.0 == pytest.approx(ensemble(-5.0, terms, "BEEF-vdW"))


def test_what_two_calculations_share_cancels_member_by_member():
    shared, own = np.random.default_rng(4).normal(0, 1, (2, 32))
    difference = beef.changes(shared + own) - beef.changes(shared)
    assert difference == pytest.approx(beef.changes(own))
    assert beef.spread(own) < beef.spread(shared + own) + beef.spread(shared)
