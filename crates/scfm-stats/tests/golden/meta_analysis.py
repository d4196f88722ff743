"""Effects of several contexts, combined."""

from statsmodels.stats.meta_analysis import combine_effects

from cases import *

oracle("combine_effects", "`statsmodels.stats.meta_analysis.combine_effects(method_re=\"chi2\", use_t=True)`, its Hartung-Knapp variance not below the classical one")

for k, spread in [(2, 0.0), (2, 1.0), (4, 0.0), (4, 0.5), (5, 3.0), (12, 1.0)]:
    errors = np.round(rng.uniform(0.01, 0.2, size=k), 4)
    effects = np.round(errors * rng.normal(size=k) + spread * rng.normal(size=k) * 0.1 + 0.05, 4)
    result = combine_effects(effects, errors**2, method_re="chi2", use_t=True)
    # statsmodels lets the variance between contexts be negative; at 0 the random effects are the fixed one.
    tau2 = max(result.tau2, 0.0)
    weights = 1 / (errors**2 + tau2)
    mean, variance = (result.mean_effect_re, result.var_hksj_re) if tau2 > 0 else (result.mean_effect_fe, result.var_hksj_fe)
    error = math.sqrt(max(variance, 1 / weights.sum()))
    reach = stats.t.isf(0.025, k - 1) * error
    case(
        "combine_effects",
        {"effects": floats(effects), "errors": floats(errors)},
        statistic=mean / error,
        effect=mean,
        low=mean - reach,
        high=mean + reach,
        q=result.q,
        i_squared=max(result.i2, 0.0),
        tau_squared=tau2,
        ln_p_heterogeneity=math.log(stats.chi2.sf(result.q, k - 1)),
        **sides_of_t(mean / error, k - 1),
    )
