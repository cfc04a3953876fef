"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "pattern_axes",
    "(00) In an attention pattern [query, key], what does row 5, column 2 say?",
    {
        "how much position 5 looks at position 2": "Rows are queries, the ones who look.",
        "how much position 2 looks at position 5": "That would be the transposed pattern, and it "
        "would look into the future. Rows are queries, the ones who look.",
        "how much position 5 and position 2 look at each other": "A pattern is not symmetric: a "
        "query looks back, never the other way.",
    },
    answer="how much position 5 looks at position 2",
)

questions.quiz(
    "why_root_d_head",
    "(01) Why are scores divided by the square root of d_head?",
    {
        "so that rows of the pattern sum to 1": "The softmax sees to that, whatever the scores.",
        "so that the size of typical scores does not grow with d_head": "A dot product of d_head "
        "random terms has a standard deviation of sqrt(d_head).",
        "so that the future is masked": "The mask does that: it sets future scores to minus "
        "infinity.",
    },
    answer="so that the size of typical scores does not grow with d_head",
)

questions.quiz(
    "qk_and_ov",
    "(01) A head attends to the right place but writes the wrong thing. Which circuit is at fault?",
    {
        "QK": "W_Q and W_K decide where the head looks, and that was right.",
        "OV": "W_V and W_O decide what is moved from there, and what it becomes.",
    },
    answer="OV",
)

questions.prediction(
    "sharpness_growth",
    "One key out of 10 gets a share of 0.99. Out of 1,000 keys, how much more score does it need "
    "for the same share?",
    {
        "about the same": "The 990 new keys compete as well, each with exp(0) = 1.",
        "about 5 more": "The rest of the sum grew by a factor of 111, and log(111) is 4.7.",
        "about 100 times as much": "The odds must grow like that; the score is their logarithm.",
    },
    answer="about 5 more",
)

questions.prediction(
    "dot_product_reads",
    "The stream at the symbol 3 is 1 token 3 + 1 one + 1 digit + 3 value. What is its dot product "
    "with the direction value?",
    {
        "3": "The other directions are at right angles to `value` and add nothing, and `value` "
        "with itself gives 1.",
        "1": "That is the length of the direction. The amount in front of it is 3.",
        "it depends on what else is there": "It would, if the directions were not at right angles. "
        "In a trained model they hardly ever are, quite.",
    },
    answer="3",
)

questions.prediction(
    "where_is_the_table",
    "The head attends to its own position, whatever stands there. Where must the table be?",
    {
        "in W_Q and W_K": "Those decide where the head looks, and that is the same for every "
        "symbol.",
        "in W_V and W_O": "What is written must depend on what is read, and these two connect it.",
    },
    answer="in W_V and W_O",
)

questions.prediction(
    "nothing_so_far_back",
    "At position 1 there is no position two back. If the query lights up no dimension there, where "
    "does its attention go?",
    {
        "to BOS": "Only if something gives BOS a better score than the rest. Here all are 0.",
        "to every position it can see, evenly": "All scores are 0, and the softmax of equal scores "
        "is even.",
        "to nothing": "A softmax always shares out a whole unit of attention.",
    },
    answer="to every position it can see, evenly",
)

questions.prediction(
    "mean_with_bos",
    "After BOS a b, with even attention, what does the head read as the mean of vowel?",
    {
        "1": "Only a has the feature; b and BOS count as 0.",
        "1/2": "That is the mean you want, over a and b. Even attention reaches BOS as well.",
        "1/3": "BOS is a position too, with a feature of 0.",
    },
    answer="1/3",
)

questions.prediction(
    "feature_nowhere",
    "The key reads the feature and nothing else. After BOS b c 1, no vowel so far, where does "
    "the head attend?",
    {
        "to nothing": "A softmax always shares out a whole unit of attention.",
        "to BOS": "BOS has no feature either, so it scores like the others.",
        "evenly to everything it can see": "All scores are 0. The head would report a mixture of "
        "whatever there is.",
    },
    answer="evenly to everything it can see",
)

questions.prediction(
    "first_of_its_kind",
    "With basis.token.T as W_Q and W_K, scaled up, what does a symbol look at that is new in the "
    "sequence?",
    {
        "BOS": "BOS holds another symbol and scores 0. One key scores better.",
        "itself": "Its own position holds the same symbol, and the mask does not hide it.",
        "the symbol before it": "Nothing here compares positions.",
    },
    answer="itself",
)

questions.prediction(
    "one_head_enough",
    "What does it take to predict what followed the current symbol the last time?",
    {
        "one head": "The key at b would have to show that a stands before it. In the first layer a "
        "key knows its own symbol and position only.",
        "two heads in one layer": "Heads of one layer run side by side: neither can read what the "
        "other writes.",
        "two layers": "One head has to write the symbol before into each position, before another "
        "can look for it.",
    },
    answer="two layers",
)

questions.prediction(
    "shape_of_match",
    "Rows: the symbol at the query. Columns: the symbol fetched to the key. What will the matrix "
    "of your circuit look like?",
    {
        "a positive diagonal": "A match is: what was fetched equals what the query holds.",
        "a positive first column": "The rest on BOS does not go through the first head: the key "
        "shows BOS itself.",
        "a negative diagonal": "That would avoid matches.",
    },
    answer="a positive diagonal",
)

questions.prediction(
    "who_wins",
    "Second copies of random sequences: who has the lower loss?",
    {
        "the one by hand": "It bets less, and symbols that stand twice by chance cost it less.",
        "the trained one": "Only where a symbol stood once. It bets higher, and pays for it where "
        "a symbol stood twice by chance, which its training never showed.",
        "they tie": "They match alike, but bet differently: see the two columns further down.",
    },
    answer="the one by hand",
)

questions.explanation(
    "why_rest",
    "Why does a head that should sometimes do nothing need a place to rest, and what makes BOS a "
    "good one?",
    "A softmax has to put its attention somewhere; BOS is always there, never in the future, and "
    "copying it can be made to change nothing.",
)

questions.explanation(
    "why_two_layers",
    "Why must the head that finds the continuation sit above another head?",
    "Its keys must show which symbol stands before them, and that is not in the residual stream "
    "until a lower layer has written it there.",
)

questions.explanation(
    "what_differs",
    "Name one thing that your circuit and the trained one do alike, and one that they do "
    "differently. Which measurement shows it?",
    "Both match the query's symbol with the one fetched from before the key, as the diagonal of "
    "the match matrix shows; the trained one also knows bigrams, as its loss on the Markov chain "
    "shows.",
)
