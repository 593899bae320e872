"""Which figures do the generators carry over from real clusters?

All were fitted by ``python -m data.generators.fit``, which prints them anew with quantiles beside those of the trace.
``ks`` bounds the distance found then. Only these figures are carried over; the traces stay outside the project.
"""

import math

from data.generators.marginals import ExpertSkew, HyperExponential, Line, LognormalMixture, NormalMixture, SizeMix

ARRIVALS = HyperExponential(weights=(0.2669, 0.5813, 0.1518), means_s=(3.66, 11.2, 269.69), ks=0.02)
"""Philly (Jeon et al. 2019, arXiv 1901.05758), 20,000 jobs of the Sia artefact; KS 0.015. The trace's gaps come in
runs (hourly counts vary by 1.4 of their mean); these draws are independent of one another."""

DIURNAL_AMPLITUDE = 0.29
"""First harmonic of Philly's hourly arrivals over their mean; its peak is at 06:00 in the trace's clock."""

DURATION_SINGLE_S = LognormalMixture(
    weights=(0.0695, 0.074, 0.2497, 0.0917, 0.0632, 0.4519),
    medians=(67.0, 94.0, 1949.0, 2125.0, 5603.0, 2991.0),
    sigmas=(0.112, 0.764, 0.536, 0.143, 0.079, 1.653),
    lowest=2.0,
    highest=2_750_674.0,
    ks=0.026,
)
"""Philly, jobs of one GPU; KS 0.022."""

DURATION_SEVERAL_S = LognormalMixture(
    weights=(0.2167, 0.2416, 0.361, 0.1808),
    medians=(16.0, 160.0, 74_172.0, 133_990.0),
    sigmas=(0.298, 1.561, 1.512, 0.469),
    lowest=2.0,
    highest=2_750_674.0,
    ks=0.03,
)
"""Philly, jobs of several GPUs; KS 0.025."""

PHILLY_SIZES = SizeMix(single=0.9645, ratio=0.604, largest=16, ks=0.005)
"""Philly's GPUs per job; KS 0.004."""

KALOS_SIZES = SizeMix(single=0.5, ratio=0.729, largest=1024, ks=math.nan)
"""Acme's Kalos (Hu et al. 2024, arXiv 2403.07648): mean 26.77, median 1, largest 1,024 GPUs per job matched; the
summary has no quantiles."""

GPU_POWER_W = NormalMixture(
    weights=(0.278, 0.05, 0.167, 0.105, 0.172, 0.229),
    means=(63.8, 73.5, 95.6, 119.5, 294.5, 398.2),
    sigmas=(2.1, 2.6, 4.0, 20.1, 93.5, 15.2),
    lowest=55.7,
    highest=599.7,
    ks=0.014,
)
"""Kalos, draw of an A100 (400 W); KS 0.009. The first two parts are GPUs that nobody holds."""

GPU_POWER_IDLE_PARTS = 2

UTILISATION = NormalMixture(
    weights=(0.128, 0.383, 0.488),
    means=(0.5848, 0.9768, 0.9999),
    sigmas=(0.2844, 0.0172, 0.003),
    lowest=0.01,
    highest=1.0,
    ks=0.031,
    nought=0.339,
)
"""Kalos, share of time in which a GPU works, in whole percents; KS 0.026. Two equal parts of the fit are joined."""

TEMPERATURE_C = Line(offset=26.14, slope=0.0792, sigma=3.92, ks=0.11)
"""Kalos, GPU temperature from watts; KS 0.10. Fitted through the quantiles of both, since the curves are not joined."""

THROUGHPUT_SHARE = NormalMixture(
    weights=(0.493, 0.507),
    means=(0.1875, 0.1338),
    sigmas=(0.04, 0.1067),
    lowest=0.0,
    highest=0.9478,
    ks=0.037,
    nought=0.634,
)
"""Acme's Seren, what an adapter sends as a share of its line rate; KS 0.032."""

CAP_LOSS = LognormalMixture(weights=(1.0,), medians=(1.738,), sigmas=(0.396,), lowest=0.05, highest=4.41, ks=0.1)
"""Zeus (You et al. 2023, arXiv 2208.06102), 130 workloads on four GPUs: ``a`` of
``speed = 1 - a (1 - cap / draw) ** 2``; KS 0.09."""

EXPERT_SKEW = ExpertSkew(sigma_median=0.666, sigma_spread=0.2, drift=0.892, ks=0.046)
"""DeepSeek-V3/R1, six recordings of 58 layers of 256 experts; KS 0.042. Drift is the median correlation of any two
recordings (0.67 to 0.99), as if a window lay between them."""

AFFINITY_SIGMA = 2.0
"""OLMoE-1B-7B (Muennighoff et al. 2024, arXiv 2409.02060), first choices of layers 0 to 7 and 7 to 15: share of a
source expert's tokens that go to its four largest targets; KS 0.12. Distant layers stand for adjacent ones."""

TOKENS_PER_REQUEST = LognormalMixture(
    weights=(0.2855, 0.6603, 0.0542),
    medians=(250.0, 1941.0, 7361.0),
    sigmas=(1.047, 0.632, 0.05),
    lowest=12.0,
    highest=7841.0,
    ks=0.032,
)
"""Azure's LLM inference trace of 2023, code (Patel et al. 2024, arXiv 2311.18677); KS 0.027."""

VOLUME_VARIATION = 0.34
"""The same: standard deviation over mean of the tokens in a window of 600 s (five windows only)."""
