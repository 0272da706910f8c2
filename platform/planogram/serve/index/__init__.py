"""The index of a shop's products: words, vectors, and what shoppers did, as LanceDB tables on local disk."""
