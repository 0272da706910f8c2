"""What each estimator does, and what it is still confounded by, in a line."""

#: estimator -> (what it does, what confounds it)
EXPLAINED: dict[str, tuple[str, str]] = {
    "pooled": (
        "least squares of log units on the log price, all rows alike",
        "products: what sells much is cheap or dear for reasons of its own",
    ),
    "products": (
        "a constant for every product (and store): prices are compared within a product",
        "time and promotions: prices fall when demand rises anyway, or while a product is advertised",
    ),
    "products and features": (
        "as before, and what is known of the row is held constant on a straight line",
        "time, features that nobody wrote down, and effects that are no straight line",
    ),
    "products and periods": (
        "a constant for every period too: what moves all products at once, such as Christmas, is taken out",
        "what moves one product's price and demand together: a season of its own, large orders at a discount",
    ),
    "poisson": (
        "the same constants, but expected units in place of their logarithm: rows of 0 units count",
        "as products and periods; products that sell much count more",
    ),
    "cross-fitted": (
        "price and units are predicted from all else by learners that did not see the row; the slope of what is left",
        "what is not among the features; it needs prices that move without their reasons being all known",
    ),
    "cross-fitted poisson": (
        "the same for expected units: rows of 0 units count",
        "as cross-fitted; products that sell much count more",
    ),
    "conditional logit": (
        "the choice among products by their prices, features and a constant for each",
        "households that differ in taste, stock at home, and quality that changes with the price",
    ),
    "shares": ("every product's share of choices, whatever the prices", "everything"),
}
