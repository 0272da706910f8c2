"""How well a product answers a query, from the facts of both."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planogram.data.simulate.catalogue import Catalogue, Ints

TOP_GRADE = 4
RULES = {
    4: "right type, every need met, premium tier",
    3: "right type, every need met",
    2: "right type, one need not met",
    1: "right type, two or more needs not met; or a substitute of the same family with every need met",
    0: "anything else",
}


@dataclass(frozen=True)
class Query:
    """A query and what it wants.

    Attributes:
        text: as typed.
        kind: of `queries.KINDS`.
        type: number of the wanted type.
        brand: number of the wanted brand; -1: any.
        needs: attribute -> value, by number.
    """

    text: str
    kind: str
    type: int
    brand: int
    needs: dict[int, int]


def grade(query: Query, catalogue: Catalogue, products: Ints) -> NDArray[np.int8]:
    """True grades of products for a query, by `RULES`; a wanted brand is one of the needs.

    Args:
        query: what is wanted.
        catalogue: the facts.
        products: (products,) numbers.

    Returns:
        (products,) int8, 0 to 4.
    """
    missing = np.zeros(len(products), dtype=np.int64)
    for attribute, value in query.needs.items():
        missing += catalogue.values[products, attribute] != value
    if query.brand >= 0:
        missing += catalogue.brand[products] != query.brand
    right = np.where(missing == 0, 3 + (catalogue.tier[products] == 2), np.maximum(3 - missing, 1))
    family = catalogue.vocabulary.family_of_type[query.type]
    substitute = (catalogue.family[products] == family) & (missing == 0)
    return np.where(catalogue.type[products] == query.type, right, substitute).astype(np.int8)


def positives(query: Query, catalogue: Catalogue) -> tuple[Ints, NDArray[np.int8]]:
    """All products with a grade above zero and these grades."""
    members = catalogue.family_members[catalogue.vocabulary.family_of_type[query.type]]
    grades = grade(query, catalogue, members)
    return members[grades > 0], grades[grades > 0]
