# %% [markdown]
# # 02 Attention as computation
#
# **You will be able to** write the weights of an attention head by hand so that it routes, looks
# up, averages, selects and compares; build an induction circuit out of two heads; and say what a
# trained model does differently.
#
# **Time** about two hours. **You need** chapter 01: scores, softmax, the QK and OV circuits.
# **Models** your own, one head at a time, and at the end `induction-2l`, which was trained.
#
# Most of interpretability runs from weights to a description. This chapter runs the other way. If
# attention is a way to compute, you should be able to *program* it, and afterwards you will
# recognise the program when training has written it.

# %%
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course import Chapter, circuits, data, load_model, show_table, verdict
from circuits_course.circuits import Basis, HeadWeights, head_name
from circuits_course.plots import plot_attention, plot_heads, plot_lines, plot_matrix, plot_named

torch.set_grad_enabled(False)
chapter = Chapter("02_attention_as_computation")

# %% [markdown]
# ## Before you start

# %%
chapter.quiz("pattern_axes")

# %%
chapter.quiz("why_root_d_head")

# %%
chapter.quiz("qk_and_ov")

# %%
chapter.review()

# %% [markdown]
# ## A residual stream you can read
#
# The residual stream of a trained model has no labels. To program a head you need to know what is
# where, so we lay one out ourselves: a **basis** in which every direction has a name. All
# directions have length 1 and stand at right angles to each other.

# %% tags=["nbval-check-output"]
basis = circuits.small_basis()
features = basis.feature_values.T.tolist()
rows = {name: dict(zip(basis.vocabulary, values)) for name, values in zip(basis.features, features)}
show_table(rows, caption="Symbols and their features", digits=0)
sizes = {group: {"directions": len(names), "from": names[0], "to": names[-1]}
         for group, names in basis.groups.items()}
show_table(sizes, caption=f"d_model = {basis.d_model}")

# %% [markdown]
# | direction | what it says | who writes it |
# |---|---|---|
# | `token a` | the symbol *a* stands here | the embedding |
# | `one` | 1 at every position | the embedding |
# | `vowel`, `digit`, `value` | a feature of the symbol here; 0 on BOS | the embedding |
# | `position 3` | this is position 3 | nobody: it is added to what **queries and keys** see |
# | `previous a` | *a* stands one back | empty, until a head writes it |
# | `out a` | *a* comes next | empty; the unembedding reads it |
# | `result` | room for one number | empty |
#
# In code, `basis.token`, `basis.position`, `basis.previous` and `basis.out` are matrices with one
# direction per **row**, row 0 of the symbols being BOS; `basis.direction("vowel")` is one
# direction.
#
# Two things to keep in mind. The values of a head never see positions: the course's transformer
# adds them to the input of queries and keys only, so what a head moves is never a position. And the
# unembedding does not read `out BOS`: a head that copies BOS says nothing.

# %% [markdown]
# ### Reading one direction
#
# Everything a head does starts with reading. At some position the stream holds `token 3 + one + 1
# digit + 3 value + ...`, all in the same numbers. How do you get the 3 out of it without the rest?
#
# Directions at right angles do not disturb each other: the dot product of the vector with one of
# them leaves its own amount and nothing else.

# %%
chapter.predict("dot_product_reads", choices=["3", "1", "it depends on what else is there"])

# %% exercise="read_feature"

# %% tags=["nbval-check-output"]
rotated, rows = circuits.small_basis(seed=0), {}
for name, stream in {"along the coordinates": basis, "rotated": rotated}.items():
    resid = stream.W_E[torch.tensor([[0, 1, 8]])]  # BOS, a, 3
    value = read_feature(resid, stream.direction("value"))[0]
    last = {f"coordinate {i}": resid[0, 2, i] for i in (-4, -3, -2, -1)}
    rows[name] = last | {f"value at {at}": abs(x.item()) for at, x in zip(("BOS", "a", "3"), value)}
show_table(rows, caption="Where a 3 stands: its last coordinates, and what the dot product reads",
           digits=1)

# %% [markdown]
# *What to see:* in the rotated basis the coordinates show nothing, and the dot product still reads
# `0, 0, 3`. Trained models are like the second line. Your heads will be tried in rotated bases, so
# build them from named directions, never from coordinate numbers.

# %%
chapter.reveal("dot_product_reads")

# %% [markdown]
# ## How sharp is a softmax?
#
# A program says "look *there*". A softmax says "mostly there". Suppose one key has the score $s$
# and the other $n - 1$ keys score 0. Then the one gets
#
# $$\text{share} = \frac{e^s}{e^s + (n - 1)}$$

