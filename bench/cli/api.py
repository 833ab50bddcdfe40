"""The Python entry, `from bench import run, evaluate, load_data, load_results`: the commands as functions.

Each function does what its command does and writes the same files, and returns a data frame. A mistake raises a
`bench.core.errors.BenchError`, whose text says what to do.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import warnings
from collections.abc import Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from bench.core.errors import ResultsError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from bench.core.types import BenchmarkData
    from bench.runs.records import RunRecord

Names = str | Sequence[str]
# a flag for each value; other flags take several values at once
REPEATED = ("--set", "--plugin", "--data-dir", "--card-dir")
FROM_PYTHON = "python: "  # before the call in a record's command


def run(
    datasets: Names,
    models: Names | None = None,
    *,
    workers: int = 1,
    verbose: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Train and evaluate models, and write records, tables, report and leaderboard, as `ludp-bench run` does.

    Finished runs are kept: a repeated call returns their results at once.

    Args:
        datasets: one name or several, such as `"movielens"` or `"tiktok@shipped"`.
        models: one name or several, such as `["lightgcn", "ease"]`; None takes all models.
        workers: parallel processes. More than one needs `if __name__ == "__main__":` in a script.
        verbose: whether to print what the command prints.
        **options: any other option of `ludp-bench run`, with underscores: `seeds=5`, `profile="full"`,
            `epochs=10`, `offline=True`, `results_dir="results"`, `set={"lightgcn.n_layers": 2}`.

    Returns:
        One row per run of this call, see `bench.report.frame`; failed runs have the status "failed".

    Raises:
        BenchError: a name, an option or a file is wrong.
    """
    from bench.cli.options import parse
    from bench.cli.run import run as run_command
    from bench.report.frame import frame_of

    given = {"datasets": datasets, "models": models, "workers": workers, **options}
    words = [word for name, value in given.items() for word in words_of(name, value)]
    parsed = parse(words)
    how = parsed.how
    if parsed.check is not None or how.list_names or how.dry_run or how.status:
        raise UsageError("run() trains models. Use the command line for check, list, dry_run and status.")
    records: list[RunRecord] = []
    command = shlex.join(["ludp-bench", "run", *words])
    run_command(parsed, command, _console(verbose), records.extend)
    return frame_of(records)


