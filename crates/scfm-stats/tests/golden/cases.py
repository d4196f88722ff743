"""What the files of cases share: the list they fill, a random generator, samples, and tails at 60 digits.

p-values are given by their natural logarithm, since many of them are below the smallest float. Names of expected numbers
say how they are compared: `ln_p ...` by relative p, `low` and `high` as ends of intervals, all else as statistics.
"""

import math

import mpmath
import numpy as np
from scipy import stats

mpmath.mp.dps = 60
rng = np.random.default_rng(20260217)
cases = []
oracles = {}

ALTERNATIVES = ["two-sided", "greater", "less"]


def oracle(function, words):
    """Names the oracle of a function of the crate."""
    oracles[function] = words


def case(function, inputs, **expected):
    assert function in oracles, function
    expected = {name.replace("ln_p_", "ln_p "): float(value) for name, value in expected.items()}
    assert not any(math.isnan(value) for value in expected.values()), (function, expected)
    cases.append({"function": function, "input": inputs, "expected": expected})


def floats(values):
    return [float(v) for v in values]


def lattice(n, multiplier=1, modulus=2**40, scale=1.0, offset=0.0):
    """A long vector in few words: offset + scale · (i · multiplier mod modulus)."""
    words = {"n": n, "multiplier": multiplier, "modulus": modulus, "scale": scale, "offset": offset}
    return words, offset + scale * ((np.arange(n) * multiplier) % modulus)


def ln(p):
    return float(mpmath.log(p))


def named(ln_p):
    """`ln_p` by alternative as expected numbers."""
    return {f"ln_p_{alternative}": value for alternative, value in zip(ALTERNATIVES, ln_p)}


def sides_of_t(t, df):
    """ln p of Student's t against each alternative, at 60 digits."""
    t, df = mpmath.mpf(t), mpmath.mpf(float(df))
    two_sided = mpmath.betainc(df / 2, mpmath.mpf(1) / 2, 0, df / (df + t * t), regularized=True)
    tails = [ln(two_sided / 2), float(mpmath.log1p(-two_sided / 2))]
    return named([ln(two_sided), *(tails if t > 0 else tails[::-1])])


def sides_of_z(z):
    """The same of a normal statistic."""
    two_sided = mpmath.erfc(abs(mpmath.mpf(float(z))) / mpmath.sqrt(2))
    tails = [ln(two_sided / 2), float(mpmath.log1p(-two_sided / 2))]
    return named([ln(two_sided), *(tails if z > 0 else tails[::-1])])


def agreeing(sides, test, what):
    """`sides` after a look at the p-values of an implementation, where those are not yet made of rounding errors."""
    for alternative in ALTERNATIVES:
        p = test(alternative)
        ours = sides[f"ln_p_{alternative}"]
        if p > 1e-200:
            assert abs(math.log(p) - ours) < 1e-6, (what, alternative, p, math.exp(ours))
    return sides


def sides_by(test):
    """ln p of an implementation against each alternative."""
    return named([ln(test(alternative)) for alternative in ALTERNATIVES])


def fisher_ends(r, variance):
    """Ends of an interval that is symmetric on the scale of Fisher's z."""
    if abs(r) >= 1:
        return {"low": r, "high": r}
    reach = stats.norm.isf(0.025) * math.sqrt(variance)
    return {"low": math.tanh(math.atanh(r) - reach), "high": math.tanh(math.atanh(r) + reach)}


def bounded_ends(r, error, df):
    """The same from a standard error of r itself, with Student's quantile; none for an error of 0."""
    if abs(r) >= 1 or not error > 0:
        return {}
    reach = stats.t.isf(0.025, df) * error / (1 - r * r)
    return {"low": math.tanh(math.atanh(r) - reach), "high": math.tanh(math.atanh(r) + reach)}


def samples(kind, n):
    """Values to be rounded before use: short decimals are read back to the last bit by every JSON parser."""
    match kind:
        case "normal":
            return rng.normal(size=n)
        case "ties":
            return rng.integers(0, 5, size=n).astype(float)
        case "zeros":
            return np.where(rng.random(n) < 0.7, 0.0, rng.gamma(2.0, size=n))
        case "heavy":
            return rng.standard_t(2, size=n)
        case "far":
            return rng.normal(size=n) + 40.0


def varied(values):
    """The same vector, or one with another first value where it was constant."""
    if len(set(values)) == 1:
        values[0] += 1.5
    return values