# %%
chapter.predict("sharpness_growth",
                choices=["about the same", "about 5 more", "about 100 times as much"])

# %% [markdown]
# Turn the formula round: which score does a key need to get a given share?

# %% exercise="sharpness"

# %% tags=["nbval-check-output"]
show_table(
    {f"{n:,} keys": sharpness(n, 0.99) for n in (10, 100, 1000)},
    columns=["", "score for a share of 0.99"],
    digits=1,
)

# %%
chapter.reveal("sharpness_growth")

# %% [markdown]
# Each factor of ten costs the same amount again: the score grows with the *logarithm* of the
# length. And since a score is $q \cdot k / \sqrt{d_\text{head}}$, the weights need another factor
# $\sqrt{d_\text{head}}$ on top.

# %% [markdown]
# ## Routing: look so many back
#
# The first program: *copy what stood `offset` positions ago*. RASP, a language for thinking about
# transformers (Weiss et al. 2021, arXiv 2106.06981), has two primitives for attention: **select**,
# a matrix of who looks at whom, and **aggregate**, the mean of what is found there. Routing is
#
#     aggregate(select(indices, indices - offset, ==), tokens)
#
# Now as weights. Give the head one dimension for each position that can be looked at. A **key** at
# position $k$ lights up dimension $k$: "I am $k$". A **query** at position $q$ lights up dimension
# $q - \text{offset}$: "I want that one". Their dot product is large where the two agree.
#
# $W_V$ lights up one dimension per symbol, $W_O$ writes that symbol along `out`.

# %%
from circuits_course.plots import draw

draw("routing", offset=2)

# %% [markdown]
# *What to see:* the dotted arrow compares positions only, the solid one carries a symbol only. Put
# another symbol in place of *b*, and the head looks at the same place and says that one.
#
# The two pairs need not be equally wide: $W_Q$ and $W_K$ have 12 columns here, one for each position,
# $W_V$ and $W_O$ have 9, one for each symbol. What a head looks by and what it moves never meet; in a
# trained model both widths are called `d_head`, for convenience of the implementation. Fill in the
# line that is missing.

# %% exercise="route"

# %% [markdown]
# `HeadWeights` is a tuple of the four matrices, and `basis.model(head)` puts them into the same
# `CourseTransformer` that is trained later in the course. Here is each of your matrices. Rows are
# named directions on which the matrix acts at all; columns are the dimensions of the head.

# %%
head = route(basis, 2)
pictures = {"W_Q of route(basis, 2): what a query asks for": head.W_Q, "W_K: what a key offers": head.W_K,
            "W_V: what is read at the place looked at": head.W_V,
            "W_O, transposed: what is written": head.W_O.T}
for title, matrix in pictures.items():
    display(plot_named(basis.in_names, matrix, title, x="dimension of the head",
                       y="direction", unit="weight", both=False))

# %% [markdown]
# *What to see:* $W_K$ is a plain diagonal of positions. $W_Q$ is the same diagonal moved by two:
# the row `position 5` lights up dimension 3. $W_V$ reads `token`, $W_O$ writes `out`. The head is
# these two pairs; from now on we look at the products $W_Q W_K^\top$ and $W_V W_O$.

# %%
chapter.predict("nothing_so_far_back",
                choices=["to BOS", "to every position it can see, evenly", "to nothing"])


# %% [markdown]
# `basis.run(text, *heads)` runs your heads, one a layer; `basis.run??` shows how.


# %%
def reads_and_says(ran: circuits.HandRun) -> None:
    """What stands at each position, and below it what the heads predict."""
    show_table([["reads", *ran.labels], ["says", *ran.says]],
               columns=["", *map(str, range(len(ran.labels)))])


ran = basis.run("abc12e3d", head)
reads_and_says(ran)
plot_attention(ran.labels, ran.patterns, "route(basis, 2)", head_names=["0.0"])

# %% [markdown]
# *What to see:* one dark diagonal, two below the main one, and `says` is `reads`, two places
# later. (`?` means that no symbol stands out.) Row 1 has nothing two back. What your query asks for
# there decides what happens; with the reference it asks for nothing, all scores are 0, and the
# attention is spread evenly. A softmax cannot look nowhere.

# %%
chapter.reveal("nothing_so_far_back")

# %% [markdown]
# ## Lookup: a table in the weights
#
# The second program: *replace each symbol by another, as a table says*: `a -> b`, `b -> c`, ...
# Where does the table go?
#
# Where to look is settled: here.

# %%
chapter.predict("where_is_the_table", choices=["in W_Q and W_K", "in W_V and W_O"])

