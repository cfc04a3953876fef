# %% [markdown]
# # 02 Attention as computation
#
# **You will be able to** write the weights of an attention head by hand so that it routes, looks
# up, averages, selects and compares; build an induction circuit out of two heads; and say what a
# trained model does differently.
#
# **Time** 90 to 120 minutes. **You need** chapter 01: scores, softmax, the QK and OV circuits.
# **Models** your own, one head at a time, and at the end `induction-2l`, which was trained.
#
# Most of interpretability runs from weights to a description. This chapter runs the other way. If
# attention is a way to compute, you should be able to *program* it, and afterwards you will
# recognise the program when training has written it.

# %%
import math

import torch
from IPython.display import display
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course import Chapter, load_model
from circuits_course.circuits import (
    Basis,
    HeadWeights,
    head_name,
    head_scores,
    small_basis,
    strongest_heads,
)
from circuits_course.data import MarkovAndRepeats, repeated_random_tokens
from circuits_course.models import default_vocabulary
from circuits_course.plots import plot_attention, plot_heads, plot_lines, plot_matrix

torch.set_grad_enabled(False)
chapter = Chapter("02_attention_as_computation")

# %% [markdown]
# ## Three questions first

# %%
chapter.quiz("pattern_axes")

# %%
chapter.quiz("why_root_d_head")

# %%
chapter.quiz("qk_and_ov")

# %% [markdown]
# ## A residual stream you can read
#
# The residual stream of a trained model has no labels. To program a head you need to know what is
# where, so we lay one out ourselves: a **basis** in which every direction has a name. All
# directions have length 1 and stand at right angles to each other.

# %% tags=["nbval-check-output"]
basis = small_basis()
print("symbols:", " ".join(basis.vocabulary))
for name, values in basis.features.items():
    print(f"feature {name}:", ", ".join(f"{symbol} = {x:g}" for symbol, x in values.items()))
for group, names in basis.groups.items():
    print(f"{group:10}{len(names):3}  {names[0]}" + (f" ... {names[-1]}" if names[1:] else ""))
print("d_model =", basis.d_model)

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
rotated = small_basis(seed=0)
for name, stream in {"along the coordinates": basis, "rotated": rotated}.items():
    resid = stream.W_E[torch.tensor([[0, 1, 8]])]
    amounts = read_feature(resid, stream.direction("value"))[0]
    some = " ".join(f"{x:5.2f}" for x in resid[0, 2, -4:].tolist())
    value = " ".join(f"{abs(x):.1f}" for x in amounts.tolist())
    print(f"{name:22} last coordinates at the 3: {some}   value: {value}")

# %% [markdown]
# *What to see:* in the rotated basis the coordinates show nothing, and the dot product still reads
# `0, 0, 3`. Trained models are like the second line. Your heads will be tried in rotated bases, so
# build them from named directions, never from coordinate numbers.

# %% [markdown]
# ## How sharp is a softmax?
#
# A program says "look *there*". A softmax says "mostly there". Suppose one key has the score $s$
# and the other $n - 1$ keys score 0. Then the one gets
#
# $$\text{share} = \frac{e^s}{e^s + (n - 1)}$$

# %%
chapter.predict(
    "sharpness_growth", choices=["about the same", "about 5 more", "about 100 times as much"]
)

# %% [markdown]
# Turn the formula round: which score does a key need to get a given share?

# %% exercise="sharpness"

# %% tags=["nbval-check-output"]
for n_keys in [10, 100, 1000]:
    print(f"{n_keys:5} keys: score {sharpness(n_keys, 0.99):.1f} for a share of 0.99")

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
# $W_V$ lights up one dimension per symbol, $W_O$ writes that symbol along `out`. Fill in the line
# that is missing.

# %% exercise="route"

# %% [markdown]
# `HeadWeights` is a tuple of the four matrices, and `basis.model(head)` puts them into the same
# `CourseTransformer` that is trained later in the course. Here is each of your matrices. Rows are
# named directions on which the matrix acts at all; columns are the dimensions of the head.


# %%
def matrix_picture(basis, matrix, title):
    """A matrix [d_model, d_head], its rows read along the named directions it acts on."""
    names, values = basis.in_names(matrix)
    return plot_matrix(values, title, y_labels=names, x_title="dimension of the head",
                       y_title="direction", unit="weight", diverging=True)  # fmt: skip


