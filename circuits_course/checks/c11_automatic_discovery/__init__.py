"""Chapter 11, Automatic discovery: the graph of edges, methods that rank it, and who judges them."""
