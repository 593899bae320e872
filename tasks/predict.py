"""What is to be expected of the cluster? Draw of each job, links about to be congested, load of each expert."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.errors import BadSource, SourceUnavailable
from data.schemas.cluster import Snapshot
from data.schemas.plan import AssumedPower, Fallback
from tasks.forecasters.congestion import Congestion, expect_congestion, taught
from tasks.forecasters.congestion_methods import Logistic
from tasks.forecasters.gnn import GraphSage
from tasks.forecasters.jobs import job_samples
from tasks.forecasters.load import Floats, Loads
from tasks.forecasters.load_lstm import Lstm
from tasks.forecasters.load_scenarios import Scenarios
from tasks.forecasters.model_file import FILE_NAME, load_model, save_model
from tasks.forecasters.power import MEASURED, PowerRules, forecast_power, train_power
from tasks.forecasters.protocol import ForecastFailed, TrainedPower

METERED = "node telemetry"
NOWHERE = Congestion((), (), (), ())


@dataclass(frozen=True, slots=True, eq=False)
class ExpertForecast:
    """Load of the experts of one deployment in the next window."""

    deployment: str
    loads: Loads


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """What the forecasters say of a snapshot.

    Args:
        gpu_power_w: job and draw of one of its GPUs without a cap, for every job, in the snapshot's order.
        assumed_power: those of them that the snapshot does not state itself, and who said so.
        congestion: links and places where trouble is expected.
        experts: one per deployment, in the snapshot's order.
        fallbacks: who could not answer, who stood in, and why.
        notes: what a reader should know.
    """

    gpu_power_w: tuple[tuple[str, float], ...]
    assumed_power: tuple[AssumedPower, ...]
    congestion: Congestion
    experts: tuple[ExpertForecast, ...]
    fallbacks: tuple[Fallback, ...]
    notes: tuple[str, ...]

    @property
    def domain_scores(self) -> tuple[tuple[str, float], ...]:
        """How likely congestion is at each NVLink domain with a metered link, 0 to 1, the worst first."""
        return self.congestion.domain_scores

    def loads_of(self, deployment: str) -> Floats:
        """Return the tokens expected in the next window, ``(layers, experts)``.

        Raises:
            ValueError: there is no such deployment.
        """
        return self._experts_of(deployment).tokens

    def scenarios_of(self, deployment: str) -> Scenarios:
        """Return the futures that a map of the deployment's experts should be made for.

        Raises:
            ValueError: there is no such deployment.
        """
        return self._experts_of(deployment).scenarios

    def _experts_of(self, deployment: str) -> Loads:
        for expert in self.experts:
            if expert.deployment == deployment:
                return expert.loads
        raise ValueError(f"deployment: expected one of {[one.deployment for one in self.experts]}, got {deployment!r}")

    def assumed(self, snapshot: Snapshot) -> Snapshot:
        """Return ``snapshot`` with the draws that it does not state filled in."""
        said = {assumed.job: assumed for assumed in self.assumed_power}
        jobs = []
        for job in snapshot.jobs:
            if job.gpu_power_w is None and job.id in said:
                high_w = said[job.id].gpu_power_high_w if job.gpu_power_high_w is None else job.gpu_power_high_w
                jobs.append(replace(job, gpu_power_w=said[job.id].gpu_power_w, gpu_power_high_w=high_w))
            else:
                jobs.append(job)
        return replace(snapshot, jobs=tuple(jobs))


def predict(
    snapshot: Snapshot,
    trained: TrainedPower | None,
    rng: np.random.Generator,
    *,
    why_untrained: str = "no trained model was given",
    rules: PowerRules = PowerRules(),  # noqa: B008  # frozen
) -> Forecast:
    """Return what is to be expected of ``snapshot``; whatever cannot be forecast falls back, and is named.

    Args:
        snapshot: at least one node.
        trained: a graph network of power, or None.
        rng: source of chance.
        why_untrained: the reason to give where ``trained`` is None.
        rules: when ``trained`` is trusted.

    Raises:
        ValueError: the snapshot has no nodes.
    """
    of_power, of_links, of_experts = rng.spawn(3)
    samples = job_samples(snapshot)
    power = forecast_power(
        samples,
        trained,
        of_power,
        taken_at=snapshot.taken_at,
        why_untrained=why_untrained,
        rules=rules,
        quantile=snapshot.limits.power_quantile,
    )
    # a tenth of a watt is more than any of them knows, and the same on every machine
    watts = [
        value if job.gpu_power_w is not None else float(np.clip(round(value, 1), low, high))
        for job, value, low, high in zip(
            snapshot.jobs, power.watts.tolist(), samples.idle_w.tolist(), samples.max_w.tolist(), strict=True
        )
    ]
    assumed = tuple(
        AssumedPower(
            job.id,
            value,
            METERED if source == MEASURED else source,
            # rounded up, so that the bound still holds; a draw that was metered needs none
            float(np.clip(np.ceil(10.0 * bound) / 10.0, value, high)) if np.isfinite(bound) else None,
        )
        for job, value, source, bound, high in zip(
            snapshot.jobs, watts, power.sources, power.high_w.tolist(), samples.max_w.tolist(), strict=True
        )
        if job.gpu_power_w is None
    )
    congestion, stood_in, said = _congestion(snapshot, of_links)
    experts = tuple(
        ExpertForecast(deployment.id, Lstm()(np.array(deployment.loads, dtype=np.float64), draw))
        for deployment, draw in zip(snapshot.deployments, of_experts.spawn(len(snapshot.deployments)), strict=True)
    )
    learned = _learned(trained) if trained is not None and assumed else ()
    return Forecast(
        gpu_power_w=tuple((job.id, value) for job, value in zip(snapshot.jobs, watts, strict=True)),
        assumed_power=assumed,
        congestion=congestion,
        experts=experts,
        fallbacks=(*power.fallbacks, *stood_in),
        notes=(*learned, *said, *(_weighed(expert) for expert in experts)),
    )


def _congestion(
    snapshot: Snapshot, rng: np.random.Generator
) -> tuple[Congestion, tuple[Fallback, ...], tuple[str, ...]]:
    if not snapshot.link_series:
        return NOWHERE, (), ("no link is metered: nothing is said of congestion",)
    method = Logistic()
    try:
        congestion = expect_congestion(snapshot, taught(method, rng))
    except ForecastFailed as error:
        return NOWHERE, (Fallback("predict congestion", method.kind, "no forecast", str(error)),), ()
    return congestion, (), (f"{len(congestion.links)} of {len(congestion.scores)} metered links may become congested",)


def _learned(trained: TrainedPower) -> tuple[str, ...]:
    errors = trained.held_out
    shares = f"graph network {errors.graph:.1%}, boosting {errors.boosting:.1%}, median {errors.median:.1%}"
    shares += "" if errors.blend is None else f", graph network and boosting together {errors.blend:.1%}"
    return (f"power forecast: {len(trained.samples.ids)} measured jobs, error on gangs held out: {shares}",)


def _weighed(expert: ExpertForecast) -> str:
    loads, scenarios = expert.loads, expert.loads.scenarios
    past = len(scenarios.tokens) - 1
    made_for = f"the forecast and {past} past windows" if past else "the forecast alone"
    return (
        f"expert loads of {expert.deployment}: by {loads.method}; weight {loads.alpha:g} on the newest window, error "
        f"on past windows {loads.error:.1%}, of the last window alone {loads.last_window_error:.1%}; the past explains "
        f"{scenarios.recurrence:.0%} of the newest deviation, so maps are made for {made_for}"
    )


def train_on(snapshot: Snapshot, rng: np.random.Generator) -> TrainedPower:
    """Return a graph network trained on the measured jobs of ``snapshot``.

    Raises:
        ForecastFailed: too few jobs are measured, all in one gang, or nothing was learned.
    """
    return train_power(job_samples(snapshot), rng, graph=GraphSage(), trained_at=snapshot.taken_at)


@task(name="train", cache_policy=NO_CACHE)
def train_power_model(snapshot: Snapshot, folder: Path, *, seed: int) -> Path:
    """Train a power forecaster on ``snapshot``, store it in ``folder``, and return where.

    Raises:
        ForecastFailed: too few jobs are measured, all in one gang, or nothing was learned.
    """
    trained = train_on(snapshot, np.random.default_rng(seed))
    save_model(trained, folder / FILE_NAME)
    return folder / FILE_NAME


@task(name="predict", cache_policy=NO_CACHE)
def predict_cluster(snapshot: Snapshot, power_model: Path | None = None, *, seed: int) -> Forecast:
    """Run :func:`predict` as a Prefect task, with the model in ``power_model``, else one trained on the snapshot.

    A model that is missing, broken, or cannot be trained is a fallback with its reason, not an error.
    """
    for_training, for_forecast = (np.random.default_rng(one) for one in np.random.SeedSequence(seed).spawn(2))
    trained, reason = None, ""
    if not job_samples(snapshot).measured.all():
        try:
            trained = train_on(snapshot, for_training) if power_model is None else load_model(power_model)
        except (ForecastFailed, SourceUnavailable, BadSource) as error:
            reason = " ".join(str(error).split())
    return predict(snapshot, trained, for_forecast, why_untrained=reason)
