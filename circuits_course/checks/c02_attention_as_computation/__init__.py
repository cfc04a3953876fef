"""Chapter 02, Attention as computation: heads written by hand, graded by what they do.

Answers are weights. None is compared with the reference's: each is put into a model and described
by where it looks and what it writes on random sequences (see `behaviour`).
"""
