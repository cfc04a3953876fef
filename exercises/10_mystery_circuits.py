# %% [markdown]
# # 10 Mystery circuits
#
# **You will be able to** take a model nobody has told you anything about, find the circuit in it, write
# the tools that prove it, and hand in a claim that is graded by intervention.
#
# **Time** 120 minutes, and as long as you like for the hard ones. **You need** chapters 04 (induction
# heads), 05 (composition), 06 (a circuit of many heads) and 07 (ablation, path patching).
# **Models** twelve sealed ones, small, made for this chapter. Somebody knows what is in them.

# %%
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits_course import Chapter, show_table, verdict
from circuits_course.circuits import Ablation, Head, head_name, path_patch
from circuits_course.mystery import Claim, Mystery, grade, load_mystery, role_targets
from circuits_course.plots import draw, plot_attention, plot_bars, plot_heads, plot_matrix

torch.set_grad_enabled(False)
chapter = Chapter("10_mystery_circuits")

# %% [markdown]
# ## Before you start

# %%
chapter.quiz("mean_or_zero")

# %%
chapter.quiz("path_patching_holds_still")

# %%
chapter.quiz("weights_are_not_effects")

# %%
chapter.review()

# %% [markdown]
# ## The case files
#
# In all chapters so far you knew what you were looking for. Real work does not begin that way: there is a
# model, and there is the question what it does and how.
#
# Here are twelve models. Each has a few layers of three heads, no MLP and no norm. In each an algorithm was
# *planted*: a few heads written by hand do all the work. The other heads look busy. Their attention patterns are as
# clean as those of the real ones, but what they write is read by nobody. The residual stream was turned by a random
# rotation and every weight got noise, so that no single number in a weight matrix says anything.
#
# A **claim** says what you believe: which heads, in which role, who reads whom, which algorithm, and what
# comes next on inputs you have not seen. `grade` tries it on the model and answers with marks. It never tells
# which heads are right.
#
# What can be claimed is a menu. Both lists hold more than the twelve models use.

# %%
from circuits_course.mystery import ALGORITHMS, ROLES

show_table(ALGORITHMS, ["algorithm", "what the model does"])
show_table(ROLES, ["role", "what a head does"])

# %% [markdown]
# The first case. `sample(batch, seed)` draws inputs of the kind that a model was made for. The answer key lies
# in the same file, compressed and encoded. You could open it; then you would have a solved model and no puzzle.

# %% tags=["nbval-check-output"]
from circuits_course.mystery import mystery_paths

print(", ".join(name for name in mystery_paths() if not name.startswith("seed-")))
agate = load_mystery("agate")
print(agate)

# %% [markdown]
# ### What does it say?
#
# Look at behaviour before you look at heads. Below each symbol stands the one that the model predicts to
# come *after* it, and a dot where no symbol leads the others by one logit.


# %%
def show_predictions(mystery: Mystery, batch: int = 3, seed: int = 0) -> None:
    """Prints inputs, and below each symbol what the model says there."""
    tokens = mystery.sample(batch, seed)
    logits = mystery.model(tokens)
    best = logits.topk(2).values
    sure = best[..., 0] - best[..., 1] >= 1
    symbols = mystery.model.cfg.vocabulary
    for row, said, is_sure in zip(tokens, logits.argmax(-1), sure):
        print("reads", *(f"{symbols[t]:>3}" for t in row))
        print("says ", *(f"{symbols[t] if s else '.':>3}" for t, s in zip(said, is_sure)))
        print()


show_predictions(agate)

# %% [markdown]
# *What to see:* follow one symbol from the upper line to the lower. Write down your guess before you go on;
# the menu above has the words for it.
#
# ## Measuring without knowing the answer
#
# In chapter 06 the metric was a logit difference: we knew which name was right. Here we do not know what "right"
# means. What we can always ask is how far the predictions *move* when we change something. The usual measure
# is the Kullback-Leibler divergence: for the model's own probabilities $p$ and the changed ones $q$,
#
# $$D(p, q) = \sum_{v} p_v \,(\log p_v - \log q_v)$$
#
# in nats. It is 0 where both say the same. It weighs by $p$: what the model is sure of counts.

# %% exercise="divergence"


# %% tags=["nbval-check-output"]
def heads_of(model) -> list[Head]:
    return [(la, h) for la in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]


tokens = agate.sample(64, seed=1)
nothing = Ablation(agate.model, tokens, "mean").logits(heads_of(agate.model))
moved = divergence(agate.model(tokens), nothing).item()
verdict("a model does not differ from itself", divergence(nothing, nothing) == 0)
verdict("with every head mean-ablated agate says something else", moved > 1, f"{moved:.1f} nats")

