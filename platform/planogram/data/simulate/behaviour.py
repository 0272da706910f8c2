"""How shoppers answer to what they are shown: the true probabilities of clicks, carts and purchases.

Clicks follow the position-based model: a product is clicked when its position is examined and it attracts, the two
being independent (Craswell, Zoeter, Taylor and Ramsey, "An experimental comparison of click position-bias models",
WSDM 2008; Richardson, Dominowska and Ragno, WWW 2007). Purchases are a logit in the log price.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from planogram.data.simulate.catalogue import Floats, Ints

EXAMINATION_POWER = 0.8
CLICK_LOGITS = (-3.9, -2.9, -1.7, -0.6, 0.1)
CLICK_TASTE = 0.5
CLICK_PRICE = 0.3
BUY_LOGITS = (-4.5, -3.6, -2.9, -2.2, -1.8)
BUY_QUALITY = 1.0
BUY_TASTE = 0.4
CART_SHARE = 0.15
SECOND_PIECE_SHARE = 0.1


def examination(positions: Ints) -> Floats:
    """P(position is looked at) = position ** -0.8; positions are 1-based, of any shape."""
    return positions.astype(np.float64) ** -EXAMINATION_POWER


def attractiveness(grades: NDArray[np.int8], taste: Floats, sensitivity: Floats, log_price_level: Floats) -> Floats:
    """P(click | examined) = sigmoid(CLICK_LOGITS[grade] + 0.5 taste - 0.3 sensitivity log(price / ordinary price)).

    Args:
        grades: true grade of query and product, 0 to 4.
        taste: of the shopper for the product, see `shoppers.taste_for`.
        sensitivity: of the shopper.
        log_price_level: log of the price over the ordinary price of the product's type.

    Returns:
        Of the common shape of the arguments.
    """
    logits = np.asarray(CLICK_LOGITS)[grades] + CLICK_TASTE * taste - CLICK_PRICE * sensitivity * log_price_level
    return _sigmoid(logits)


def purchase_probability(
    grades: NDArray[np.int8],
    quality: Floats,
    taste: Floats,
    intercept: Floats,
    elasticity: Floats,
    log_price_ratio: Floats,
) -> Floats:
    """P(purchase | click) = sigmoid(BUY_LOGITS[grade] + quality - 0.5 + 0.4 taste + intercept - elasticity log ratio).

    Args:
        grades: true grade of query and product, 0 to 4.
        quality: of the product, in (0, 1).
        taste: of the shopper for the product.
        intercept: of the product, and of its season.
        elasticity: of the product, positive.
        log_price_ratio: log of the price over the product's usual price.

    Returns:
        Of the common shape of the arguments.
    """
    appeal = np.asarray(BUY_LOGITS)[grades] + BUY_QUALITY * (quality - 0.5) + BUY_TASTE * taste + intercept
    return _sigmoid(appeal - elasticity * log_price_ratio)


def parameters(page_size: int) -> dict[str, Any]:
    """Everything above in words and figures, for the truth that is written beside the data."""
    return {
        "click": "P(click) = examination(position) * attractiveness",
        "examination": examination(np.arange(1, page_size + 1)).tolist(),
        "attractiveness": "sigmoid(click_logits[grade] + click_taste * taste"
        " - click_price * shopper.sensitivity * log(price / product.ordinary_price))",
        "click_logits": list(CLICK_LOGITS),
        "click_taste": CLICK_TASTE,
        "click_price": CLICK_PRICE,
        "taste": "dot(shopper.taste, product.taste)",
        "purchase": "P(purchase | click) = sigmoid(buy_logits[grade] + buy_quality * (product.quality - 0.5)"
        " + buy_taste * taste + product.intercept + prices.season"
        " - product.elasticity * log(price / product.reference_price))",
        "buy_logits": list(BUY_LOGITS),
        "buy_quality": BUY_QUALITY,
        "buy_taste": BUY_TASTE,
        "cart": "every purchase was in the cart; P(cart | click, no purchase) = cart_share",
        "cart_share": CART_SHARE,
        "second_piece_share": SECOND_PIECE_SHARE,
    }


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))
