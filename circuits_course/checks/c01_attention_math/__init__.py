"""Chapter 01, Attention math: one attention layer from its scores to its skip-trigrams."""