# %% [markdown]
# `Ablation` is chapter 07's: by "mean", each head says at each position what it says there on average over these 64
# inputs. So 1.5 nats is the size of the whole effect: how far the predictions move when no head says anything about
# this input any more.
#
# ## Where do the heads look?
#
# You know four kinds of heads by their attention. `role_targets(tokens)` has them as masks [batch, q, k]: for every
# query, at which keys should a head of that role look? (`role_targets??` shows how; chapter 09 has you write three of
# the four.) For `BOS a b a`, from the second `a` (q = 3), the duplicate is at k = 1 and the induction target at k =
# 2.
#
# Heads of these models **rest on BOS** when they find nothing to look at. A head that rests nine times out of ten
# and looks one back the tenth time is still a previous-token head. So we ask: *of the attention that leaves
# BOS*, how much goes to the targets?

# %% exercise="share_on"


# %%
def head_shares(
    mystery: Mystery, tokens: Tensor, targets: dict[str, Tensor]
) -> dict[str, Float[Tensor, "layer head"]]:
    """For every role, the share of each head's attention off BOS that goes where it should."""
    _, cache = mystery.model.run_with_cache(tokens)
    layers = range(mystery.model.cfg.n_layers)
    return {role: torch.stack([share_on(cache["pattern", layer], mask) for layer in layers])
            for role, mask in targets.items()}


# %%
shares = head_shares(agate, tokens, role_targets(tokens))
plot_matrix({role: share.flatten() for role, share in shares.items()},
            "Where the heads of agate look", x=("head", heads_of(agate.model)), y="role",
            unit="share of attention off BOS")

# %% [markdown]
# *What to see:* three heads have a full share of the same role. By their looks they cannot be told apart.

# %%
chapter.predict("look_alikes", choices=["all of them", "about half", "one"])

# %% exercise="single_effects"

# %%
plot_heads(single_effects(agate.model, tokens, "mean"), "What ablating one head of agate costs",
           unit="divergence in nats")

# %% [markdown]
# *What to see:* one cell stands out, with 1.5 nats, which is the size of the whole effect. The other five are at 0.

# %%
chapter.reveal("look_alikes")

# %% [markdown]
# Looks and effects belong side by side. From here on this is the first thing to do with a new model:


# %%
def case_file(mystery: Mystery, *roles: str) -> None:
    """Shows one line a head: what ablating it costs, and where its attention goes."""
    tokens, model = mystery.sample(64, seed=1), mystery.model
    shares = head_shares(mystery, tokens, role_targets(tokens, *([roles] if roles else [])))
    effects = {mode: single_effects(model, tokens, mode) for mode in ("mean", "resample")}
    rows = []
    for head in heads_of(model):
        seen = [f"{role} {share[head]:.2f}" for role, share in shares.items() if share[head] > 0.6]
        costs = {mode: effect[head].abs().item() for mode, effect in effects.items()}
        rows.append({"head": head_name(head), **costs, "looks at": ", ".join(seen)})
    gone = {m: divergence(model(tokens), Ablation(model, tokens, m).logits(heads_of(model))).item()
            for m in effects}
    show_table([*rows, {"head": "all", **gone, "looks at": ""}], digits=2)


case_file(agate)

# %% [markdown]
# The costs are in nats, by mean and by resampling; the last column names roles that get more than .6 of the attention
# off BOS.
#
# ## The first claim
#
# First a lazy one: all heads are the circuit. Every role in it is a guess.

# %%
chapter.predict("all_heads_claim", choices=["faithfulness", "completeness", "minimality"])

# %% tags=["nbval-check-output"]
heads = heads_of(agate.model)
print(grade(Claim("agate", heads={"backup": heads})))

# %%
chapter.reveal("all_heads_claim")

# %% [markdown]
# The roles go too: they were no more than guesses.
#
# Now yours. `heads` maps roles to lists of pairs. `edges` are pairs of sender and receiver, written as `path_patch`
# takes them: `((0, 1), (1, 2, "k"))` if the keys of 1.2 read 0.1, and `((0, 1), "logits")` if the unembedding
# does. `predict` is your idea as a program: it gets the symbols so far, as a list of strings, and returns the next.
# The grader calls it on inputs that you have not seen, where the model is sure.

# %%
draw("claim_graded")

# %% [markdown]
# *What to see:* how edges are marked. Solid ones carry something, the dashed one carries nothing; edges that carry
# and that you did not name lower the mark, and the grader does not tell which they are.

# %% exercise="claim_agate"

# %% tags=["nbval-check-output"]
print(grade(claim_agate()))

# %% [markdown]
# ## Three tests of a circuit
#
# How does the grader know? It asks three questions, those of
# [Wang et al. 2022](https://arxiv.org/abs/2211.00593), section 4.

# %%
draw("three_tests")

# %% [markdown]
# *What to see:* each test compares two rows. *Faithful*: the whole model with the circuit alone. *Complete*: the
# same two, with the same head taken from both. *Minimal*: the circuit with the circuit less one head.
#
# You write them now, on a model whose key is open:

# %% tags=["nbval-check-output"]
from circuits_course.mystery import make_mystery, open_seal

practice = make_mystery("practice", 17)
key = open_seal(practice)
for role, found in key.heads.items():
    print(f"{role}: {', '.join(map(head_name, found))}")
(main,), (backup,) = key.heads.values()
(decoy,) = key.decoys
print(f"and a decoy, which does nothing: {head_name(decoy)}")

