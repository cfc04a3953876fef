"""Chapter 03, Previous-token heads: diagonals, sinks, knock-outs and the bigram claim."""
