# %% [markdown]
# # 09 Open questions
#
# **You will be able to** turn three questions that nobody has settled into experiments: write the
# prediction down first, measure over several seeds, put error bars on the answer, and say what the
# result does not show.
#
# **Time** 90 to 120 minutes. **You need** chapters 03, 04 and 07; chapters 05 and 06 help. **Models**
# 75 small ones that ship with the course, and every real model on your disk.
#
# So far there was an answer to find. Now there may not be. *Are circuits the same in every model? Does a
# head have one job? Are many small heads better than one large one?* Each has papers on both sides. You
# will not settle them here either, but you will see what one honest evening of measuring can say.

# %%
from collections import Counter
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens import utilities as utils

from circuits_course import Chapter, load_model
from circuits_course.diversity import (
    COUNTS,
    EVERY,
    SEEDS,
    TASKS,
    family_recipe,
    held_out,
    shipped_family,
    train_head_family,
)
from circuits_course.heads import PUBLISHED, baseline_heads, head_name, head_scores, strongest_heads
from circuits_course.ioi import measured_classes
from circuits_course.models import real_models_at_hand
from circuits_course.patching import Ablation
from circuits_course.plots import plot_bars, plot_heads, plot_lines, plot_matrix, plot_scatter
from circuits_course.profiles import Place, repeats_for, text_tokens
from circuits_course.texts import passage

torch.set_grad_enabled(False)
chapter = Chapter("09_open_questions")
model = load_model("auto")
print("Set-up complete.")

# %% [markdown]
# ## Before you start
#
# Three questions from earlier chapters. If one of them is new to you, its feedback will do.

# %%
chapter.quiz("what_induction_looks_at")

# %%
chapter.quiz("mean_or_zero")

# %%
chapter.quiz("score_and_effect")

# %% [markdown]
# # A. Are circuits the same in every model?
#
# **Universality** is the hope that models trained apart learn the same circuits, so that what you find in
# one holds in the next. "The same" can mean three things: the same *algorithm*, the same *heads*, or
# the same *order of appearance* in training. They are three claims, and need three measurements.
#
# ## 1. One ruler for all models
#
# To compare models we need the same detectors on all of them. A **behaviour** is a rule that says, for
# every query, which keys a head showing it would look at. Three of them from chapters 03 and 04:
#
# | behaviour | keys looked at |
# |---|---|
# | previous token | the one before the query |
# | duplicate token | earlier ones that hold the query's token |
# | induction | those whose previous token is the query's token |
#
# Written as a table of True and False, a **mask** [batch, q, k], a behaviour can be asked of any tokens,
# repeated or not: that is what part B will need.

# %% exercise="behaviour_masks"

# %%
small = load_model("induction-2l")
example = small.to_tokens("abcab")
masks = behaviour_masks(example)
symbols = small.to_str_tokens(example[0])
together = sum((i + 1) * mask[0].int() for i, mask in enumerate(masks.values()))
plot_matrix(
    together, "1 previous token, 2 duplicate token, 3 induction",
    x_labels=symbols, y_labels=symbols, x_title="key", y_title="query",
)  # fmt: skip

# %% [markdown]
# *What to see:* the diagonal of 1s is what a previous-token head looks at. Below it each repeated
# token has a 2 at its earlier copy, and a 3 one place further on.
#
# ## 2. The profile of a model
#
# A head's score for a behaviour: how much attention a query gives to all marked keys together, averaged
# over the queries that have any,
#
# $$s = \operatorname{mean}_{(b, q)\ \text{asked}} \sum_{k} A_{b, q, k}\, M_{b, q, k}$$
#
# with attention $A$ and mask $M$. Averaging over *all* queries would punish a head for having had
# nothing to do.

# %% exercise="head_profile"

# %% [markdown]
# The models: `induction-2l`, five more that were trained alike but for the seed (one of the families of
# part C), and every real model on your disk. Each gets random tokens of its own vocabulary, shown
# twice. To have more real models here, load them once by name, for example
# `load_model("pythia-70m")` or any other with `load_model("owner/name")`; that needs a network.

# %%
chapter.predict(
    "where_induction_sits",
    choices=["in the first third", "in the middle third", "in the last third"],
)

# %%
chapter.predict(
    "same_seeds",
    choices=[
        "the layer and the number of the induction head",
        "the layer of the induction head, not its number",
        "neither",
    ],
)

# %%
siblings = shipped_family("induction", counts=[4])
profiles = {"induction-2l": head_profile(small, repeats_for(small))}
for trained in siblings:
    profiles[f"seed {trained.seed}"] = head_profile(trained.model, repeats_for(trained.model))
real = [name for name in real_models_at_hand() if name not in profiles]
for name in real:
    another = load_model(name)
    profiles[name] = head_profile(another, repeats_for(another))
del another

for name, profile in profiles.items():
    best = {b: strongest_heads(scores, 1)[0] for b, scores in profile.items()}
    print(
        f"{name:14}", *(f"{b} {head_name(h):>5} ({profile[b][h]:.2f})  " for b, h in best.items())
    )

# %% tags=["nbval-check-output"]
ours = [f"seed {seed}" for seed in SEEDS]
for behaviour in ("previous token", "induction"):
    layers = [strongest_heads(profiles[name][behaviour], 1)[0][0] for name in ours]
    print(f"{behaviour}: layers of the strongest head in five seeds: {layers}")
