# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 8. A table with holes
#
# A model of p(x) that takes rows with gaps fills them in: the bound of a row is that of what
# was observed, $\log \frac1K \sum_k p(x_o|z_k) p(z_k) / q(z_k|x_o)$, and its weights say from
# which $z$ the missing cells come. Here the chemistry of 178 wines, 30 % of whose cells are
# taken out.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

from keras_iwae import IWAEDensity, IWAEImputer

whole = load_wine(as_frame=True).data.drop(columns="proline").astype(float)
hidden = np.random.default_rng(0).random(whole.shape) < 0.3
table = whole.mask(hidden)
imputer = IWAEImputer(columns=dict.fromkeys(whole, "real"), random_state=0).fit(table)


def error(filled):
    """Root mean squared error of the cells that were taken out, in standard deviations."""
    each = ((filled - whole) / whole.std()).to_numpy()
    return np.sqrt((each[hidden] ** 2).mean())


# %% [markdown]
# ## The best guess
#
# *Expect* conditional means to be nearer to what was taken out than the means of the columns:
# what is left of a row says much about the rest.

# %%
means = error(table.fillna(table.mean()))
guesses = error(imputer.transform(table))
print(f"means of columns {means:.2f}, conditional means {guesses:.2f} standard deviations")
assert guesses < 0.85 * means

# %% [markdown]
# ## Draws, which say what is not known
#
# A guess has no spread. Twenty draws of each cell have, and an interval from the lowest to the
# highest should hold what was taken out in about $19/21$ of the cases.
#
# *Expect* that, more or less: a model learned from 178 rows is a little too sure of itself, and
# is widened for it.

# %%
imputations = imputer.impute(table, num_imputations=20)
draws = np.stack([each.to_numpy() for each in imputations.tables])
low, high = draws.min(axis=0), draws.max(axis=0)
inside = ((low <= whole) & (whole <= high)).to_numpy()[hidden].mean()
print(f"held by the interval of 20 draws: {inside:.0%}")
assert 0.8 < inside < 0.99

# %% Two columns: what was there, guesses and draws
figure, panels = plt.subplots(
    1, 2, figsize=(8, 3.4), layout="constrained", sharey=True, sharex=True
)
pair = ["total_phenols", "flavanoids"]
gaps = hidden[:, [whole.columns.get_loc(name) for name in pair]].any(axis=1)
for axes, shown, title in (
    (panels[0], imputer.transform(table), "conditional means"),
    (panels[1], imputations.tables[0], "one draw"),
):
    axes.plot(*whole[~gaps][pair].to_numpy().T, ".", color="0.7", label="nothing missing")
    axes.plot(*shown[gaps][pair].to_numpy().T, ".", color="tab:red", label="filled in")
    axes.set(title=title, xlabel=pair[0])
panels[0].set_ylabel(pair[1])
panels[0].legend()
plt.show()


def spread(filled):
    """Standard deviation of the cells that were filled in, over that of what was taken out."""
    standard = ((filled - whole.mean()) / whole.std()).to_numpy()
    return (
        standard[hidden].std() / ((whole - whole.mean()) / whole.std()).to_numpy()[hidden].std()
    )


# %% [markdown]
# *Expect* guesses to be too much alike, and draws to spread as the wines do.

# %%
of_guesses, of_draws = spread(imputer.transform(table)), spread(imputations.tables[0])
print(f"spread of guesses {of_guesses:.2f}, of draws {of_draws:.2f}")
assert of_guesses < 0.85
assert abs(of_draws - 1.0) < 0.2

# %% [markdown]
# ## What each row's weights say
#
# *Expect* a verdict for every row, and of those with gaps most to be steady: with 1,000 samples
# and few columns the weights do not collapse.

# %%
print(imputations.rows)
samples = imputations.rows.effective_sample_size
print(f"effective samples, the middle row: {np.nanmedian(samples):.0f}")
assert np.nanmedian(samples) > 100

# %% [markdown]
# ## Exercises
#
# **1.** Draw the flavanoids of a row from the draws: how wide is a cell's interval where the
# total phenols are known, and where they are not?

# %% [markdown] tags=["answer"]
# Narrower where they are known: the two go together.

# %% tags=["answer"]
flavanoids, phenols = (whole.columns.get_loc(name) for name in ("flavanoids", "total_phenols"))
deviation = draws.std(axis=0)[:, flavanoids]
known = deviation[hidden[:, flavanoids] & ~hidden[:, phenols]].mean()
unknown = deviation[hidden[:, flavanoids] & hidden[:, phenols]].mean()
print(f"standard deviation of draws: phenols known {known:.2f}, missing {unknown:.2f}")
assert known < unknown

# %% [markdown]
# **2.** Put one wine's magnesium ten standard deviations above the mean. Is its log p(x) the
# lowest of all? Which of its cells is odd?

# %% [markdown] tags=["answer"]
# Its log p(x) falls by several nats, and need not be the lowest: tails of real columns are
# heavy, and other wines are a little odd in many columns. $\log p(x_j | \text{the others})$ of
# each cell, beside what is usual in its column, names the cell.

# %% tags=["answer"]
density = IWAEDensity(columns=dict.fromkeys(whole, "real"), random_state=0).fit(whole)
odd = whole.copy()
odd.loc[7, "magnesium"] = whole["magnesium"].mean() + 10 * whole["magnesium"].std()
before, after = (density.score_samples(each.iloc[[7]])[0] for each in (whole, odd))
cells = density.score_cells(odd)
below = cells - np.median(cells, axis=0)
row, column = np.unravel_index(np.argmin(below), below.shape)
print(f"log p(x) of row 7 from {before:.1f} to {after:.1f} nats")
print(f"the oddest cell: {whole.columns[column]} of row {row}")
assert after < before - 2
assert (row, whole.columns[column]) == (7, "magnesium")
