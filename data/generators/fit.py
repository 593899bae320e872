"""How do the figures of ``fitted.py`` come out of the traces, and how well do they fit?

``python -m data.generators.fit [--data FOLDER]`` fits them anew and prints each with its distance and quantiles.
"""

import argparse
import sys
from pathlib import Path

from data.generators.fit_marginals import (
    Fit,
    fit_arrivals,
    fit_duration,
    fit_gang_ratio,
    fit_gpu_power,
    fit_sizes,
    fit_throughput,
    fit_utilisation,
    folder_of_traces,
    report,
)
from data.generators.fit_relations import (
    fit_affinity,
    fit_cap_loss,
    fit_expert_skew,
    fit_temperature,
    fit_tokens,
    volume_variation,
)


def all_fits(data: Path) -> tuple[Fit, ...]:
    """Fit everything that has a trace to be held against.

    Raises:
        OSError: a trace is not in ``data``.
    """
    return (
        fit_arrivals(data),
        fit_duration(data, single=True),
        fit_duration(data, single=False),
        fit_sizes(data),
        fit_gpu_power(data),
        fit_utilisation(data),
        fit_throughput(data),
        fit_temperature(data),
        fit_cap_loss(data),
        fit_expert_skew(data),
        fit_affinity(data),
        fit_tokens(data),
    )


def main() -> int:
    """Print the fits; exit code 1 where the traces are missing."""
    parser = argparse.ArgumentParser(description="Fit the figures that the generators carry over from real traces.")
    parser.add_argument("--data", type=Path, default=folder_of_traces(), help="folder of the traces (%(default)s)")
    data: Path = parser.parse_args().data
    try:
        print(report(all_fits(data)))
        print(f"KALOS_SIZES  from acme_cdf/cluster_summary.csv: mean and median only\n  {fit_gang_ratio(data)}")
        print(f"VOLUME_VARIATION  {volume_variation(data):.3f} over windows of 600 s")
    except OSError as error:
        print(f"the traces cannot be read: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