head = route(basis, 2)
display(matrix_picture(basis, head.W_Q, "W_Q of route(basis, 2): what a query asks for"))
display(matrix_picture(basis, head.W_K, "W_K: what a key offers"))
display(matrix_picture(basis, head.W_V, "W_V: what is read at the place looked at"))
display(matrix_picture(basis, head.W_O.T, "W_O, transposed: what is written"))

# %% [markdown]
# *What to see:* $W_K$ is a plain diagonal of positions. $W_Q$ is the same diagonal moved by two:
# the row `position 5` lights up dimension 3. $W_V$ reads `token`, $W_O$ writes `out`. The head is
# these two pairs; from now on we look at the products $W_Q W_K^\top$ and $W_V W_O$.

# %%
chapter.predict(
    "nothing_so_far_back", choices=["to BOS", "to every position it can see, evenly", "to nothing"]
)


# %%
def run(basis, text, *heads):
    """Tokens as labels, every layer's pattern, what is written in all, and the predictions."""
    model = basis.model(*heads)
    logits, cache = model.run_with_cache(text)
    patterns = torch.stack([cache["pattern", layer][0, 0] for layer in range(len(heads))])
    labels = model.to_str_tokens(text)
    best = logits[0].softmax(-1).max(-1)
    says = [basis.vocabulary[t] if p > 2 / basis.d_vocab else "?"
            for p, t in zip(best.values.tolist(), best.indices.tolist(), strict=True)]  # fmt: skip
    return labels, patterns, cache["resid_post", len(heads) - 1][0], says


labels, patterns, _, says = run(basis, "abc12e3d", head)
print("reads:", " ".join(labels))
print("says: ", " ".join(says))
plot_attention(labels, patterns, "route(basis, 2)", head_names=["0.0"])

# %% [markdown]
# *What to see:* one bright diagonal, two below the main one, and `says` is `reads`, two places
# later. (`?` means that no symbol stands out.) Row 1 has nothing two back. What your query asks for
# there decides what happens; with the reference it asks for nothing, all scores are 0, and the
# attention is spread evenly. A softmax cannot look nowhere.

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

# %% exercise="lookup"

# %% tags=["nbval-check-output"]
table = torch.tensor([0, 2, 3, 4, 5, 6, 7, 8, 1])
labels, _, _, says = run(basis, "abc12e3d", lookup(basis, table))
print("reads:", " ".join(labels))
print("says: ", " ".join(says))


# %%
def circuit_picture(basis, matrix, title, unit, row, column):
    """A matrix [d_model, d_model] between named directions, both sides."""
    rows, values = basis.in_names(matrix)
    columns, values = basis.in_names(values.T)
    return plot_matrix(values.T, title, x_labels=columns, y_labels=rows, x_title=column,
                       y_title=row, unit=unit, diverging=True)  # fmt: skip


def ov_picture(basis, head, title):
    return circuit_picture(
        basis, head.W_V @ head.W_O, title, "written per read", "read at the key", "written"
    )


def qk_picture(basis, head, title):
    scores = head.W_Q @ head.W_K.T / math.sqrt(head.W_Q.shape[1])
    return circuit_picture(basis, scores, title, "score", "at the query", "at the key")


ov_picture(basis, lookup(basis, table), "What lookup writes for what it reads")

# %% [markdown]
# *What to see:* the OV circuit *is* the table: row `token a` has its only entry at `out b`. In
# chapter 01 you read a trained head's OV circuit as a table in the same way. A head whose table is
# the identity is said to *copy*.

# %% [markdown]
# ## Aggregation: a running mean
#
# The third program: *what share of the symbols so far were vowels?* RASP writes `aggregate(select
# everything, vowel)`. "Select everything" is easy: with $W_Q = 0$ every score is 0, and softmax
# shares the attention evenly.

# %%
chapter.predict("mean_with_bos", choices=["1", "1/2", "1/3"])

# %% [markdown]
# So BOS has to be left out. One dimension is enough for that: a query that is the same everywhere,
# a key that only BOS has, and a very negative score between the two.