# %% [markdown]
# $W_V$ lights up dimension $t$ for symbol $t$; **row $t$ of $W_O$ is whatever you want said about
# symbol $t$.** That is a dictionary, with $W_V$ for keys and $W_O$ for values.

# %%
draw("lookup")

# %% [markdown]
# *What to see:* (1) the head looks where it stands, whatever the symbol is. (2) The row of *b* is read,
# and its one filled cell says *c*: the table is in what is moved.

# %% exercise="lookup"

# %% tags=["nbval-check-output"]
table = torch.tensor([0, 2, 3, 4, 5, 6, 7, 8, 1])
reads_and_says(basis.run("abc12e3d", lookup(basis, table)))


# %%
def ov_picture(head: HeadWeights, title: str):
    return plot_named(basis.in_names, head.W_V @ head.W_O, title, x="written",
                      y="read at the key", unit="written per read")


def qk_picture(head: HeadWeights, title: str):
    scores = head.W_Q @ head.W_K.T / math.sqrt(head.W_Q.shape[1])
    return plot_named(basis.in_names, scores, title, x="at the key", y="at the query",
                      unit="score")


ov_picture(lookup(basis, table), "What lookup writes for what it reads")

# %% [markdown]
# *What to see:* the OV circuit *is* the table: row `token a` has its only entry at `out b`. In
# chapter 01 you read a trained head's OV circuit as a table in the same way. A head whose table is
# the identity is said to *copy*.

# %%
chapter.reveal("where_is_the_table")

# %% [markdown]
# ## Aggregation: a running mean
#
# The third program: *what share of the symbols so far were vowels?* RASP writes `aggregate(select
# everything, vowel)`. "Select everything" is easy: with $W_Q = 0$ every score is 0, and softmax
# shares the attention evenly.

# %%
chapter.predict("mean_with_bos", choices=["1", "1/2", "1/3"])

# %%
chapter.reveal("mean_with_bos")

# %% [markdown]
# So BOS has to be left out. One dimension is enough for that: a query that is the same everywhere,
# a key that only BOS has, and a very negative score between the two.

# %%
draw("aggregation")

# %% [markdown]
# *What to see:* four arrows of one thickness, none from BOS. Each brings a 1 or a 0, so what arrives is
# their mean.

# %% exercise="aggregate"

# %% tags=["nbval-check-output"]
mean_head = aggregate(basis, "vowel")
ran = basis.run("abae123bcda", mean_head)
written = read_feature(ran.written[None], basis.direction("result"))[0]
rows = []
for position in range(1, len(ran.labels)):
    so_far = "".join(ran.labels[1 : position + 1])
    vowels = sum(symbol in "ae" for symbol in so_far)
    rows.append((so_far, f"{vowels} of {position}", vowels / position, written[position]))
show_table(rows, columns=["so far", "vowels", "share", "the head writes"], digits=3)

# %%
display(qk_picture(mean_head, "aggregate: one score keeps BOS out"))
plot_attention(ran.labels, ran.patterns, "aggregate(basis, 'vowel')", head_names=["0.0"])

# %% [markdown]
# *What to see:* every row is even over what it can see, and the BOS column is empty below the first
# row. The picture does not depend on the symbols at all.
#
# A head can average but it **cannot sum**: its weights add up to 1. A count has to be got in
# another way: leave BOS *in*, at the same score as what you count. With $n$ matches BOS then gets
# $1 / (1 + n)$ of the attention, and $n$ can be read off from it. The next cell does that for
# vowels:

# %% tags=["nbval-check-output"]
count_head = HeadWeights(W_Q=20 * basis.direction("one")[:, None],
                         W_K=(basis.direction("vowel") + basis.token[0])[:, None],
                         W_V=basis.token[0][:, None], W_O=basis.direction("result")[None])
ran = basis.run("abae123bcda", count_head)
share = read_feature(ran.written[None], basis.direction("result"))[0]
counted = [round(1 / x - 1) for x in share[1:].tolist()]
show_table([["reads", *ran.labels[1:]], ["vowels so far", *counted]],
           columns=["", *map(str, range(1, 12))])

# %% [markdown]
# ## Filtering: attend only where
#
# The fourth program: *gather the symbols at which a feature is on*: the vowels so far, and nothing
# else. In RASP, `select(vowel, 1, ==)`.
#
# Whom to look at does not depend on who asks, so the query can be the same everywhere: it reads
# `one`. The key reads the feature.

# %%
chapter.predict("feature_nowhere",
                choices=["to nothing", "to BOS", "evenly to everything it can see"])