# %% [markdown]
# It has a **backup**: a later head that does the first one's job if that one has not done it. Such heads exist in
# real models. When Wang et al. knocked out the three name movers of GPT-2 small, the logit difference fell by only
# 5 %, because others stepped in.

# %%
chapter.predict("backup_alone",
                choices=["both matter", "only the first one matters", "neither matters"])

# %%
case_file(practice)

# %% [markdown]
# *What to see:* the lines of the main head, 1.0, and of its backup, 2.2. By their means neither matters: you would report that
# no head does anything, although all of them together cost what the last line says. Resampling shows more: then the
# main head says another prompt's symbol as loudly as ever, and the backup has to shout against it.

# %%
chapter.reveal("backup_alone")

# %% [markdown]
# ### Is it enough?
#
# **Faithfulness**: leave only the circuit in place, ablate all else. How much of the model's predictions remains?
# (Chapter 06 gave a distance in logits, 0 being best. Here it is a share, and 1 is best.)

# %% exercise="faithfulness"

# %% tags=["nbval-check-output"]
tokens = practice.sample(64, seed=1)
circuits = {"main": [main], "main and backup": [main, backup], "decoy": [decoy]}
found = {name: faithfulness(practice.model, tokens, heads) for name, heads in circuits.items()}
show_table(found, ["circuit", "faithfulness"], digits=1)

# %% [markdown]
# ### Below 0, above 1
#
# The formula is $1 - D(\text{circuit}) / D(\text{nothing})$, and nothing holds it above 0. It falls **below 0** where a circuit is
# further from the model than silence is: half of a circuit can be loudly wrong. Here is a model in
# which two heads count symbols of one kind each, and the larger count wins. Leave one of them alone, all others at zero:

# %% tags=["nbval-check-output"]
scales = make_mystery("scales", 4)
counters = open_seal(scales).heads["counter"]
inputs = scales.sample(64, seed=1)
sets = {head_name(head): [head] for head in counters} | {"both": counters}
found = {name: faithfulness(scales.model, inputs, heads, "zero") for name, heads in sets.items()}
show_table(found, ["circuit", "faithfulness, others at zero"], digits=2)
verdict("each half alone is worse than nothing", max(list(found.values())[:2]) < 0)

# %% [markdown]
# One counter without the other votes for its own kind on *every* prompt, and is sure of it where it should lose. By means it is not so: the
# mean keeps the other's usual vote in the scale.
#
# **Above 1** comes up below, in the two other tests. They compare two changed models with each other, and still divide by the distance from the *whole*
# model to nothing. A backup that copies a tenth more loudly than the head it stands in for leaves more to lose than there was: 1.06, or 1.1 in a table of one digit. (Faithfulness
# itself cannot exceed 1, because a divergence is never negative. Measures that divide logit differences can: reported values of real circuits run
# from below 0 to above 100 % with the way to ablate, Miller et al. 2024.)
#
# ### Is it all?
#
# The main head alone is faithful. And yet a claim without the backup is wrong about the model: it says that
# without the main head the model knows nothing.
#
# **Completeness** asks whether circuit and model *fall alike*: knock the same heads out of both and compare.

# %% exercise="incompleteness"

# %% tags=["nbval-check-output"]
pairs = {"main": [main], "main and backup": [main, backup]}
found = {n: incompleteness(practice.model, tokens, c, [main]) for n, c in pairs.items()}
show_table(found, ["circuit", "incompleteness, main knocked out"], digits=1)

# %% [markdown]
# ### Is there too much?
#
# **Minimality**: each head of the circuit must matter *somewhere*. Perhaps only once another one is gone.

# %% exercise="importance"

# %%
everything = {"main": main, "backup": backup, "decoy": decoy}
among = list(everything.values())
plot_bars({f"{n} {head_name(h)}": importance(practice.model, tokens, among, h)
           for n, h in everything.items()}, "The most that each head ever matters",
          y="share of the whole effect")

# %% [markdown]
# *What to see:* the backup matters as much as the main head (a little more: 1.06, as said above), and the decoy has no bar. Yet by its weights the decoy
# is the loudest copier of the model:

# %%
model = practice.model
copying = (model.W_E[1:] @ model.OV.AB @ model.W_U[:, 1:]).diagonal(dim1=-2, dim2=-1).mean(-1)
rows = {f"{name} {head_name(head)}": copying[head].item() for name, head in everything.items()}
show_table(rows, ["head", "logits added to a symbol that it attends to"], digits=1)

# %% [markdown]
# The decoy never attends to a symbol: it rests on BOS.

# %%
chapter.explain("why_three_tests")

# %% [markdown]
# ### How many stand in for each other?
#
# `importance` knocks out one other head. Why one? Because it was enough here. A third head that steps in for the second would hide all three of them from it.
#
# The question can be asked without a number in it. A **cut** is a set of heads without which the model is
# lost. A cut of one head names a head that nobody covers. Where the smallest cut has two heads, they cover each
# other; where it has three, all three do.

# %% exercise="smallest_cuts"

