"""Chapter 05, Composition: scores from weights, virtual heads, paths, and cutting one path."""