# %%
chapter.reveal("feature_nowhere")

# %% [markdown]
# RASP programs may select nothing, softmax cannot. Tracr, which compiles RASP programs into weights
# (Lindner et al. 2023, arXiv 2301.05062), needs BOS at the start of every sequence for this reason:
# it is the place to look when there is nothing to find.

# %%
draw("filtering")

# %% [markdown]
# *What to see:* the same head twice. Where there are vowels, BOS gets nothing; where there is none, it gets
# all.
#
# Your head shall do the same. Think of three steps of a staircase, each as high as `sharpness` asks
# for: feature on, BOS, everything else.

# %% exercise="select"

# %%
chosen = select(basis, "vowel")
ran = basis.run("bc1ab2e3", chosen)
display(qk_picture(chosen, "select: the scores of the staircase"))
plot_attention(ran.labels, ran.patterns, "select(basis, 'vowel')", head_names=["0.0"])

# %% [markdown]
# *What to see:* until the first vowel all rows rest on BOS; then all look at *a*; after the *e*
# they look at both, half each. Dark first columns are the most common sight in a trained model's
# patterns. You know one reason now.

# %%
chapter.explain("why_rest")

# %% [markdown]
# ## Comparing: has this been here before?
#
# So far a query either knew its position or asked for something fixed. Now it asks for *its own
# symbol*: where did it stand before? `basis.token.T` as both $W_Q$ and $W_K$ gives one dimension
# per symbol, and two positions match where they light up the same.

# %%
chapter.predict("first_of_its_kind", choices=["BOS", "itself", "the symbol before it"])

# %%
chapter.reveal("first_of_its_kind")

# %% [markdown]
# What you want is: same symbol **and not** the same place, else rest. Scores are sums over the
# dimensions of a head, so several reasons can vote: give each its own block of dimensions, and
# `torch.cat` the blocks. A reason against has a negative weight.
#
# | key | same symbol | same place | BOS | sum |
# |---|---|---|---|---|
# | an earlier copy | $2g$ | | | $2g$ |
# | the query's own position | $2g$ | $-2g$ | | $0$ |
# | BOS | | | $g$ | $g$ |
# | everything else | | | | $0$ |
#
# This time the head does not copy. It *answers*: 1 into `result` if the symbol stood before, 0 if
# it is new.

# %% exercise="duplicate"

# %%
seen_before = duplicate(basis)
ran = basis.run("ab1cab2a", seen_before)
answers = read_feature(ran.written[None], basis.direction("result"))[0]
show_table([["reads", *ran.labels[1:]], ["before", *(f"{abs(x):.2f}" for x in answers[1:].tolist())]],
           columns=["", *map(str, range(1, 9))])
plot_attention(ran.labels, ran.patterns, "duplicate(basis)", head_names=["0.0"])

# %%
qk_picture(seen_before, "duplicate: three reasons in one score")

# %% [markdown]
# *What to see:* three blocks: symbols attract, positions repel themselves, and everybody is drawn a
# little to BOS. Heads that look at earlier copies of their own symbol are called *duplicate-token
# heads*; Wang et al. (2022, arXiv 2211.00593, figure 2) found some in GPT-2 small, and chapter 06
# meets them.
#
# This head uses BOS for more than rest. Its answer *is* how much it did not rest.

# %% [markdown]
# ## Two heads: an induction circuit
#
# Now the program that this course turns around: *find where the current symbol stood before, and
# predict what followed it*. After `BOS a b c a` it says `b`.
#
# The last *a* has to find the *b*. Why the *b*? Because *a* stands **before** it.

# %%
chapter.predict("one_head_enough", choices=["one head", "two heads in one layer", "two layers"])

# %% [markdown]
# The key at *b* shows *b* and its position. That *a* stood one back is written nowhere, until a
# head of an earlier layer writes it. So:
#
# 1. **Layer 0** looks one back and writes what it finds along `previous`. You have that head, but
#    for where it writes.
# 2. **Layer 1** compares the query's `token` with the key's `previous`, and copies the key's
#    `token` to `out`.
#
# When layer 1's keys read what layer 0 has written, the two heads *compose*: this kind is called
# **K-composition** (Elhage et al. 2021, section on two-layer models).
#
# Two details from before. A new symbol needs a place to rest. And the output is a softmax as well:
# how large must the winning logit be among `d_vocab` symbols?

# %% exercise="induction_circuit"

# %%
first, second = induction_circuit(basis)
ran = basis.run("ab3ceab3ce", first, second)
reads_and_says(ran)
plot_attention(ran.labels, ran.patterns, "The induction circuit by hand", head_names=["0.0", "1.0"])

