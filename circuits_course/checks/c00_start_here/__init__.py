"""Chapter 00, Start here: shapes, einsum, the cache and a hook."""
