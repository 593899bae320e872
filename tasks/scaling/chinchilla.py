"""How does a language model's loss fall with parameters and with tokens? ``L(N, D) = E + A / N^alpha + B / D^beta``.

The third approach of Hoffmann et al. 2022 (arXiv 2203.15556), as refitted by Besiroglu et al. 2024 (arXiv 2404.10102);
with one exponent for both terms it is the law of Gadre et al. 2024 (arXiv 2403.08540).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from data.schemas.scaling import TrainingRuns
from tasks.scaling.bootstrap import percentile, resampled
from tasks.scaling.fit import FitFailed
from tasks.scaling.fitted import Interval
from tasks.scaling.laws import Floats
from tasks.scaling.loss import LogHuber, Loss, huber_log_likelihood
from tasks.scaling.minimise import Prediction, minimise

FLOPS_PER_TOKEN = 6.0
"""Floating-point operations for each parameter and token of training."""

STARTS = np.array([[a, b, e, x, x] for a in (4.0, 8.0) for b in (5.0, 9.0) for e in (0.0, 0.7) for x in (0.3, 0.6)])
"""Coordinates log A, log B, log E, alpha, beta."""


@dataclass(frozen=True, slots=True)
class LossLaw:
    """``E + A / N^alpha + B / D^beta``, in nats per token.

    Args:
        A: weight of the parameters' term.
        B: weight of the tokens' term.
        E: what neither removes.
        alpha: exponent of parameters.
        beta: exponent of tokens.
    """

    A: float
    B: float
    E: float
    alpha: float
    beta: float

    def __call__(self, parameters: Floats | float, tokens: Floats | float) -> Floats:
        """Return the loss, of the arguments' shape."""
        n, d = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
        loss: Floats = self.E + self.A / n**self.alpha + self.B / d**self.beta
        return loss

    @property
    def exponent(self) -> float:
        """Exponent with which the best number of parameters grows with compute, beta / (alpha + beta)."""
        return self.beta / (self.alpha + self.beta)

    def best_parameters(self, compute: float) -> float:
        """Return the number of parameters with the least loss at ``compute`` operations, 6 N D."""
        ratio = (self.alpha * self.A / (self.beta * self.B)) ** (1.0 / (self.alpha + self.beta))
        return float(ratio * (compute / FLOPS_PER_TOKEN) ** self.exponent)

    def tokens_per_parameter(self, compute: float) -> float:
        """Return the best ratio of tokens to parameters at ``compute`` operations."""
        return float(compute / FLOPS_PER_TOKEN / self.best_parameters(compute) ** 2)

    @property
    def coordinates(self) -> Floats:
        """What is fitted, ``(5,)``."""
        return np.array([np.log(self.A), np.log(self.B), np.log(self.E), self.alpha, self.beta])


@dataclass(frozen=True, slots=True)
class LossFit:
    """A law fitted to training runs.

    Args:
        law: the parameters.
        objective: Huber's loss on logs, summed.
    """

    law: LossLaw
    objective: float


def fit_loss_law(
    runs: TrainingRuns,
    loss: Loss = LogHuber(1e-3),  # noqa: B008 - frozen
    *,
    weights: Floats | None = None,
    begin: LossLaw | None = None,
    one_exponent: bool = False,
) -> LossFit:
    """Return the law that fits ``runs`` best, from a grid of starts or from ``begin``.

    Args:
        runs: what was trained.
        loss: on logarithms.
        weights: of the runs, ``(runs,)``; ones where None.
        begin: begin there only.
        one_exponent: whether alpha and beta are the same.

    Raises:
        FitFailed: fewer runs than parameters.
    """
    free = 4 if one_exponent else 5
    if len(runs.names) < free:
        raise FitFailed(f"expected at least {free} runs for {free} parameters, found {len(runs.names)}")
    log_n, log_d, y = np.log(runs.parameters), np.log(runs.tokens), np.log(runs.loss)
    fold = np.eye(5)[:, :4] if one_exponent else np.eye(5)
    if one_exponent:
        fold[4, 3] = 1.0

    def predict(z: Floats) -> Prediction:
        full = _terms(fold @ z, log_n, log_d)
        return Prediction(full.log_value, full.gradient @ fold)

    starts = STARTS if begin is None else begin.coordinates[None, :]
    each = np.ones(len(y)) if weights is None else weights
    best = minimise(predict, y, loss, each, starts[:, :free], polish=begin is None)
    a, b, e, alpha, beta = fold @ best.z
    return LossFit(LossLaw(float(np.exp(a)), float(np.exp(b)), float(np.exp(e)), float(alpha), float(beta)), best.value)