# %% [markdown]
# *What to see:* layer 0 looks one back everywhere. Layer 1 rests on BOS through the first copy; in
# the second, each query looks at the place right **after** its earlier copy, and `says` runs one
# step ahead of `reads`. No weight knows this sequence. What is stored is the *comparison*.
#
# Who has to hear whom? Cut every **edge** by itself: one reader no longer hears one writer, and all
# else runs on. `discovery.edge_effects` does that for all twelve.

# %%
from circuits_course.circuits import discovery
from circuits_course.plots import plot_circuit

by_hand = basis.model(first, second)
repeat = by_hand.to_tokens("ab3ceab3ce")


def gain(logits: Tensor) -> Tensor:
    """Log-probability of the right symbols of the second copy, on average."""
    return -circuits.mean_losses(logits, repeat, 7).mean()


edges = discovery.edge_effects(by_hand, repeat, None, gain)
plot_circuit({"0.0": "one back", "1.0": "induction"}, discovery.arrows(edges, least=0.05),
             "The induction circuit by hand: what each edge carries", unit="nats lost when cut")

# %% [markdown]
# *What to see:* five arrows are left of twelve. A letter says what the reader makes of it: queries,
# keys or values. From layer 0 to layer 1 there is one, into the **keys**. Each of the five costs
# about the same two nats, for a chain breaks at any link.
#
# The same circuit at work on one text, in five steps. Move the slider from 1 to 5; then set *step 2* to "cut".

# %%
from circuits_course.plots import Walk

Walk(circuits.walk_induction(by_hand, "ab3ceab"))

# %% [markdown]
# *What to see:* at step 3 the lane of the `3` says what stood before it. That is what layer 1 finds at step 4, and
# what it no longer finds when step 2 is cut: then it rests on BOS, and all symbols are about as likely.
#
# Here is what layer 1 compares, and what layer 0 supplies:

# %%
display(ov_picture(first, "Layer 0 writes"))
qk_picture(second, "Layer 1 compares")

# %%
chapter.explain("why_two_layers")

# %%
chapter.reveal("one_head_enough")

# %% [markdown]
# ### The circuit in one matrix
#
# The link between the two heads can be written down without any sequence. Let symbol $a$ stand at
# the query. Let the first head have fetched symbol $b$ to the key. What does that add to layer 1's
# score?
#
# $$M[a, b] = \frac{(W_E[a]\, W_Q^1) \cdot (W_E[b]\, W_V^0 W_O^0\, W_K^1)}{\sqrt{d_\text{head}}}$$

# %%
chapter.predict("shape_of_match",
                choices=["a positive diagonal", "a positive first column", "a negative diagonal"])

# %% exercise="match_matrix"

# %%
plot_matrix(match_matrix(basis.W_E, first, second),
            "By hand: query's symbol against the one fetched",
            x=("fetched to the key", basis.vocabulary), y=("at the query", basis.vocabulary),
            unit="score", diverging=True)

# %% [markdown]
# *What to see:* the whole matching of the circuit is one diagonal: a query attends where what was
# fetched equals what it holds.

# %%
chapter.reveal("shape_of_match")

# %% [markdown]
# The same formula needs nothing but weights. So we can ask it of a
# model that nobody wrote.

# %% [markdown]
# ## Beside a trained one
#
# `induction-2l` has two layers of four heads and the same class, `CourseTransformer`. It was
# trained on a mixture of random sequences that repeat, and a Markov chain. Nobody told it how to do
# it. We build your circuit again at its size, 63 symbols and 64 positions, and lay the two side by
# side.

# %%
trained = load_model("induction-2l")
large = Basis(tuple(trained.cfg.vocabulary), n_ctx=trained.cfg.n_ctx)
pair = induction_circuit(large)
by_hand = large.model(*pair)
models, rows = {"by hand": by_hand, "trained": trained}, {}
for name, model in models.items():
    nonzero = sum(int((weight != 0).sum()) for weight in model.parameters())
    sizes = {
        size: getattr(model.cfg, size) for size in ("n_layers", "n_heads", "d_model", "d_head")
    }
    rows[name] = sizes | {"weights that are not 0": nonzero}
show_table(rows)

# %% [markdown]
# ### The same detectors
#
# Two scores for every head, on random sequences of 25 symbols that are repeated once. *Previous
# token*: mean attention to the position one back. *Induction*: from the second copy, mean attention
# to the position right after the earlier copy of the current symbol, which lies `period - 1` back.
# Chapters 03 and 04 are about these two.

