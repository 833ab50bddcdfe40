"""What a command line asks for, as settings of runs and of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.cli.options import Options
from bench.core.errors import UsageError
from bench.runs.dask import connected
from bench.runs.events import check_tensorboard
from bench.runs.machine import check_device_name, divide_cores, pick_device, usable_cores
from bench.runs.plan import with_shared
from bench.runs.task import Cluster, RunOptions, check_on_existing
from bench.runs.tuning.pruning import MEDIAN
from bench.runs.tuning.search import TuningSettings, check_sampler

if TYPE_CHECKING:
    pass


def run_options_of(options: Options, command: str) -> RunOptions:
    """What is the same for all runs.

    Raises:
        UsageError: an unknown device or policy, or more workers and threads than there are cores.
    """
    if options.tensorboard:
        check_tensorboard()
    cluster = None if options.scheduler is None else cluster_of(options, options.scheduler)
    device = pick_device("cpu" if cluster else options.device)
    if cluster is None:  # for its error only, before data is read; how many runs are due is not known yet
        divide_cores(options.n_workers, options.n_threads, 1, device, usable_cores())
    return RunOptions(
        protocol=options.protocol,
        device=device,
        on_existing=check_on_existing(options.on_existing),
        command=command,
        cache_dir=options.cache_dir,
        n_workers=options.n_workers,
        n_threads=options.n_threads,
        cluster=cluster,
        tensorboard=options.tensorboard,
        plugins=options.plugins,
    )


def cluster_of(options: Options, address: str) -> Cluster:
    """The Dask cluster at an address, found to answer.

    Raises:
        UsageError: it does not, or the device is unknown, or `--workers` is given, which is the cluster's affair.
    """
    if options.n_workers is not None:
        raise UsageError(
            f"--workers {options.n_workers} is for runs on this machine; with --executor dask as many are made "
            f"side by side as the cluster has workers for. Leave it out."
        )
    cluster = Cluster(address, check_device_name(options.device), options.n_threads or 1)
    with connected(cluster):
        return cluster


def tuning_settings_of(options: Options, labels: Sequence[str], max_epochs: int) -> TuningSettings | None:
    """What `--tune` or `--tune-minutes` asks for; None without them.

    What was found with fewer epochs than usual is not written beside the models' files unless that is asked for.

    Args:
        options: the command line.
        labels: models of the call.
        max_epochs: upper bound on epochs.

    Raises:
        UsageError: an unknown sampler, or a value for all models that none of them has a parameter for.
    """
    fixed = with_shared(labels, options.everywhere, options.overrides)
    asked = options.search
    if asked is None:
        return None
    return TuningSettings(
        budget=asked.budget,
        sampler=check_sampler(asked.sampler),
        max_epochs=max_epochs,
        base_seed=options.base_seed,
        overrides=fixed,
        rule=MEDIAN if asked.is_pruned else None,
        n_settings=asked.n_settings,
        n_seeds=asked.n_seeds,
        may_write=asked.is_saved or max_epochs >= options.usual_epochs,
    )