# %% tags=["nbval-check-output"]
cuts = smallest_cuts(practice.model, tokens, share=0.5)
names = [" with ".join(map(head_name, cut)) for cut in cuts]
verdict("the smallest cut of practice is main with backup", cuts == [(main, backup)], *names)

# %% [markdown]
# Nine heads have 511 sets, so here we can try them all. The 144 heads of GPT-2 small have 10,296 pairs and half a million
# triples: there one searches greedily, adding the head that hurts most, as Wang et al. did for completeness, and can miss a set.
#
# ## Who reads whom?
#
# An edge is a claim as well. The test is path patching: let *one* reader hear what the sender says on another
# prompt, with everyone else held still. If predictions move, the path carries something.

# %% exercise="edge_effect"


# %%
def edge_table(mystery: Mystery, circuit: list[Head]) -> None:
    """Shows every path between heads of a circuit, and to the logits, that carries something."""
    tokens, rows = mystery.sample(64, seed=1), []
    for sender in circuit:
        later = [(*head, letter) for head in circuit if head[0] > sender[0] for letter in "qkv"]
        for receiver in [*later, "logits"]:
            effect = edge_effect(mystery.model, tokens, sender, receiver)
            if effect >= 0.01:
                rows.append((str(sender), str(receiver), effect))
    show_table(rows, ["from", "to", "effect"], digits=2)


edge_table(practice, [main, backup])

# %% [markdown]
# *What to see:* the backup listens to the main head, through its queries: that is how it knows that nothing is left
# to do. Its own edge to the logits shows no effect, or hardly any, as long as the main head works. (The grader
# accepts such an edge, because it carries once other heads are silent. It does not ask for it.)
#
# A claim with its edges as a picture. Here is one on the practice model with a mistake in it, and the grader's word on
# each edge that was claimed. (It does not say which ones are missing.)

# %%
from circuits_course.mystery import claim_arrows
from circuits_course.plots import plot_circuit

into_backup = [(main, (*backup, letter)) for letter in "qk"]
claimed = Claim("practice", dict(zip(key.heads, [[main], [backup]])), [(main, "logits"), *into_backup])
plot_circuit(**claim_arrows(claimed, practice), title="A claim about the practice model, and its grading",
             unit="edges claimed: right or wrong", numbers=False)

# %% [markdown]
# *What to see:* two solid arrows are right. The dashed one is wrong: the backup's keys hear nothing of the main
# head. With `claim_arrows(claim_agate())` you draw your own.
#
# ## Eleven cases
#
# You have the tools. Help fades from here: the first two cases come with questions, later ones with a line. All models
# want the same from you: a claim with seven full marks. Take as many cells as you need, and come back later if
# one resists.
#
# A way to work that has served well:
#
# 1. `show_predictions`: what does it do? Have a guess before you look inside.
# 2. `case_file`: who matters, and where do those look? Do mean and resample agree?
# 3. Are the single effects small and the effect of all large? Then somebody stands in for somebody. Ask
#    `importance`, with all heads as the circuit, and `smallest_cuts`.
# 4. `faithfulness`, `incompleteness` and `importance` of what you have.
# 5. `edge_table`, then the claim.
#
# On nine of the cases one script gets all heads and edges right: the importance of all heads, then the edge table. On two it does
# not. The tools above are enough for them, used otherwise.

# %% [markdown]
# ### basalt
#
# Do the predictions change along one line, or stay? Which earlier place explains them? How many heads look
# there, and how many of them matter?

# %% only="notebooks"
basalt = load_mystery("basalt")
show_predictions(basalt)