# %%
period = 25
generator = torch.Generator().manual_seed(0)
tokens = data.repeated_random_tokens(64, period, trained.cfg.d_vocab, generator)
detectors = {"previous token": lambda pattern: circuits.diagonal_mean(pattern, 1, 1),
             "induction": lambda pattern: circuits.diagonal_mean(pattern, period - 1, period + 1)}
scores = {(name, what): circuits.head_scores(model, tokens, detector)
          for name, model in models.items() for what, detector in detectors.items()}
for (name, what), found in scores.items():
    display(plot_heads(found, f"{name.capitalize()}: {what} score"))

# %% [markdown]
# *What to see:* compare the rows. In both models the previous token is layer 0's business and induction layer 1's. In
# the trained model one head of four does each job, 0.3 and 1.3; no other scores above .15. Your induction head stays
# below 1 because random symbols repeat by chance, and it shares its attention between all earlier copies. Let the
# scores choose the pair to compare:

# %% tags=["nbval-check-output"]
source, target = (circuits.strongest_heads(scores["trained", what], 1)[0] for what in detectors)
learned = tuple(circuits.head_circuits(trained, *head) for head in (source, target))
show_table({"previous token": head_name(source), "induction": head_name(target)},
           columns=["strongest in the trained model", "head"])

# %%
text = "qxbmztwqxbmztw"
pairs = {"by hand": ((0, 0), (1, 0)), "trained": (source, target)}
pictures = {}
for name, model in models.items():
    _, cache = model.run_with_cache(text)
    for layer, head in pairs[name]:
        pictures[f"{name} {layer}.{head}"] = cache["pattern", layer][0, head]
plot_attention(trained.to_str_tokens(text), torch.stack(list(pictures.values())),
               "By hand and trained, on the same sequence", head_names=list(pictures))

# %% [markdown]
# *What to see:* the same two diagonals. And before the second copy begins, what does the trained
# head do with nothing to find? The next cell measures it on the random sequences.

# %%
stood = torch.stack([(row[:, None] == row).tril(-1)[:, 1:].any(1) for row in tokens])
new, rows = ~stood, {}
new[:, :2] = False
for name, model in models.items():
    layer, head = pairs[name][1]
    pattern = model.run_with_cache(tokens)[1]["pattern", layer][:, head]
    rows[name] = {"new symbol: on BOS": pattern[..., 0][new].mean(),
                  "new symbol: on itself": pattern.diagonal(0, -2, -1)[new].mean(),
                  "repeated symbol: on BOS": pattern[..., 0][stood].mean()}
show_table(rows, caption="Mean attention of the induction head", digits=2)

# %% [markdown]
# You chose BOS to rest on. Training has chosen the same: with nothing to find, the trained head keeps
# nearly all of its attention there.
#
# ### The same matrix
#
# `match_matrix` of the trained pair: what layer 1 adds to the score for each symbol at the query
# and each symbol that the previous-token head fetched.

# %%
symbols, rows = trained.cfg.vocabulary, {}
for name, weights in {"by hand": pair, "trained": learned}.items():
    match = match_matrix(models[name].W_E, *weights)
    on, off = match[1:, 1:].diagonal(), match[1:, 1:][~torch.eye(63, dtype=torch.bool)]
    wins = int((match[1:, 1:].argmax(-1) == torch.arange(63)).sum())
    rows[name] = {"diagonal": on.mean(), "its spread": on.std(), "elsewhere": off.mean(),
                  "spread": off.std(), "rows the diagonal wins, of 63": wins}
show_table(rows, digits=1)
plot_matrix(match, f"Trained, {head_name(source)} to {head_name(target)}: the same matrix",
            x=("fetched to the key", symbols), y=("at the query", symbols), unit="score",
            diverging=True)

# %% [markdown]
# *What to see:* the diagonal again, and noise around it. You gave every symbol a dimension of its
# own. The trained head has `d_head` dimensions for 63 symbols; that many directions cannot all
# stand at right angles, so a match with a wrong symbol scores too. What the head needs is that the
# right one wins, and the table counts in how many rows it does.

# %% [markdown]
# ### The same test
#
# Loss is the mean of $-\log p$ of the symbol that really comes next, in nats. First and second
# copies apart:

# %%
chapter.predict("who_wins", choices=["the one by hand", "the trained one", "they tie"])


# %%
losses = {name: model(tokens, return_type="loss", loss_per_token=True)
          for name, model in models.items()}
rows = {name: {"first copies": loss[:, :period].mean(), "second copies": loss[:, period + 1 :].mean()}
        for name, loss in losses.items()}