def evaluate(
    recommendations: NDArray[Any] | pd.DataFrame | Mapping[Any, Sequence[Any]] | str | os.PathLike[str],
    dataset: str,
    *,
    name: str,
    part: Literal["test", "valid"] = "test",
    ids: Literal["own", "internal"] = "own",
    empty_if_missing: bool = False,
    verbose: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Evaluate the recommendations of another program, as `ludp-bench evaluate` does.

    The test part is evaluated once for each name and recorded, so that the result stands on the leaderboard,
    marked as that of another program. The validation part can be evaluated again and again; nothing is written.

    Args:
        recommendations: scores of all items `[n_users, n_items]` in the internal order of `load_data`; or a data
            frame with the columns user, item, and rank or score; or a mapping of users to items, best first; or
            the path of a file with one of them.
        dataset: name of the data set, with `@SPLIT` if it is not the card's own split.
        name: name of the program in tables.
        part: "test" or "valid".
        ids: whether users and items are the data set's own ids, or numbers from 0 in the internal order.
        empty_if_missing: whether a user without a list counts as zero; otherwise it is an error.
        verbose: whether to print what the command prints; otherwise remarks on the lists are warnings.
        **options: other options of `ludp-bench evaluate`, with underscores, such as `results_dir="results"`.

    Returns:
        One row with the columns of `run`. For the validation part it holds metrics of that part.

    Raises:
        BenchError: the recommendations do not fit the data; the message names every mistake with an example.
    """
    import pandas as pd

    from bench.cli.commands.evaluate import evaluate_and_record, parsed
    from bench.cli.main import with_cards_and_plugins
    from bench.report.frame import frame_of
    from bench.runs.foreign import check_program

    given_options = {"part": part, "ids": ids, "empty_if_missing": empty_if_missing, **options}
    words = [word for key, value in given_options.items() for word in words_of(key, value)]
    a = parsed(["--datasets", dataset, *words])
    given, file = _recommendations(recommendations)
    command = f"{FROM_PYTHON}bench.evaluate(..., {dataset!r}, name={name!r})"
    with with_cards_and_plugins(a):
        done = evaluate_and_record(given, file, check_program(name), command, a, _console(verbose))
    for note in () if verbose else done.notes:
        warnings.warn(note, stacklevel=2)
    shown = done.result
    if isinstance(shown, dict):
        return pd.DataFrame([{"dataset": done.dataset, "model": name, "part": part, **shown}])
    return frame_of([shown])


def load_data(dataset: str, **options: Any) -> BenchmarkData:
    """Load a data set with its split, to train a program of your own on the same parts.

    `data.split.train.users` and `.items` are the training pairs in internal numbers from 0, and `data.n_users` and
    `data.n_items` the shape of a matrix of scores for `evaluate`. `data.modalities` holds item features.

    Args:
        dataset: name of the data set, with `@SPLIT` if it is not the card's own split.
        **options: options of `ludp-bench evaluate` on data, with underscores: `data_dir`, `source`, `base_seed`.

    Raises:
        BenchError: the data set does not exist or cannot be read.
    """
    from bench.cli.commands.evaluate import load, parsed
    from bench.cli.declare import read_options
    from bench.cli.main import with_cards_and_plugins
    from bench.cli.options import DataOptions

    words = [word for name, value in options.items() for word in words_of(name, value)]
    a = parsed(["--datasets", dataset, *words])
    with with_cards_and_plugins(a):
        return load(dataset, read_options(DataOptions, a), a.profile, a.base_seed, _console(False))[0]


def load_results(results_dir: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Read all records of reported runs in a results directory.

    Args:
        results_dir: the directory; None takes that of the command line.

    Returns:
        One row per run, see `bench.report.frame`, with the lists of other programs.

    Raises:
        ResultsError: there is no record.
    """
    from bench.cli.options import RESULTS
    from bench.report.frame import frame_of
    from bench.report.leaderboard.rows import read_results

    root = RESULTS if results_dir is None else Path(results_dir)
    found = read_results(root)
    if not found.runs:
        raise ResultsError(f"There is no result record below {root / 'runs'}. Make runs with run() first.")
    return frame_of([file.record for file in found.runs])


def words_of(name: str, value: Any) -> list[str]:
    """Return the command-line words of an option that is given as a keyword: `results_dir="x"`, `offline=True`."""
    flag = f"--{name.replace('_', '-')}"
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    if isinstance(value, Mapping):  # as JSON, so that None, "1" and "true" arrive as what they are
        value = [f"{key}={json.dumps(each, default=_plain)}" for key, each in value.items()]
    values = [str(value)] if isinstance(value, str | os.PathLike | Number) else [str(each) for each in value]
    return [word for each in values for word in (flag, each)] if flag in REPEATED else [flag, *values]


def _plain(value: Any) -> Any:
    """Return the plain value of a scalar or array of numpy or torch, for JSON.

    Raises:
        UsageError: it is another object.
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    raise UsageError(f"A parameter cannot be a {type(value).__name__}. Give a number, text, bool, None or a list.")


class _Nowhere(io.StringIO):
    """A stream that keeps nothing, and is no terminal."""

    def write(self, text: str) -> int:
        return len(text)


def _console(verbose: bool) -> Console:
    from bench.cli.parser import make_console

    console = make_console()
    if not verbose:
        console.file = _Nowhere()
    return console


def _recommendations(given: object) -> tuple[pd.DataFrame | NDArray[Any], Path | None]:
    """Return lists or a matrix in the form that the checks take, and the path of their file; None without one.

    Raises:
        UsageError: they are of another type.
        DataError: a column is missing or a file cannot be read.
    """
    import numpy as np
    import pandas as pd

    from bench.data.topk_files import frame_of_frame, frame_of_lists, read_recommendations
    from bench.runs.foreign import read_scores

    if isinstance(given, str | os.PathLike):
        path = Path(given)
        return (read_scores(path) if path.suffix == ".npy" else read_recommendations(path)), path
    if isinstance(given, pd.DataFrame):
        return frame_of_frame(given), None
    if isinstance(given, Mapping):
        return frame_of_lists(given), None
    if isinstance(given, np.ndarray):
        return given, None
    raise UsageError(
        f"Recommendations of the type {type(given).__name__} were given. Give a numpy array of scores, a data "
        "frame, a dict of users and their items, or the path of a file."
    )