# %% exercise="aggregate"

# %% tags=["nbval-check-output"]
mean_head = aggregate(basis, "vowel")
labels, patterns, stream, _ = run(basis, "abae123bcda", mean_head)
written = read_feature(stream[None], basis.direction("result"))[0]
for position in range(1, len(labels)):
    so_far = "".join(labels[1 : position + 1])
    vowels = sum(symbol in "ae" for symbol in so_far)
    print(f"{so_far:12} {vowels} of {position}   the head writes {written[position]:.3f}")

# %%
display(qk_picture(basis, mean_head, "aggregate: one score keeps BOS out"))
plot_attention(labels, patterns, "aggregate(basis, 'vowel')", head_names=["0.0"])

# %% [markdown]
# *What to see:* every row is even over what it can see, and the BOS column is empty below the first
# row. The picture does not depend on the symbols at all.
#
# A head can average but it **cannot sum**: its weights add up to 1. A count has to be got in
# another way: leave BOS *in*, at the same score as what you count. With $n$ matches BOS then gets
# $1 / (1 + n)$ of the attention, and $n$ can be read off from it. The next cell does that for
# vowels:

# %% tags=["nbval-check-output"]
count_head = HeadWeights(
    W_Q=20 * basis.direction("one")[:, None],
    W_K=(basis.direction("vowel") + basis.token[0])[:, None],
    W_V=basis.token[0][:, None],
    W_O=basis.direction("result")[None],
)
labels, _, stream, _ = run(basis, "abae123bcda", count_head)
share = read_feature(stream[None], basis.direction("result"))[0]
print("reads        ", " ".join(labels[1:]))
print("vowels so far", " ".join(f"{1 / x - 1:.0f}" for x in share[1:].tolist()))

# %% [markdown]
# ## Filtering: attend only where
#
# The fourth program: *gather the symbols at which a feature is on*: the vowels so far, and nothing
# else. In RASP, `select(vowel, 1, ==)`.
#
# Whom to look at does not depend on who asks, so the query can be the same everywhere: it reads
# `one`. The key reads the feature.

# %%
chapter.predict(
    "feature_nowhere", choices=["to nothing", "to BOS", "evenly to everything it can see"]
)

# %% [markdown]
# RASP programs may select nothing, softmax cannot. Tracr, which compiles RASP programs into weights
# (Lindner et al. 2023, arXiv 2301.05062), needs BOS at the start of every sequence for this reason:
# it is the place to look when there is nothing to find. Your head shall do the same. Think of three
# steps of a staircase, each as high as `sharpness` asks for: feature on, BOS, everything else.

# %% exercise="select"

# %%
chosen = select(basis, "vowel")
labels, patterns, _, says = run(basis, "bc1ab2e3", chosen)
display(qk_picture(basis, chosen, "select: the scores of the staircase"))
plot_attention(labels, patterns, "select(basis, 'vowel')", head_names=["0.0"])

# %% [markdown]
# *What to see:* until the first vowel all rows rest on BOS; then all look at *a*; after the *e*
# they look at both, half each. Bright first columns are the most common sight in a trained model's
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
labels, patterns, stream, _ = run(basis, "ab1cab2a", seen_before)
answers = read_feature(stream[None], basis.direction("result"))[0]
print("reads ", "    ".join(labels[1:]))
print("before", " ".join(f"{x:.2f}" for x in answers[1:].abs().tolist()))
plot_attention(labels, patterns, "duplicate(basis)", head_names=["0.0"])

# %%
qk_picture(basis, seen_before, "duplicate: three reasons in one score")

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
labels, patterns, _, says = run(basis, "ab3ceab3ce", first, second)
print("reads:", " ".join(labels))
print("says: ", " ".join(says))
plot_attention(labels, patterns, "The induction circuit by hand", head_names=["0.0", "1.0"])

# %% [markdown]
# *What to see:* layer 0 looks one back everywhere. Layer 1 rests on BOS through the first copy; in
# the second, each query looks at the place right **after** its earlier copy, and `says` runs one
# step ahead of `reads`. No weight knows this sequence. What is stored is the *comparison*.
#
# Here is what layer 1 compares, and what layer 0 supplies:

# %%
display(ov_picture(basis, first, "Layer 0 writes"))
qk_picture(basis, second, "Layer 1 compares")

# %%
chapter.explain("why_two_layers")

# %% [markdown]
# ### The circuit in one matrix
#
# The link between the two heads can be written down without any sequence. Let symbol $a$ stand at
# the query. Let the first head have fetched symbol $b$ to the key. What does that add to layer 1's
# score?
#
# $$M[a, b] = \frac{(W_E[a]\, W_Q^1) \cdot (W_E[b]\, W_V^0 W_O^0\, W_K^1)}{\sqrt{d_\text{head}}}$$

# %%
chapter.predict(
    "shape_of_match", choices=["a bright diagonal", "a bright first column", "a dark diagonal"]
)

# %% exercise="match_matrix"

# %%
plot_matrix(
    match_matrix(basis.W_E, first, second), "By hand: query's symbol against the one fetched",
    x_labels=basis.vocabulary, y_labels=basis.vocabulary, x_title="fetched to the key",
    y_title="at the query", unit="score", diverging=True,
)  # fmt: skip

# %% [markdown]
# *What to see:* the whole matching of the circuit is one diagonal: a query attends where what was
# fetched equals what it holds. The same formula needs nothing but weights. So we can ask it of a
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
large = Basis(default_vocabulary(trained.cfg.d_vocab), n_ctx=trained.cfg.n_ctx)
pair = induction_circuit(large)
by_hand = large.model(*pair)
for name, model in {"by hand": by_hand, "trained": trained}.items():
    cfg = model.cfg
    nonzero = sum(int((weight != 0).sum()) for weight in model.parameters())
    print(f"{name}: {cfg.n_layers} layers x {cfg.n_heads} heads, d_model {cfg.d_model}, "
          f"d_head {cfg.d_head}, {nonzero:,} weights that are not 0")  # fmt: skip

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
tokens = repeated_random_tokens(64, period, trained.cfg.d_vocab, generator)


def previous_token(pattern: Float[Tensor, "batch head q k"]) -> Float[Tensor, "batch head"]:
    return pattern.diagonal(-1, -2, -1).mean(-1)


def induction(pattern: Float[Tensor, "batch head q k"]) -> Float[Tensor, "batch head"]:
    return pattern.diagonal(1 - period, -2, -1)[..., -period:].mean(-1)


scores = {}
for name, model in {"by hand": by_hand, "trained": trained}.items():
    for detector in (previous_token, induction):
        scores[name, detector.__name__] = head_scores(model, tokens, detector)

display(plot_heads(scores["by hand", "previous_token"], "By hand: attention to the previous token"))
display(plot_heads(scores["trained", "previous_token"], "Trained: attention to the previous token"))
display(plot_heads(scores["by hand", "induction"], "By hand: induction score"))
plot_heads(scores["trained", "induction"], "Trained: induction score")

# %% [markdown]
# *What to see:* compare the rows. In both models the previous token is layer 0's business and
# induction layer 1's; how many heads of the trained model share a job, the pictures say. Your
# induction head stays below 1 because random symbols repeat by chance, and it shares its attention
# between all earlier copies. Let the scores choose the pair to compare:

# %% tags=["nbval-check-output"]
source = strongest_heads(scores["trained", "previous_token"], 1)[0]
target = strongest_heads(scores["trained", "induction"], 1)[0]


def weights_of(model, layer, head):
    return HeadWeights(*(getattr(model, name)[layer, head] for name in HeadWeights._fields))


learned = weights_of(trained, *source), weights_of(trained, *target)
print("strongest previous-token head:", head_name(source))
print("strongest induction head:     ", head_name(target))

# %%
text = "qxbmztwqxbmztw"
labels = trained.to_str_tokens(text)
_, hand_cache = by_hand.run_with_cache(text)
_, trained_cache = trained.run_with_cache(text)
pictures = {
    "by hand 0.0": hand_cache["pattern", 0][0, 0],
    f"trained {head_name(source)}": trained_cache["pattern", source[0]][0, source[1]],
    "by hand 1.0": hand_cache["pattern", 1][0, 0],
    f"trained {head_name(target)}": trained_cache["pattern", target[0]][0, target[1]],
}
plot_attention(labels, torch.stack(list(pictures.values())), "By hand and trained, on the same "
               "sequence", head_names=list(pictures))  # fmt: skip