show_table(rows | {"guessing among 63": {"first copies": math.log(63), "second copies": math.log(63)}},
           caption="Loss in nats", digits=3)
plot_lines({name: loss.mean(0) for name, loss in losses.items()},
           "Loss along a random sequence that is repeated once",
           x=("position of the predicted token", range(1, 1 + 2 * period)), y="loss, nats",
           markers={"second copy starts": period + 1})

# %% [markdown]
# *What to see:* both drop where the second copy starts, one token late: the first token of the
# second copy could not be known. Within the first copy a random symbol sometimes turns up twice,
# and both circuits then predict what followed it, wrongly; that is why they lie above the line of
# guessing. On second copies the one by hand
# wins, 0.69 against 0.81 nats.

# %%
chapter.reveal("who_wins")

# %% [markdown]
# Why should a trained model lose to it? The next table says.
#
# To bet on what followed costs in the second copy, too: a symbol that stood twice has two continuations. How much of
# the loss of each is due to those? And would a circuit that matches *two* symbols, the current one and the one
# before, know which is meant?

# %%
once, settled = [], []
for row in tokens.tolist():
    for q in range(period + 1, 2 * period):
        places = [k for k in range(1, period + 1) if row[k] == row[q]]
        longer = {row[k + 1] for k in places if row[k - 1] == row[q - 1]}
        once.append(len(places) == 1)
        settled.append(longer == {row[q + 1]} or q == period + 1)
once, settled = torch.tensor(once), torch.tensor(settled)

# %%
rows = {name: {"stood once": loss[:, period + 1 :].flatten()[once].mean(),
               "several times": loss[:, period + 1 :].flatten()[~once].mean()}
        for name, loss in losses.items()}
show_table(rows,
           caption="Loss on second copies, where the current symbol stood in the first copy",
           digits=3)
verdict("where it stood several times, the symbol before settles which is meant",
        settled[~once].float().mean() > 0.95, f"{settled[~once].sum()} of {(~once).sum()} places")

# %% [markdown]
# Most of what either loses, it loses there, a third of the places. The sequence does tell which
# continuation is meant: the symbol *before* the current one settles nearly every such place (the first
# place of the second copy, which has no such symbol, is left out). But both circuits match one symbol
# alone, and one symbol cannot see the difference. A head that matched pairs of symbols could.
#
# The two numbers pull against each other. The trained head bets higher: it loses a third as much where
# there is one continuation (0.003 against 0.010), and more where there are two. In training no segment
# held a symbol twice, so nothing asked it to hedge.
#
# ### Where they part
#
# Your circuit compares symbols and one step of position, and nothing else. Does the trained one
# work as well away from what it was trained on, periods of 6 to 30? We repeat segments of different
# lengths until the context is full, this time made of symbols that all differ, and measure from the
# second copy on.