def _terms(z: Floats, log_n: Floats, log_d: Floats) -> Prediction:
    """Return the log of a sum of exponentials, so that nothing overflows."""
    terms = np.stack([z[0] - z[3] * log_n, z[1] - z[4] * log_d, np.broadcast_to(z[2], log_n.shape)])
    total = np.logaddexp.reduce(terms)
    shares = np.exp(terms - total)
    slopes = np.stack([*shares, -shares[0] * log_n, -shares[1] * log_d], axis=1)
    return Prediction(total, slopes)


def objective(law: LossLaw, runs: TrainingRuns, loss: Loss = LogHuber(1e-3)) -> float:  # noqa: B008 - frozen
    """Return the summed loss of ``law`` on ``runs``."""
    predicted = np.log(law(runs.parameters, runs.tokens))
    return loss(predicted, np.log(runs.loss), np.ones(len(predicted))).total


def log_likelihood(law: LossLaw, runs: TrainingRuns, sigma: float, delta: float = 1e-3) -> float:
    """Return the log likelihood with noise of scale ``sigma``, Huber's tails beginning at ``delta`` sigmas."""
    residuals = np.log(runs.loss) - np.log(law(runs.parameters, runs.tokens))
    return huber_log_likelihood(residuals, sigma, delta)


@dataclass(frozen=True, slots=True)
class LikelyFit:
    """The likeliest law, when the scale of the noise is estimated with it.

    Args:
        law: the parameters.
        sigma: scale of the noise in log loss.
        log_likelihood: of the runs.
    """

    law: LossLaw
    sigma: float
    log_likelihood: float


def likeliest(runs: TrainingRuns, begin: LossLaw, delta: float = 1e-3) -> LikelyFit:
    """Return the law and noise under which ``runs`` are likeliest, Huber's tails beginning at ``delta`` sigmas.

    The scale-adjusted fit of Besiroglu et al.; :func:`log_likelihood` of another law can be compared with it.
    """
    log_n, log_d, y = np.log(runs.parameters), np.log(runs.tokens), np.log(runs.loss)

    def surprise(z: Floats) -> tuple[float, Floats]:
        at, sigma = _terms(z[:5], log_n, log_d), float(np.exp(z[5]))
        residuals = at.log_value - y
        inside = np.clip(residuals / sigma, -delta, delta)
        slopes = [*(inside @ at.gradient / sigma), len(y) - float(inside @ residuals) / sigma]
        return -huber_log_likelihood(residuals, sigma, delta), np.array(slopes)

    # nearly absolute residuals: a sigma is about delta times their mean
    noise = delta * float(np.mean(np.abs(y - np.log(begin(runs.parameters, runs.tokens)))))
    with np.errstate(all="ignore"):
        start = np.array([*begin.coordinates, np.log(noise)])
        found = minimize(surprise, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    a, b, e, alpha, beta = found.x[:5]
    law = LossLaw(float(np.exp(a)), float(np.exp(b)), float(np.exp(e)), float(alpha), float(beta))
    return LikelyFit(law, float(np.exp(found.x[5])), -float(found.fun))


def intervals(
    runs: TrainingRuns,
    fit: LossFit,
    rng: np.random.Generator,
    *,
    draws: int = 400,
    level: float = 0.95,
    loss: Loss = LogHuber(1e-3),  # noqa: B008 - frozen
) -> Mapping[str, Interval]:
    """Return percentile intervals of the parameters and of the exponent a, from runs drawn with replacement.

    Args:
        runs: that were fitted.
        fit: to them.
        rng: source of chance.
        draws: how many refits, each from the fitted law.
        level: of the intervals.
        loss: that was minimised.
    """
    count = len(runs.names)
    laws = [
        fit_loss_law(runs, loss, weights=resampled(np.arange(count), count, rng), begin=fit.law).law
        for _ in range(draws)
    ]
    names = ("A", "B", "E", "alpha", "beta", "exponent")
    return {
        name: percentile(name, getattr(fit.law, name), np.array([getattr(law, name) for law in laws]), level)
        for name in names
    }