# %% [markdown]
# *What to see:* the same two diagonals. And before the second copy begins, what does the trained
# head do with nothing to find? The next cell measures it on the random sequences.

# %%
_, hand_cache = by_hand.run_with_cache(tokens)
_, trained_cache = trained.run_with_cache(tokens)
repeated = torch.zeros(tokens.shape, dtype=torch.bool)
for b, row in enumerate(tokens.tolist()):
    for q in range(1, len(row)):
        repeated[b, q] = row[q] in row[1:q]
for name, pattern in {
    "by hand": hand_cache["pattern", 1][:, 0],
    "trained": trained_cache["pattern", target[0]][:, target[1]],
}.items():
    on_bos = pattern[..., 0]
    itself = pattern.diagonal(0, -2, -1)
    new = ~repeated
    new[:, :2] = False
    shares = [on_bos[new].mean(), itself[new].mean(), on_bos[repeated].mean()]
    print(f"{name}: a new symbol's attention is {shares[0]:.2f} on BOS, {shares[1]:.2f} on itself; "
          f"a repeated one's {shares[2]:.2f} on BOS")  # fmt: skip

# %% [markdown]
# You chose BOS to rest on. If the trained head's first number is close to 1, training has chosen
# the same.
#
# ### The same matrix
#
# `match_matrix` of the trained pair: what layer 1 adds to the score for each symbol at the query
# and each symbol that the previous-token head fetched.

# %%
matches = {
    "by hand": match_matrix(large.W_E, *pair),
    "trained": match_matrix(trained.W_E, *learned),
}
symbols = trained.cfg.vocabulary
for name, match in matches.items():
    match = match[1:, 1:]
    on = match.diagonal()
    off = match[~torch.eye(len(match), dtype=torch.bool)]
    best = int((match.argmax(-1) == torch.arange(len(match))).sum())
    print(f"{name}: diagonal {on.mean():5.1f} ± {on.std():.1f}, elsewhere {off.mean():5.1f} ± "
          f"{off.std():.1f}; the diagonal wins in {best} of {len(match)} rows")  # fmt: skip
plot_matrix(
    matches["trained"], f"Trained, {head_name(source)} to {head_name(target)}: the same matrix",
    x_labels=symbols, y_labels=symbols, x_title="fetched to the key", y_title="at the query",
    unit="score", diverging=True,
)  # fmt: skip

# %% [markdown]
# *What to see:* the diagonal again, and noise around it. You gave every symbol a dimension of its
# own. The trained head has `d_head` dimensions for 63 symbols; that many directions cannot all
# stand at right angles, so a match with a wrong symbol scores too. What the head needs is that the
# right one wins, and the line above the picture counts in how many rows it does.

# %% [markdown]
# ### The same test
#
# Loss is the mean of $-\log p$ of the symbol that really comes next, in nats. First and second
# copies apart:

# %%
chapter.predict("who_wins", choices=["the one by hand", "the trained one", "they tie"])


# %%
def loss_by_copy(model, tokens: Int[Tensor, "batch pos"], period: int):
    """Loss of each predicted token, mean over the batch; and its means over the two copies."""
    loss = model(tokens, return_type="loss", loss_per_token=True)  # [batch, pos-1]
    return loss.mean(0), loss[:, :period].mean().item(), loss[:, period + 1 :].mean().item()


lines = {}
print(f"guessing among 63 symbols costs {math.log(63):.2f} nats")
for name, model in {"by hand": by_hand, "trained": trained}.items():
    lines[name], first_copy, second_copy = loss_by_copy(model, tokens, period)
    print(f"{name}: first copies {first_copy:.2f}, second copies {second_copy:.3f} nats")
plot_lines(lines, "Loss along a random sequence that is repeated once", x=range(1, 1 + 2 * period),
           x_title="position of the predicted token", y_title="loss, nats",
           markers={"second copy starts": period + 1})  # fmt: skip

