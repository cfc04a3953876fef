"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "who_looks_at_whom",
    "In an attention pattern, pattern[5, 2] is 0.9. What does that say?",
    {
        "token 5 looks at token 2": "Rows are queries, the ones who look; columns are keys.",
        "token 2 looks at token 5": "Token 2 cannot look at token 5, which lies in its future. "
        "pattern[q, k]: rows are queries, the ones who look.",
        "head 5 looks at token 2": "This is the pattern of one head; both indices are positions. "
        "pattern[q, k]: rows are queries, columns are keys.",
    },
    answer="token 5 looks at token 2",
)

questions.quiz(
    "what_a_head_writes",
    "A head attends fully to one token. Which matrix decides what it writes?",
    {
        "W_QK = W_Q W_K^T": "That one decided where it looks. What it carries over from there "
        "goes through W_V and W_O.",
        "W_OV = W_V W_O": "It reads with W_V at the token it looks at, and writes with W_O.",
        "W_U": "The unembedding reads what all components have written together; it is not the "
        "head's.",
    },
    answer="W_OV = W_V W_O",
)

questions.quiz(
    "pattern_as_evidence",
    "A head looks exactly where your explanation says it should. What have you shown?",
    {
        "that the model needs the head for it": "Not yet: whether anything depends on what the "
        "head fetches is shown by an intervention, such as silencing it.",
        "that the head could do it": "A pattern says where a head looks. Whether the model depends "
        "on it is a causal question, for a hook.",
        "what the head writes": "The pattern is about looking. What is written depends on W_OV and "
        "on what stands at the place it looks at.",
    },
    answer="that the head could do it",
)

questions.prediction(
    "why_bos",
    "Several heads look at BOS from nearly everywhere. The most likely reason?",
    {
        "BOS holds something about the text": "BOS comes first, so it has seen none of the text: "
        "in every sequence it holds the same.",
        "they have nothing to fetch and must look somewhere": "Each row of a pattern sums to 1. A "
        "head that has nothing to fetch needs a place where looking does no harm.",
        "the causal mask leaves them no choice": "The mask forbids the future only; query 10 may "
        "look at any of eleven tokens.",
    },
    answer="they have nothing to fetch and must look somewhere",
)

questions.prediction(
    "sink_at_offset_1",
    "A head looks at BOS alone. What is its diagonal score at offset 1, on 9 tokens?",
    {
        "0": "Query 1 looks at BOS too, and for query 1 BOS is the token before.",
        "1/9": "Right idea: one query, number 1, looks at its previous token by accident. But only "
        "8 queries have a previous token.",
        "1/8": "Of the 8 queries that have a previous token, number 1 looks at it: it is BOS.",
        "1": "That would be a head that looks at the token before from everywhere.",
    },
    answer="1/8",
)

questions.prediction(
    "random_or_english",
    "Heads that look one token back: on which text will they score higher in a language model?",
    {
        "higher on random tokens": "Something in English draws part of their attention elsewhere.",
        "higher on English": "A head need not work best on text like its training data.",
        "about the same": "Then positions alone would decide where they look, as in "
        "`induction-2l`. Here they do not.",
    },
    answer="higher on random tokens",
)

questions.prediction(
    "who_suffers",
    "We knock out the previous-token head of induction-2l. Which tokens will be predicted worse?",
    {
        "chain text most": "That follows from the bigram claim, which predicted the opposite "
        "of what happened.",
        "second copies most": "3.5 nats a token: the head labels tokens for a later head to find.",
        "first copies most": "They get *better*, by 1.1 nats: a surprise that we come back to.",
        "all about alike": "One kind of token suffers, one gains, and one hardly changes.",
    },
    answer="second copies most",
)

questions.prediction(
    "where_a_bigram_head_looks",
    "A head adds bigram statistics of its own. Which token must it look at?",
    {
        "the token before": "Then it would see the token before last of the one to predict. What "
        "follows the current token depends on the current token.",
        "the current token": "What follows the current token depends on that token, so a head that "
        "is to know must look at it: offset 0.",
        "BOS": "BOS is the same in every sequence: from there a head can learn nothing about what "
        "follows this token.",
    },
    answer="the current token",
)

questions.prediction(
    "direct_path_real",
    "In the language model you loaded, what does the direct path of a token raise most?",
    {
        "tokens that often follow it": "The textbook's answer, right for models without MLPs "
        "that unembed with a matrix of their own.",
        "the token itself": "SmolLM2 unembeds with its embedding, $W_U = W_E^\\top$ up to "
        'the gain, so the direct path says above all "the same again".',
        "nothing in particular": "It has a clear favourite.",
    },
    answer="the token itself",
)

questions.explanation(
    "first_copies_gain",
    "Why did the knock-out make first copies better?",
    "When a token comes up again by chance, the induction circuit bets that the sequence "
    "repeats, and "
    "on a first copy that bet is wrong; without its label the circuit does not bet.",
)

questions.explanation(
    "zero_or_mean",
    "One knock-out, three ways to do it: what would you have concluded from each row alone?",
    "From zeros, or from a mean over another kind of text, that several random sets of heads "
    "matter about as much as those under test: such a replacement takes away, or puts in, "
    "something that later layers rely on. With the mean over the same kind of text that part "
    "stays as it was.",
)

questions.explanation(
    "verdict",
    "Do previous-token heads implement bigram statistics? Give your answer and its best evidence.",
    "No: without them text that is all bigrams, and famous pairs of words in a random context, are "
    "predicted about as before, while second copies are ruined; and the head whose weights do "
    "complete the bigram table looks at the current token.",
)
