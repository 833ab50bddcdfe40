"""Convert options of the command line to settings of runs and of a search.

Looks for devices and contacts the Dask scheduler; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.cli.options import HowOptions, Options
from bench.core.errors import UsageError
from bench.core.protocol import Protocol
from bench.runs.dask import connected
from bench.runs.events import check_tensorboard
from bench.runs.machine import check_device_name, divide_cores, pick_device, usable_cores
from bench.runs.plan import merge_overrides
from bench.runs.task import Cluster, RunOptions, check_on_existing
from bench.runs.tuning.pruning import MEDIAN
from bench.runs.tuning.search import TuningSettings, check_sampler


def run_options_of(options: Options, command: str) -> RunOptions:
    """Build the options that all runs share.

    Raises:
        UsageError: the device or policy is unknown, or there are more workers and threads than cores.
    """
    how = options.how
    if how.tensorboard:
        check_tensorboard()
    cluster = None if how.scheduler is None else cluster_of(how, how.scheduler)
    device = pick_device("cpu" if cluster else how.device)
    if cluster is None:  # only for its error, before data is read; the number of due runs is not known yet
        divide_cores(how.n_workers, how.n_threads, 1, device, usable_cores())
    return RunOptions(
        protocol=options.protocol,
        device=device,
        on_existing=check_on_existing(how.on_existing),
        command=command,
        cache_dir=options.data.cache_dir,
        n_workers=how.n_workers,
        n_threads=how.n_threads,
        cluster=cluster,
        tensorboard=how.tensorboard,
        plugins=options.what.plugins,
    )


def cluster_of(how: HowOptions, address: str) -> Cluster:
    """Connect to the Dask cluster at an address, and return its description.

    Raises:
        UsageError: the cluster does not answer, the device is unknown, or `--workers` is given.
    """
    if how.n_workers is not None:
        raise UsageError(
            f"--workers {how.n_workers} is for runs on this machine; with --executor dask, the workers of the "
            f"cluster set the number of parallel runs. Leave it out."
        )
    cluster = Cluster(address, check_device_name(how.device), how.n_threads or 1)
    with connected(cluster):
        return cluster


def tuning_settings_of(options: Options, labels: Sequence[str], max_epochs: int) -> TuningSettings | None:
    """Build the settings of the search from `--tune` or `--tune-minutes`; None without them.

    Values that a search found under another protocol than the default, or another cap on epochs, are written
    beside the models' files only on request: later calls would use them under the default protocol.

    Args:
        options: the command line.
        labels: models of the call.
        max_epochs: upper bound on epochs.

    Raises:
        UsageError: the sampler is unknown, or no model has the parameter of a value for all models.
    """
    what, search, budget = options.what, options.search, options.search.budget
    overrides = merge_overrides(labels, what.everywhere, what.overrides)  # before the return, for its errors
    if budget is None:
        return None
    return TuningSettings(
        budget=budget,
        sampler=check_sampler(search.sampler),
        max_epochs=max_epochs,
        base_seed=what.base_seed,
        overrides=overrides,
        rule=MEDIAN if search.is_pruned else None,
        n_settings=search.n_settings,
        n_seeds=search.n_seeds,
        may_write=search.is_saved or (options.protocol == Protocol() and max_epochs == Protocol().max_epochs),
    )