# %% [markdown]
# *What to see:* both drop where the second copy starts, one token late: the first token of the
# second copy could not be known. Within the first copy a random symbol sometimes turns up twice,
# and both circuits then predict what followed it, wrongly; that is why they can lie above the line
# of guessing.
#
# That also costs in the second copy: a symbol that stood twice has two continuations. How much of
# the loss of each is due to those?

# %%
counts = torch.stack([(row[1 : 1 + period, None] == row[None, 1:]).sum(0) for row in tokens])
once = counts[:, period:-1] == 1  # the queries of the second copy whose symbol stood there once
for name, model in {"by hand": by_hand, "trained": trained}.items():
    loss = model(tokens, return_type="loss", loss_per_token=True)[:, -period + 1 :]
    share = (~once).float().mean()
    print(
        f"{name}: {loss[once].mean():.3f} nats where it stood there once, "
        f"{loss[~once].mean():.2f} where several times ({share:.0%} of the places)"
    )

# %% [markdown]
# Most of what either loses, it loses there, and by right: nothing in the sequence tells which
# continuation is meant. The two numbers also pull against each other: a circuit that bets higher
# loses less where there is one continuation and more where there are two.
#
# ### Where they part
#
# Your circuit compares symbols and one step of position, and nothing else. Does the trained one
# work as well away from what it was trained on, periods of 6 to 30? We repeat segments of different
# lengths until the context is full, this time made of symbols that all differ, and measure from the
# second copy on.


# %%
def loss_at_period(model, period):
    generator = torch.Generator().manual_seed(period)
    order = torch.rand(256, trained.cfg.d_vocab - 1, generator=generator).argsort(-1) + 1
    copies = order[:, :period].repeat(1, 63 // period)
    tokens = torch.cat([torch.zeros(256, 1, dtype=torch.int64), copies], dim=1)
    return loss_by_copy(model, tokens, period)[2]


periods = [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, 31]
by_period = {
    name: [loss_at_period(model, p) for p in periods]
    for name, model in {"by hand": by_hand, "trained": trained}.items()
}
plot_lines(by_period, "Loss from the second copy on, by the length of the repeated segment",
           x=periods, x_title="period, tokens", y_title="loss, nats",
           markers={"shortest in training": 6, "longest in training": 30})  # fmt: skip

# %% [markdown]
# *What to see:* the line by hand is flat: a comparison of symbols does not care how far apart they
# are. Where the trained line lies well above it, training has not asked for more.
#
# And on the other half of the training data, the Markov chain, where nothing repeats on purpose:

# %%
data = MarkovAndRepeats()
chain = data.chain(64, torch.Generator().manual_seed(1))
best = -data.bigrams[chain[:, :-1], chain[:, 1:]].log().mean().item()
print(f"guessing: {math.log(63):.2f} nats; knowing the chain's true probabilities: {best:.2f} nats")
for name, model in {"by hand": by_hand, "trained": trained}.items():
    print(f"{name}: {model(chain, return_type='loss').item():.2f} nats on the Markov chain")

# %% [markdown]
# Your circuit knows no bigrams. All it can do is bet that what followed a symbol before will follow
# it again; the cell tells what that bet is worth on this chain. The trained model has learned the
# bigrams as well, and its loss lies next to the best possible.
#
# Last, the causal test. Silence each head in turn, and measure second copies again.


# %%
def without_head(model, layer, head):
    def silence(z, hook):
        z[:, :, head] = 0.0
        return z

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", silence)]):
        return loss_by_copy(model, tokens, period)[2]


for name, model in {"By hand": by_hand, "Trained": trained}.items():
    whole = loss_by_copy(model, tokens, period)[2]
    cost = [
        [without_head(model, layer, head) - whole for head in range(model.cfg.n_heads)]
        for layer in range(model.cfg.n_layers)
    ]
    display(plot_heads(cost, f"{name}: what silencing each head costs on second copies",
                       unit="added loss, nats", diverging=True))  # fmt: skip

# %% [markdown]
# *What to see:* of your two heads, both are needed. In the trained model, compare the heads that
# cost most with the two that the detectors chose. The others were free to help.
#
# The cells above are the summary: the same two steps, the same place to rest, the same diagonal in
# the weights. What training adds are symbols packed more tightly than at right angles, and
# knowledge beside the circuit.

# %%
chapter.explain("what_differs")

# %%
chapter.progress()

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