# %%
def repeated_all_different(period: int) -> Int[Tensor, "batch pos"]:
    """BOS, then a segment of symbols that all differ, again and again to the end of the context."""
    order = torch.rand(256, 63, generator=torch.Generator().manual_seed(period)).argsort(-1) + 1
    copies = order[:, :period].repeat(1, 63 // period)
    return torch.cat([torch.zeros(256, 1, dtype=torch.int64), copies], dim=1)


periods = [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, 31]
found = {name: {} for name in models}
for p in periods:
    for name, model in models.items():
        rows = repeated_all_different(p)
        found[name][p] = circuits.mean_losses(model(rows), rows, p + 2)

# %%
lines = {f"{name}, mean": [row[p].mean() for p in periods] for name, row in found.items()}
lines["trained, median"] = [found["trained"][p].median() for p in periods]
plot_lines(lines, "Loss from the second copy on, by the length of the repeated segment",
           x=("period, tokens", periods), y="loss, nats", log_y=True,
           markers={"shortest in training": 6, "longest in training": 30})

# %%
show_table([{"period": p, "by hand": found["by hand"][p].mean(), "trained, mean": found["trained"][p].mean(),
             "median": found["trained"][p].median(), "sequences over 0.1 nats": int((found["trained"][p] > 0.1).sum())}
            for p in (1, 3, 6, 10, 20, 30)], caption="256 sequences each", digits=3)

# %% [markdown]
# *What to see:* the line by hand is flat: a comparison of symbols does not care how far apart they
# are. The trained line rises below period 6, which training never showed: it needs a few copies before
# it catches on. Inside the range of training its median is a third of yours, 0.003 against 0.010.
#
# But its mean jumps: at period 10 it is 0.020. That is *one* sequence of 256, on which the model loses
# over 4 nats a symbol. What is wrong with it?

# %%
p, opening = 10, data.MarkovAndRepeats().chain(64, torch.Generator().manual_seed(1))[:, 1]
start = int(opening.mode().values)  # the symbol with which nearly all chain texts begin
worst = repeated_all_different(p)[[int(found["trained"][p].argmax())]]
unused = next(t for t in range(1, 64) if t not in worst[0])
changed = torch.where(worst == start, unused, worst)
rows = {}
for name, row in {"the worst sequence": worst, "one symbol exchanged": changed}.items():
    logits, cache = trained.run_with_cache(row)
    rows[name] = {"begins": " ".join(trained.to_str_tokens(row[0])[:6]),
                  "loss": circuits.mean_losses(logits, row, p + 2).mean(),
                  "induction head on BOS": cache["pattern", target[0]][0, target[1], p + 2 :, 0].mean()}
show_table(rows, caption=f"{trained.cfg.vocabulary[start]!r} is how nearly all chain texts begin",
           digits=2)

# %% [markdown]
# *What to see:* the sequence carries, in its first two places, the symbol with which nearly all texts of the *other*
# half of the training data begin, the Markov chain. Exchange that one symbol, and the model repeats as well as ever.
# It had taken the sequence for chain text and put its induction head to rest. Chapter 03 finds the head that tells
# the two kinds apart, and chapter 05 cuts its paths. Your circuit compares symbols and cannot be fooled so.
#
# And on that other half, the Markov chain, where nothing repeats on purpose:

# %%
chain_data = data.MarkovAndRepeats()
chain = chain_data.chain(64, torch.Generator().manual_seed(1))
best = -chain_data.bigrams[chain[:, :-1], chain[:, 1:]].log().mean()
rows = {"guessing": math.log(63), "knowing the chain's true probabilities": best}
rows |= {name: model(chain, return_type="loss") for name, model in models.items()}
show_table(rows, columns=["on the Markov chain", "loss, nats"], digits=2)

# %% [markdown]
# Your circuit knows no bigrams. All it can do is bet that what followed a symbol before will follow it again. On this
# chain that is worth 0.8 nats, 3.37 against 4.14. The trained model has learned the bigrams as well, and its loss
# lies next to the best possible.
#
# Last, the causal test. Silence each head in turn, and measure second copies again.


# %%
def without_head(model, layer: int, head: int) -> float:
    """What it costs second copies when a head writes nothing."""

    def silence(z: Float[Tensor, "batch pos head d_head"], hook) -> Tensor:
        z[:, :, head] = 0.0
        return z

    cut = model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", silence)])
    without, whole = (circuits.mean_losses(x, tokens, period + 2) for x in (cut, model(tokens)))
    return (without - whole).mean().item()


# %%
for name, model in models.items():
    cost = [[without_head(model, layer, h) for h in range(model.cfg.n_heads)] for layer in (0, 1)]
    display(plot_heads(cost, f"{name.capitalize()}: what silencing each head costs on second copies",
                       unit="added loss, nats", diverging=True))

# %% [markdown]
# *What to see:* of your two heads, both are needed. In the trained model the two that the detectors
# chose cost most, and the others next to nothing: on *this* kind of data. On the chain other heads are
# at work, as chapters 03 and 05 show.
#
# The cells above are the summary: the same two steps, the same place to rest, the same diagonal in
# the weights. What training adds are symbols packed more tightly than at right angles, and
# knowledge beside the circuit.

# %%
chapter.explain("what_differs")

# %%
chapter.progress()

# %% [markdown]
# ## How sure is this?
#
# The sentences that matter most, tested on data that this notebook does not use.

# %%
chapter.how_sure()

# %% [markdown]
# ## What the literature says, and where to go on
#
# - **Weiss et al. 2021**, *Thinking Like Transformers* (arXiv 2106.06981): RASP, with select,
#   aggregate and the width of a selector as primitives. Your count by $1 / (1 + n)$ is the last of
#   these.
# - **Lindner et al. 2023**, *Tracr* (arXiv 2301.05062): compiles such programs into transformers,
#   to have models whose explanation is known. The mystery models of chapter 10 continue that
#   thought.
# - **Elhage et al. 2021**, *A Mathematical Framework for Transformer Circuits*: the QK and OV
#   circuits that you filled in, and K-composition.
#
# A program that *could* do something is not evidence that a model *does* it so. You saw the
# agreement because the same detectors, the same matrix and the same tests were put to both. Chapter
# 03 looks for your first head in trained models, chapter 04 for the second, chapter 05 measures how
# the two are joined.
