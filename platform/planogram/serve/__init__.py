"""Serving: the HTTP routes, the retriever and the ranker, and the Ray Serve application that binds them."""