# %% only="notebooks"
print(grade(Claim("basalt", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
basalt = load_mystery("basalt")
show_predictions(basalt)
case_file(basalt)

# %% [markdown] only="solutions"
# All predictions of a line are the symbol that came first. Two heads look there; ablation leaves one of them.

# %% only="solutions" tags=["nbval-check-output"]
heads = {"first token": [(0, 0)]}
edges = [((0, 0), "logits")]
print(grade(Claim("basalt", heads, edges, "first token", lambda symbols: symbols[0])))

# %% [markdown]
# ### chert
#
# Only a few different symbols are ever predicted. Which ones, and when? Sort the positions of many inputs by
# something that you suspect, and count what the model says (`Counter` of the standard library helps).

# %% only="notebooks"
chert = load_mystery("chert")
show_predictions(chert)

# %% only="notebooks"
print(grade(Claim("chert", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
chert = load_mystery("chert")
show_predictions(chert)
case_file(chert)

# %% only="solutions" tags=["nbval-check-output"]
from collections import Counter

tokens = chert.sample(64, seed=2)
said = chert.model(tokens).argmax(-1)
repeated = role_targets(tokens)["duplicate token"].any(-1)
answers, counted = {}, []
for is_repeat in (False, True):
    chosen = said[:, 1:][repeated[:, 1:] == is_repeat]
    counts = Counter(chert.model.to_single_str_token(t) for t in chosen.tolist())
    answers[is_repeat] = counts.most_common(1)[0][0]
    counted.append(("seen before" if is_repeat else "new", *counts.most_common(1)[0], len(chosen)))
show_table(counted, ["symbol is", "answer", "times", "of"])

# %% only="solutions" tags=["nbval-check-output"]
heads = {"duplicate token": [(0, 1)]}
edges = [((0, 1), "logits")]
print(grade(Claim("chert", heads, edges, "duplicate detection",
                  lambda symbols: answers[symbols[-1] in symbols[:-1]])))

# %% [markdown]
# ### diorite
#
# Here the four masks do not name the head that matters. Look at its attention on one prompt (`plot_attention`): what do
# the weights of a row have in common?

# %% only="notebooks"
diorite = load_mystery("diorite")
show_predictions(diorite)

# %% only="notebooks"
print(grade(Claim("diorite", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
diorite = load_mystery("diorite")
show_predictions(diorite)
case_file(diorite)

# %% only="solutions"
prompt = diorite.sample(1, seed=0)
_, cache = diorite.model.run_with_cache(prompt)
plot_attention(diorite.model.to_str_tokens(prompt), cache["pattern", 1][0, [2]],
               "The head of diorite that matters", head_names=["1.2"])

# %% [markdown] only="solutions"
# Every row is even over all symbols so far, BOS left out. What an even mean copies is in proportion to counts: the
# symbol that came most often wins.

# %% only="solutions" tags=["nbval-check-output"]
heads = {"counter": [(1, 2)]}
edges = [((1, 2), "logits")]
print(grade(Claim("diorite", heads, edges, "majority",
                  lambda symbols: Counter(symbols).most_common(1)[0][0])))

# %% [markdown]
# ### emerald
#
# More than one head matters, and each costs everything. What does one hand to the other? Find the input through
# which it is heard.

# %% only="notebooks"
emerald = load_mystery("emerald")
show_predictions(emerald)

# %% only="notebooks"
print(grade(Claim("emerald", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
emerald = load_mystery("emerald")
show_predictions(emerald)
case_file(emerald)
edge_table(emerald, [(0, 1), (1, 0)])

# %% [markdown] only="solutions"
# Two heads that look one back, and the values of the second read the first: a virtual head that looks two back, as in
# chapter 05.

# %% only="solutions" tags=["nbval-check-output"]
heads = {"previous token": [(0, 1), (1, 0)]}
edges = [((0, 1), (1, 0, "v")), ((1, 0), "logits")]
print(grade(Claim("emerald", heads, edges, "two back", lambda symbols: symbols[-3])))

# %% [markdown]
# ### flint
#
# When is it silent?

# %% only="notebooks"
flint = load_mystery("flint")
show_predictions(flint)

# %% only="notebooks"
print(grade(Claim("flint", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
flint = load_mystery("flint")
show_predictions(flint)
case_file(flint)
edge_table(flint, [(0, 0), (1, 0)])


# %% only="solutions"
from itertools import pairwise


def most_common_follower(symbols: list[str]) -> str:
    """What most often followed the earlier copies of the current symbol."""
    followers = [b for a, b in pairwise(symbols) if a == symbols[-1]]
    return Counter(followers).most_common(1)[0][0] if followers else ""


# %% only="solutions" tags=["nbval-check-output"]
heads = {"previous token": [(0, 0)], "induction": [(1, 0)]}
edges = [((0, 0), (1, 0, "k")), ((1, 0), "logits")]
print(grade(Claim("flint", heads, edges, "induction", most_common_follower)))

# %% [markdown]
# ### gneiss
#
# A prompt of a single symbol shows what that symbol alone does.

# %% only="notebooks"
gneiss = load_mystery("gneiss")
show_predictions(gneiss)

# %% only="notebooks"
print(grade(Claim("gneiss", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
gneiss = load_mystery("gneiss")
show_predictions(gneiss)
case_file(gneiss)
edge_table(gneiss, [(0, 0), (0, 2)])

# %% only="solutions" tags=["nbval-check-output"]
kinds: dict[str, list[str]] = {}
for symbol in gneiss.model.cfg.vocabulary[1:]:
    logits = gneiss.model(gneiss.model.to_tokens(symbol))[0, -1]
    lead = logits.topk(2).values.diff().abs().item()
    answer = gneiss.model.to_single_str_token(int(logits.argmax())) if lead > 1 else "nothing"
    kinds.setdefault(answer, []).append(symbol)
show_table({a: " ".join(kinds[a]) for a in sorted(kinds)},
           ["the model says", "to each of these alone"])

# %% only="solutions"
prompt = gneiss.sample(1, seed=0)
_, cache = gneiss.model.run_with_cache(prompt)
plot_attention(gneiss.model.to_str_tokens(prompt), cache["pattern", 0][0, [0, 2]],
               "Two heads of gneiss", head_names=["0.0", "0.2"])

# %% [markdown] only="solutions"
# Each head looks at one kind of symbol, evenly, and rests on BOS with what is left: the more of its kind, the less on
# BOS. One pushes one answer, one the other; the larger count leads.


# %% only="solutions"
def leading_kind(symbols: list[str]) -> str:
    """The answer whose kind has come more often."""
    said = {answer: members for answer, members in kinds.items() if answer != "nothing"}
    return max(said, key=lambda answer: sum(symbol in said[answer] for symbol in symbols))


# %% only="solutions" tags=["nbval-check-output"]
heads = {"counter": [(0, 0), (0, 2)]}
edges = [((0, 0), "logits"), ((0, 2), "logits")]
print(grade(Claim("gneiss", heads, edges, "balance", leading_kind)))

# %% [markdown]
# ### halite
#
# Ask the weights first this time: composition scores (chapter 05), and how loudly each head copies. Then ask the model.

# %% only="notebooks"
halite = load_mystery("halite")
show_predictions(halite)

# %% only="notebooks"
print(grade(Claim("halite", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
halite = load_mystery("halite")
show_predictions(halite)
case_file(halite)

# %% only="solutions"
model = halite.model
copying = (model.W_E[1:] @ model.OV.AB @ model.W_U[:, 1:]).diagonal(dim1=-2, dim2=-1).mean(-1)
plot_heads(copying, "How loudly the heads of halite copy", unit="logits", diverging=True)

# %% only="solutions"
from circuits_course.circuits import all_composition_scores

scores = all_composition_scores(model, "K")
pairs = [((0, a), (la, b)) for a in range(3) for la in (1, 2) for b in range(3)]
by_score = sorted(pairs, key=lambda pair: -scores[(*pair[0], *pair[1])])
tokens = halite.sample(64, seed=1)
rows = [(f"{head_name(a)} > {head_name(b)}", scores[(*a, *b)],
         edge_effect(model, tokens, a, (*b, "k"))) for a, b in by_score[:4]]
show_table(rows, ["pair", "K-composition score", "path effect"], digits=2)

# %% [markdown] only="solutions"
# The loudest copier, 2.1, looks at none of the four places and costs nothing. The pair that fits best carries
# nothing, although its sender looks one back like the real one. The effects leave the same two roles as in flint.

# %% only="solutions"
edge_table(halite, [(0, 0), (2, 0)])

# %% only="solutions" tags=["nbval-check-output"]
heads = {"previous token": [(0, 0)], "induction": [(2, 0)]}
edges = [((0, 0), (2, 0, "k")), ((2, 0), "logits")]
print(grade(Claim("halite", heads, edges, "induction", most_common_follower)))

# %% [markdown]
# ### iolite
#
# `case_file`, and be surprised.

# %% only="notebooks"
iolite = load_mystery("iolite")
show_predictions(iolite)

# %% only="notebooks"
print(grade(Claim("iolite", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
iolite = load_mystery("iolite")
show_predictions(iolite)
case_file(iolite)

# %% [markdown] only="solutions"
# By their means no head costs anything alone, and all together cost everything. So somebody stands in for somebody: ask
# for the most that each head matters when one other is gone.

# %% only="solutions"
tokens, everyone = iolite.sample(64, seed=1), heads_of(iolite.model)
matters = [importance(iolite.model, tokens, everyone, head) for head in everyone]
plot_heads(torch.tensor(matters).view(3, 3), "The most that each head of iolite ever matters",
           unit="share of the effect")

# %% only="solutions" tags=["nbval-check-output"]
edge_table(iolite, [(0, 1), (2, 1)])
gone = {str(k): incompleteness(iolite.model, tokens, [(0, 1)], k) for k in ([], [(0, 1)])}
show_table(gone, ["knocked out", "incompleteness of 0.1 alone"], digits=2)

# %% only="solutions" tags=["nbval-check-output"]
heads = {"first token": [(0, 1)], "backup": [(2, 1)]}
edges = [((0, 1), "logits"), ((0, 1), (2, 1, "q")), ((2, 1), "logits")]
print(grade(Claim("iolite", heads, edges, "first token", lambda symbols: symbols[0])))

# %% [markdown]
# ### jasper
#
# It speaks at one place only. More masks than the four are there to be asked for: `role_targets(tokens, [...])`, with the
# names of the menu.

# %% only="notebooks"
jasper = load_mystery("jasper")
show_predictions(jasper)

# %% only="notebooks"
print(grade(Claim("jasper", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
jasper = load_mystery("jasper")
show_predictions(jasper)

# %% [markdown] only="solutions"
# It speaks at the last position only, where the same symbol always stands. What it says is always one of a few symbols,
# and never one that stands in the prompt twice. Two more masks for heads of this kind: symbols that have been repeated,
# and symbols that stand alone.

# %% only="solutions"
case_file(jasper, "previous token", "duplicate token", "inhibition", "mover")
edge_table(jasper, [(0, 2), (1, 0), (2, 0)])

# %% only="solutions" tags=["nbval-check-output"]
said = jasper.model(jasper.sample(200, 3))[:, -1].argmax(-1)
names = sorted({jasper.model.to_single_str_token(token) for token in said.tolist()})
print("symbols that are ever the answer:", " ".join(names))


def name_not_repeated(symbols: list[str]) -> str:
    """The one name that stands in the prompt once."""
    counts = Counter(symbol for symbol in symbols if symbol in names)
    return next((name for name, count in counts.items() if count == 1), "")


# %% only="solutions" tags=["nbval-check-output"]
heads = {"duplicate token": [(0, 2)], "inhibition": [(1, 0)], "mover": [(2, 0)]}
edges = [((0, 2), (1, 0, "k")), ((0, 2), (1, 0, "v")), ((1, 0), (2, 0, "q")), ((2, 0), "logits")]
print(grade(Claim("jasper", heads, edges, "odd one out", name_not_repeated)))

# %% [markdown] only="solutions"
# Indirect object identification in miniature: a duplicate-token head marks the second occurrence, an inhibition head
# carries the mark to the end, a mover looks at names and avoids the marked one. (Each of the first two costs a little
# more alone than all heads together, .14 and .13 against .12: without them the mover speaks for a wrong name; without
# all of them nobody speaks.)

# %% [markdown]
# ### kunzite
#
# `importance` of all heads says that there is no circuit. `case_file` says by how much that is wrong.

# %% only="notebooks"
kunzite = load_mystery("kunzite")
show_predictions(kunzite)

# %% only="notebooks"
print(grade(Claim("kunzite", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
kunzite = load_mystery("kunzite")
show_predictions(kunzite)
case_file(kunzite)

# %% only="solutions" tags=["nbval-check-output"]
tokens, everyone = kunzite.sample(64, seed=1), heads_of(kunzite.model)
most = max(importance(kunzite.model, tokens, everyone, head) for head in everyone)
verdict("no head of kunzite matters, alone or with one other gone", most < 0.05,
        f"at most {most:.3f}")
cuts = smallest_cuts(kunzite.model, tokens, share=0.5)
show_table([[head_name(head) for head in cut] for cut in cuts], ["a smallest cut", "with", "and"])

# %% [markdown] only="solutions"
# One cut, of three heads: any one of them suffices. Who is the first, and who stands in for whom? Take two of them away
# and see whether the third speaks.

# %% only="solutions"
(trio,) = cuts
effects = {}
for gone in trio:
    without = Ablation(kunzite.model, tokens, "mean").logits([gone])
    silent = [Ablation(kunzite.model, tokens, "mean").logits([gone, head]) for head in trio]
    effects[f"{head_name(gone)} gone"] = {f"and {head_name(head)}": divergence(without, s).item()
                                          for head, s in zip(trio, silent)}
show_table(effects, digits=2)
edge_table(kunzite, list(trio))

# %% [markdown] only="solutions"
# With two of them gone nothing is missed: the third speaks. Only the lowest, 0.1, reaches the logits as things are,
# and both others listen to it through their queries. Who speaks when it is gone?

# %% only="solutions"
def says(gone: list[Head]) -> dict[str, float]:
    """How far each of the trio moves the logits from prompt to prompt, with some heads ablated."""
    spoken: dict[str, float] = {}

    def listen(z: Float[Tensor, "batch pos head d_head"], hook):
        for layer, head in [head for head in trio if head[0] == hook.layer()]:
            if (layer, head) in gone:
                z[:, :, head] = z[:, :, head].mean(0)
            said = z[:, :, head] @ kunzite.model.W_O[layer, head] @ kunzite.model.W_U
            spoken[head_name((layer, head))] = (said - said.mean(0)).abs().amax(-1).mean().item()
        return z

    kunzite.model.run_with_hooks(tokens, fwd_hooks=[(lambda name: name.endswith("hook_z"), listen)])
    return spoken

# %% only="solutions" tags=["nbval-check-output"]
show_table({"all there": says([]), "0.1 gone": says(trio[:1]), "0.1 and 1.0 gone": says(trio[:2])},
           caption="How far each moves the logits from prompt to prompt", digits=1)

# %% [markdown] only="solutions"
# Neither of the two speaks while a lower one does: a backup, and a backup of the backup. Their edges to the logits
# carry nothing until the others are silent; `grade` takes them, and does not insist.

# %% only="solutions" tags=["nbval-check-output"]
heads = {"previous token": [(0, 1)], "backup": [(1, 0), (2, 2)]}
edges = [((0, 1), "logits"), ((0, 1), (1, 0, "q")), ((0, 1), (2, 2, "q"))]
print(grade(Claim("kunzite", heads, edges, "previous token", lambda symbols: symbols[-2])))

# %% [markdown]
# ### lazulite
#
# The means give a short answer, and `grade` will not have it. What do means, and other prompts, never take away? The quiz at
# the beginning knew. (`silence_path`, from `circuits_course.mystery`, takes a path out altogether; `silence_path??` shows how.)

# %% only="notebooks"
lazulite = load_mystery("lazulite")
show_predictions(lazulite)

# %% only="notebooks"
print(grade(Claim("lazulite", heads={}, edges=[], algorithm="", predictions={})))

# %% only="solutions"
lazulite = load_mystery("lazulite")
show_predictions(lazulite)
case_file(lazulite)

# %% [markdown] only="solutions"
# One head is the whole circuit, by mean and by resampling, and it is faithful. The grade disagrees:

# %% only="solutions" tags=["nbval-check-output"]
lone, to_logits = {"first token": [(2, 1)]}, [((2, 1), "logits")]
print(grade(Claim("lazulite", lone, to_logits, "first token", lambda symbols: symbols[0])))

# %% only="solutions" tags=["nbval-check-output"]
tokens = lazulite.sample(64, seed=1)
cuts = {m: smallest_cuts(lazulite.model, tokens, 0.5, m) for m in ("mean", "resample", "zero")}
rows = {mode: ", ".join(head_name(head) for (head,) in found) for mode, found in cuts.items()}
show_table(rows, ["ablated by", "heads without which it is lost"])

# %% [markdown] only="solutions"
# Zeros show a second head, 1.2. It looks one back, and what it writes is *the same on every prompt*: its mean is what it says, and so is what it
# says elsewhere. To whom?

# %% only="solutions" tags=["nbval-check-output"]
from circuits_course.mystery import silence_path

logits, rows = lazulite.model(tokens), {}
for receiver in [(2, 1, "q"), (2, 1, "k"), (2, 1, "v"), "logits"]:
    silent = silence_path(lazulite.model, tokens, (1, 2), receiver)
    other = edge_effect(lazulite.model, tokens, (1, 2), receiver)
    rows[str(receiver)] = {"another prompt": other, "silence": divergence(logits, silent).item()}
show_table(rows,
           caption="From 1.2: what moves when the receiver hears another prompt, or nothing",
           digits=2)
_, cache = lazulite.model.run_with_cache(tokens)
said = (cache["z", 1][:, :, 2] @ lazulite.model.W_O[1, 2]).norm(dim=-1).mean(0)
print("length of what 1.2 writes, by position:", *(f"{x:.1f}" for x in said))

# %% [markdown] only="solutions"
# To the keys of 2.1 alone. By the last line 1.2 writes something at BOS and at the place after it, where it reads
# BOS, and next to nothing anywhere else, on every prompt alike. That mark is how 2.1 finds the first symbol: it
# matters for where somebody attends, and for nothing else.
#
# Is it *in* the circuit? By the definition of Wang et al., who ablate by means to keep what all prompts share, it is not: it carries nothing about this prompt. For the
# question *how does the model do it*, it is half of the answer. Both are right, and a claim should say which one it
# answers; this grader asks by all three ways to ablate.

# %% only="solutions" tags=["nbval-check-output"]
heads = {"previous token": [(1, 2)], "first token": [(2, 1)]}
edges = [((1, 2), (2, 1, "k")), ((2, 1), "logits")]
print(grade(Claim("lazulite", heads, edges, "first token", lambda symbols: symbols[0])))

# %% [markdown]
# ## More of them
#
# Twelve are not enough? In a terminal, `circuits-course mystery new --seed 7` makes another one, with another algorithm,
# other symbols and other places, and hands it out only after the grader has verified it. In the notebook it is
# then `load_mystery("seed-7")`. Give a seed to a friend, and you have the same model.

# %%
chapter.explain("what_the_grade_cannot_see")

# %%
chapter.progress()

# %% [markdown]
# ## What was measured, and what the literature says
#
# - Heads that attend alike can differ in everything that matters. Attention patterns say what a head reads; whether
#   anybody reads the head, only an intervention shows.
# - A circuit can be faithful and wrong. Wang et al. 2022 (section 4) ask for faithfulness, completeness and minimality,
#   and report that their own circuit of GPT-2 small fails the completeness test for some sets of heads. You met
#   the reason in the small: backups.
# - Single ablations can all be harmless in a model whose heads together do everything, and so can pairs. McGrath et al. 2023
#   ([The Hydra effect](https://arxiv.org/abs/2307.15771)) find such self-repair in language models.
# - What an ablation keeps, it cannot show. Means and other prompts keep what is always said.
# - Weights suggest, and can be made to suggest anything. The decoys here were built so. In trained models a high score
#   deserves a test on every kind of data before it is called idle (chapter 05).
# - Planted circuits as ground truth for interpretability tools are an idea of Lindner et al. 2023
#   ([Tracr](https://arxiv.org/abs/2301.05062)), who compile programs into transformers.
#
# **What these models lack.** Nothing here does two jobs at once, no MLP helps, and the circuit is sharp: a head
# matters or it does not. In trained models every threshold is a choice. The tools are the same; the answers are
# in shades.
#
# ## How sure is this?
#
# Each sentence was tested on models that the chapter does not use, made from other seeds.

# %%
chapter.how_sure()

# %% [markdown]
# ## Where to go on
#
# - **09 Open questions**, if you have not been there: what is known about circuits across models, and what is not.
# - Your own model. Take a behaviour you can measure, and start a case file.
#
# Papers: Lindner et al. 2023 (arXiv 2301.05062), McGrath et al. 2023 (arXiv 2307.15771), Miller et al. 2024 (arXiv 2407.08734),
# Wang et al. 2022 (arXiv 2211.00593).
