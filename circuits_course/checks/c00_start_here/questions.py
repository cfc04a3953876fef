"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.prediction(
    "heads_in_a_vector",
    "One vector holds the outputs of 2 heads, 3 numbers each: 0 1 2 3 4 5. Which numbers are "
    "head 1's?",
    {
        "1, 3, 5": "That would be every second number. Heads are laid end to end, so head 0 takes "
        "the first three and head 1 the rest.",
        "3, 4, 5": "Heads are laid end to end, and counting starts at head 0.",
        "0, 1, 2": "Those are head 0's: counting starts at zero.",
    },
    answer="3, 4, 5",
)

questions.prediction(
    "rows_sum",
    "In an attention pattern [query, key], what sums to 1?",
    {
        "every row": "Each query shares out one unit of attention over the keys.",
        "every column": "A column says how much attention one key receives from all queries; that "
        "can be anything between 0 and the number of queries.",
        "the whole matrix": "Each query has one whole unit of attention to share out, so the "
        "matrix sums to the number of queries.",
    },
    answer="every row",
)

questions.prediction(
    "silent_head",
    "One of the eight heads of this model is silenced. What happens to its prediction of the "
    "second copy of a repeated sequence?",
    {
        "it gets worse, whichever head it is": "Six of the eight cost next to nothing.",
        "it depends on the head": "Two heads cost several nats, the other six next to nothing.",
        "nothing much, for any head": "Two of them cost several nats.",
    },
    answer="it depends on the head",
)

questions.explanation(
    "cache_or_hook",
    "When would you read from the cache, and when would you use a hook?",
    "The cache tells what the model computed; a hook changes it while it runs, which is the way "
    "to find out whether that mattered.",
)
