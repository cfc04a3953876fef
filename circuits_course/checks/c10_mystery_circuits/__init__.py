"""Chapter 10, Mystery circuits: the tools of an investigation, and a first claim."""
