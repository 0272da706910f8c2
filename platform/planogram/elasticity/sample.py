"""What the estimators of one shop share: the rows, the outcome on its scale, and what is held constant."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.config import ElasticityConfig
from planogram.elasticity.effects import codes
from planogram.elasticity.loglog import log_target
from planogram.elasticity.observations import Observations
from planogram.errors import ConfigError, DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# Standard errors of fewer clusters are too small (Cameron & Miller 2015, section VI).
MIN_CLUSTERS = 30
CLUSTER_COLUMNS = {"product": "product_id", "period": "period", "store": "store"}


@dataclass(frozen=True)
class Sample:
    """Rows ready to be estimated from.

    Attributes:
        frame: see `Observations`.
        target: (rows,) log units; or purchases over their mean, whose slope on the log price is the elasticity of the
            rate of purchases at its mean.
        products: columns that tell products, and stores where there are several, apart.
        periods: `period`, or nothing where there is one alone.
        features: numeric columns that are held constant.
        clusters: (rows,) of the errors; absent: HC1.
    """

    frame: pd.DataFrame
    target: Floats
    products: tuple[str, ...]
    periods: tuple[str, ...]
    features: tuple[str, ...]
    clusters: Integers | None

    @property
    def known(self) -> tuple[str, ...]:
        """Everything that a price is predicted from."""
        return (*self.products, *self.periods, *self.features)


def make_sample(observations: Observations, config: ElasticityConfig) -> tuple[Sample, int]:
    """The sample of units or of purchases, and how many rows of 0 have no logarithm.

    Raises:
        ConfigError: a feature does not exist.
        DataError: nothing was sold, or a feature is missing in some rows.
    """
    if observations.kind == "units":
        frame, target, zeros = log_target(observations.frame)
    else:
        frame, zeros = observations.frame, 0
        target = rate(frame["purchased"].to_numpy(dtype=float))
    return sample_of(frame, target, observations.features, config), zeros


def sample_of(frame: pd.DataFrame, target: Floats, features: Sequence[str], config: ElasticityConfig) -> Sample:
    """The sample of these rows and this outcome."""
    several = [name for name in ("store", "period") if frame[name].nunique() > 1]
    return Sample(
        frame=frame,
        target=target,
        products=("product_id", *(["store"] if "store" in several else [])),
        periods=("period",) if "period" in several else (),
        features=_features(frame, features, config),
        clusters=_clusters(frame, config),
    )


def rate(purchased: Floats) -> Floats:
    """(rows,) purchases over their mean.

    Raises:
        DataError: nothing was bought.
    """
    if not purchased.sum() > 0:
        raise DataError("no click led to a purchase", remedy="map events of the type purchase")
    return purchased / purchased.mean()


def clusters_in_words(config: ElasticityConfig, sample: Sample) -> str:
    """How standard errors were made."""
    if sample.clusters is None:
        return "HC1"
    return f"of {int(sample.clusters.max()) + 1} clusters, by {config.cluster or 'product'}"


def _features(frame: pd.DataFrame, names: Sequence[str], config: ElasticityConfig) -> tuple[str, ...]:
    if unknown := [name for name in config.features or () if name not in names]:
        raise ConfigError(
            f"features: {', '.join(unknown)} does not exist", allowed=", ".join(names), remedy="name these"
        )
    if config.features is not None:
        return config.features
    return tuple(name for name in names if frame[name].notna().all() and frame[name].nunique() > 1)


def _clusters(frame: pd.DataFrame, config: ElasticityConfig) -> Integers | None:
    chosen = config.cluster or ("product" if frame["product_id"].nunique() >= MIN_CLUSTERS else "none")
    return None if chosen == "none" else codes(frame, [CLUSTER_COLUMNS[chosen]])[0]
