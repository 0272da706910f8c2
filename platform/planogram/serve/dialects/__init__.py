"""Reranking, scoring and embedding in the words of other servers, so that the clients people have work unchanged.

A dialect is a request model, a response model, functions between them and the `Backend`, and a router.
"""
