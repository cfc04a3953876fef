"""Chapter 11, Automatic discovery: a graph of edges, methods that rank them, and a referee."""
