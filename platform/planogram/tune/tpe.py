"""Optuna: its tree-structured Parzen estimator (Bergstra et al. 2011), and how much each key matters.

A study is made anew from the ledger whenever one is needed; Optuna keeps nothing of its own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planogram.config import ChoiceConfig, IntConfig, LogUniformConfig, TuneConfig, UniformConfig
from planogram.tune.objective import Metrics
from planogram.tune.space import Parameter, Space
from planogram.tune.trial import Trial

if TYPE_CHECKING:
    import optuna

# Below, an estimate of importance says nothing.
LEAST_TRIALS = 8


def suggest(config: TuneConfig, trials: Sequence[Trial], seed: int) -> dict[str, Any]:
    """A promising point, away from those that run now (the constant liar of Ginsbourger et al. 2010).

    Args:
        config: space and metrics.
        trials: of the ledger.
        seed: of this one point.

    Returns:
        Key -> value.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=config.startup, constant_liar=True)
    study = study_of(config.space, config.metrics, trials, sampler)
    asked = study.ask(_distributions(config.space))
    return {key: _value(parameter, asked.params[key]) for key, parameter in config.space.items()}


def importance(config: TuneConfig, trials: Sequence[Trial]) -> dict[str, dict[str, float]]:
    """Metric -> key -> share of 1, largest first (PED-ANOVA, Watanabe et al. 2023); empty where too few have finished.

    Args:
        config: space and metrics.
        trials: of the ledger; only finished ones count.
    """
    finished = [trial for trial in trials if trial.state == "finished"]
    if len(finished) < LEAST_TRIALS:
        return {}
    return {name: _importance(config.space, name, mode, finished) for name, mode in config.metrics.items()}


def _importance(space: Space, name: str, mode: Any, trials: Sequence[Trial]) -> dict[str, float]:
    import optuna

    values = {trial.metrics[name] for trial in trials if trial.metrics}
    if len(values) < 2:  # nothing varies, so nothing explains it
        return {}
    found = optuna.importance.get_param_importances(study_of(space, {name: mode}, trials))
    return {str(key): float(share) for key, share in found.items()}


def study_of(
    space: Space, metrics: Metrics, trials: Sequence[Trial], sampler: "optuna.samplers.BaseSampler | None" = None
) -> "optuna.Study":
    """A study in memory that is told of all trials.

    Finished ones are complete and running ones run. One that stopped early is pruned with its curve; among several
    metrics Optuna knows no pruning, and it is left out. Failed ones failed.
    """
    import optuna

    directions = ["maximize" if mode == "max" else "minimize" for mode in metrics.values()]
    study = optuna.create_study(directions=directions, sampler=sampler)
    for trial in trials:
        if trial.state != "stopped" or len(metrics) == 1:
            study.add_trial(_frozen(space, metrics, trial))
    return study


def _frozen(space: Space, metrics: Metrics, trial: Trial) -> "optuna.trial.FrozenTrial":
    import optuna

    states = optuna.trial.TrialState
    state = {"finished": states.COMPLETE, "running": states.RUNNING, "stopped": states.PRUNED, "failed": states.FAIL}
    values = [trial.metrics[name] for name in metrics] if trial.metrics and trial.state == "finished" else None
    curve = trial.curve(next(iter(metrics))) if len(metrics) == 1 else []
    return optuna.trial.create_trial(
        state=state[trial.state],
        values=values,
        params={key: _coded(parameter, trial.params[key]) for key, parameter in space.items()},
        distributions=_distributions(space),
        intermediate_values={int(step): value for step, value in curve},
    )


def _distributions(space: Space) -> "dict[str, optuna.distributions.BaseDistribution]":
    return {key: _distribution(parameter) for key, parameter in space.items()}


def _distribution(parameter: Parameter) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match parameter:
        case UniformConfig(low=low, high=high):
            return FloatDistribution(low, high)
        case LogUniformConfig(low=low, high=high):
            return FloatDistribution(low, high, log=True)
        case IntConfig(low=low, high=high, step=step):
            return IntDistribution(low, range(low, high + 1, step)[-1], step=step)
        case ChoiceConfig(values=values):
            return CategoricalDistribution(list(range(len(values))))


def _coded(parameter: Parameter, value: Any) -> Any:
    """Choices may be lists or mappings, which Optuna does not take: their places stand for them."""
    if not isinstance(parameter, ChoiceConfig):
        return value
    return _as_json(parameter.values).index(value)


def _value(parameter: Parameter, coded: Any) -> Any:
    return parameter.values[coded] if isinstance(parameter, ChoiceConfig) else coded


def _as_json(values: Sequence[Any]) -> list[Any]:
    """As the ledger gives them back."""
    import json

    return list(json.loads(json.dumps(values)))
