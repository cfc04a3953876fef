"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "einsum_axis",
    'From chapter 00: in einsum(x, W, "batch pos d_model, head d_model d_head -> batch pos head '
    'd_head"), what happens to d_model?',
    {
        "it is summed over": "It stands on the left of the arrow and not on the right.",
        "it is averaged over": "einsum never divides. What is missing on the right is summed.",
        "nothing, it stays an axis": "It would have to stand on the right of the arrow for that.",
    },
    answer="it is summed over",
)

questions.quiz(
    "pattern_row",
    "From chapter 00: pattern[5, 2] of one head and one sequence is 0.9. Who looks at whom?",
    {
        "position 5 looks at position 2": "Rows are queries, the ones who look; columns are keys.",
        "position 2 looks at position 5": "That would be pattern[2, 5]: rows are queries, the ones "
        "who look. And position 2 comes earlier, so it could not.",
        "both look at each other": "Attention has a direction. pattern[5, 2] says nothing about "
        "pattern[2, 5].",
    },
    answer="position 5 looks at position 2",
)

questions.quiz(
    "hook_or_cache",
    "From chapter 00: you want to know what the logits would be without head 1. What do you need?",
    {
        "the cache": "The cache tells what was computed, not what would have been.",
        "a hook on z": "It sets that head's z to zero while the model runs, and all that follows "
        "is computed anew.",
        "the attention pattern": "Looking at where the head looks does not take it away.",
    },
    answer="a hook on z",
)

questions.prediction(
    "long_vectors",
    "Queries and keys are drawn at random, each entry with variance 1. Their vectors grow from 16 "
    "numbers to 64. What happens to the typical size (standard deviation) of their dot product?",
    {
        "it stays": "It would if the terms cancelled out completely; they cancel in part.",
        "it doubles": "Variances of independent terms add up: 4 times the terms, 4 times the "
        "variance, twice the standard deviation.",
        "it becomes four times as large": "That is the variance. Its square root, the standard "
        "deviation, doubles.",
        "it becomes 48 larger": "Each term adds to the variance, not to the size: the terms have "
        "random signs.",
    },
    answer="it doubles",
)

questions.prediction(
    "zero_or_infinity",
    "To hide a future key, somebody sets its score to 0 before the softmax. How much attention "
    "does it get?",
    {
        "none": "The softmax takes exp(score), and exp(0) is 1: not nothing.",
        "as much as an allowed key with score 0": "exp(0) = 1 for both. Only a score of minus "
        "infinity gives exp = 0.",
        "more than every allowed key": "Only if all of those have negative scores.",
    },
    answer="as much as an allowed key with score 0",
)

questions.prediction(
    "first_row",
    "Whatever the weights: what does the first position of a causal model attend to?",
    {
        "itself, entirely": "There is nothing else it may see, and its one unit has to go "
        "somewhere.",
        "nothing": "A softmax always shares out one whole unit. There is no way to attend to "
        "nothing, a fact that shapes what trained heads do.",
        "it depends on its key": "With only one key, every score gives the same softmax: 1.",
    },
    answer="itself, entirely",
)

questions.prediction(
    "rotation",
    "In a model with rotary positions, you put the q and k from before the rotation into your "
    "attention_scores. Where do the scores still agree with the model's?",
    {
        "nowhere": "One place is left: where query and key have been turned by the same angle.",
        "where a position looks at itself": "Query and key of the same position are turned by the "
        "same angles, and a dot product does not feel a turn that both share.",
        "everywhere": "Only the difference of the two angles matters, but away from the diagonal "
        "there is one.",
    },
    answer="where a position looks at itself",
)

questions.prediction(
    "rank",
    "W_QK = W_Q W_K^T has d_model x d_model entries. What is the largest rank it can have?",
    {
        "d_model": "Every query has to pass through d_head numbers on its way to the key.",
        "d_head": "A product cannot have a larger rank than its thinnest factor.",
        "2 x d_head": "The two factors are multiplied, not added.",
    },
    answer="d_head",
)

questions.prediction(
    "where_from",
    'Head 1 spends 75 % of its attention at "in" on "keep", and the word "in" with the word "keep" '
    "has a score of -0.5 in the table. Where does the rest of the score come from?",
    {
        "the position of the query": "Queries read word and position. The next cells cut the score "
        "into its four terms.",
        "the position of the key": "That would draw every query to that place, whatever stands "
        "there. The next cells cut the score into its four terms.",
        "the other head": "Heads of one layer work side by side; neither sees what the other does.",
    },
    answer="the position of the query",
)

questions.prediction(
    "frozen",
    "An input is the sum of two parts, x = a + b. Is what the heads write for x the sum of what "
    "they write for a and for b?",
    {
        "always": "The pattern itself depends on x, through a softmax.",
        "if the pattern is held fixed": "Given the pattern, each write is a weighted sum of "
        "values, and values are x times a matrix: linear.",
        "never": "Held at the same pattern it is.",
    },
    answer="if the pattern is held fixed",
)

questions.prediction(
    "the_bug",
    'One head learned "keep ... in mind" and "keep ... at bay". It attends from "in" to "keep" and '
    'from "at" to "keep". What does it do to "bay" after "keep ... in"?',
    {
        "it lowers it": 'It would have to know, when it writes, that the query was "in". What it '
        'writes depends on "keep" alone.',
        "it raises it": "What the head writes is decided by the token it looks at. Looking at "
        '"keep" raises "mind" and "bay", whoever looks.',
        "nothing": 'It attends from "in" to "keep" and then writes whatever "keep" tells it '
        "to write.",
    },
    answer="it raises it",
)

questions.prediction(
    "no_source",
    'The direct path puts "mind" ahead of "bay" after "in", whether or not there was a '
    '"keep". What does the model say after "in" where no source stood before?',
    {
        "mind comes too often": "That is what the direct path alone would do. Head 0 takes "
        'it back: it looks from "in" at "in" and writes against "mind".',
        "bay comes too often": 'The objection to "mind" is as large as what the direct '
        "path says for it, and no larger.",
        "both come about as often as they should": "In this model head 0 takes the direct "
        "path's preference back exactly where there is no source. Trained again from another "
        "seed it does not: see below.",
    },
    answer="both come about as often as they should",
)

questions.explanation(
    "why_the_root",
    "Why are scores divided by the square root of d_head, and not by d_head or by nothing?",
    "A dot product of d_head random terms has a standard deviation of sqrt(d_head); dividing by it "
    "keeps scores of the same size whatever the head, so that the softmax neither freezes nor "
    "flattens.",
)

questions.explanation(
    "two_circuits",
    "In your own words: which question does the QK circuit answer, and which the OV circuit?",
    "QK decides where a head looks, from the query's and the key's content; OV decides what it "
    "writes once it looks there, from the key's content alone.",
)

questions.explanation(
    "why_the_bug",
    'Why can one head not learn "keep ... in mind" and "keep ... at bay" without a side effect?',
    "Its strength for (source, dest, out) is a product f(source, dest) g(source, out): with the "
    "source given, every dest that looks gets every out that the source writes.",
)
