"""A head's scores of judged lists: what slices, comparisons and robustness are computed from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.config import EvaluateConfig
from planogram.data.examples import Examples, Source
from planogram.data.examples.ranked import RANKED_TASKS
from planogram.errors import ConfigError
from planogram.evaluate.lists import Rows, by_query, lists_of
from planogram.registry.bundle import BundleManifest, Head
from planogram.registry.store import ModelVersion


@dataclass(frozen=True)
class Judged:
    """A bundle's first head on the lists of a part.

    Attributes:
        version: of the bundle.
        manifest: of the bundle.
        source: where the examples come from.
        task: that the examples are of.
        head: that gave the scores, or one without cutoffs where it is measured against another task.
        examples: with grades.
        scores: (examples,) higher is better.
        config: of the evaluation.
        column: number of the head that gave the scores.
    """

    version: ModelVersion
    manifest: BundleManifest
    source: Source
    task: str
    head: Head
    examples: Examples
    scores: npt.NDArray[np.float32]
    config: EvaluateConfig
    column: int = 0

    @property
    def metric(self) -> str:
        """The metric that lists are compared by."""
        return f"ndcg@{self.config.k}"

    @cached_property
    def queries(self) -> pd.DataFrame:
        """Metrics of each list, as `by_query` returns them."""
        return by_query(self.examples.grades, self.scores, self.examples.groups, self.config.k)

    @cached_property
    def lists(self) -> dict[int, Rows]:
        """Number of the query -> positions of its candidates."""
        return {int(self.examples.groups[rows[0]]): rows for rows in lists_of(self.examples.groups)}

    @cached_property
    def texts(self) -> dict[int, str]:
        """Number of the query -> its text."""
        return {group: self.examples.pairs[rows[0]][0] for group, rows in self.lists.items()}

    def check_lists(self, what: str) -> None:
        """Refuse what needs products that are ranked for queries.

        Raises:
            ConfigError: names what was asked for.
        """
        if self.task not in RANKED_TASKS or not self.examples.products or not self.lists:
            raise ConfigError(
                f"{what}: the task {self.task} ranks no products for queries",
                allowed=", ".join(RANKED_TASKS),
                remedy=f"leave {what} out",
            )

    def best(self, group: int) -> Rows:
        """Positions of a query's candidates of its highest grade."""
        rows = self.lists[group]
        grades = self.examples.grades[rows]
        return rows[grades == grades.max()]
