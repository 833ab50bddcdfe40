"""Evaluation of what another program recommends: its lists or scores, under our protocol and evaluator.

Lists are checked against the data before they are evaluated, and every mistake is told with an example. The test
part of a data set is evaluated once for each name, as it is for each run; validation can be repeated. Writes a
record and the lists of the test part through `ResultsStore`.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.core.errors import BenchError, DataError, ResultsError, UsageError, listed, nearest_hint, one_line
from bench.core.files import check_plain, claim
from bench.core.hashing import SHORT, hash_array, hash_value
from bench.core.names import ALLOWED, FOREIGN, is_name
from bench.core.protocol import CUTOFFS, TOPK_DEPTH, Protocol
from bench.core.text import counted
from bench.core.types import BenchmarkData, IntArray, Metrics, MetricsByPart, TopK
from bench.data.columns import as_texts
from bench.data.raw import RawData
from bench.engine.evaluate import Evaluation, Evaluator
from bench.runs.foreign_terms import IDS, WORDS, HeldOut, Ids, export_command
from bench.runs.list_files import StoredLists
from bench.runs.machine import describe
from bench.runs.record_files import run_key
from bench.runs.records import DataFacts, ForeignLists, ProtocolFacts, RunRecord, RunSpec
from bench.runs.store import ResultsStore

if TYPE_CHECKING:
    import pandas as pd

    from bench.core.types import BoolArray

CPU = torch.device("cpu")
BLOCK_ROWS = 1024  # of a score matrix, when it is searched for NaN


@dataclass(frozen=True, eq=False)
class Given:
    """What another program gave, checked against the data and ready to be evaluated.

    Attributes:
        model: lists, or scores of all items.
        form: which of the two.
        notes: remarks for the user and the record.
    """

    model: TopK | ScoreMatrix
    form: Literal["lists", "scores"]
    notes: tuple[str, ...]

    @property
    def content_hash(self) -> str:
        """Return the hash of the lists or scores, by which they are known again without being evaluated."""
        model = self.model
        arrays = [model.matrix] if isinstance(model, ScoreMatrix) else [model.users, model.items]
        return hash_value([hash_array(each) for each in arrays])


class ScoreMatrix:
    """Scores of all items for all users by their internal numbers, as the evaluator asks for them.

    Args:
        matrix: `[n_users, n_items]`; may be a memory map.
    """

    def __init__(self, matrix: NDArray[Any]) -> None:
        self.matrix = matrix

    def score_users(self, users: Tensor) -> Tensor:
        """Return scores `[len(users), n_items + 1]`, in RecBole's ids: user 1 is row 0, column 0 is padding."""
        rows = np.asarray(self.matrix[users.cpu().numpy() - 1])
        rows = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)
        return torch.nn.functional.pad(torch.from_numpy(np.ascontiguousarray(rows)), (1, 0), value=-torch.inf)


def read_scores(path: Path) -> NDArray[Any]:
    """Open a matrix of scores in numpy's format; its content stays on disk.

    Raises:
        DataError: it is missing, or not a file in numpy's format.
    """
    try:
        check_plain(path)
        return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except BenchError:
        raise
    except Exception as problem:  # numpy documents no closed list of what malformed files raise
        raise DataError(
            f"{path} cannot be read as a matrix ({one_line(problem)}). Write it with numpy.save(FILE, scores), "
            "one row per user and one column per item."
        ) from problem


def check_scores(matrix: NDArray[Any], data: BenchmarkData, raw: RawData, where: str = "The matrix") -> Given:
    """Check a matrix of scores.

    Args:
        matrix: scores of all items for all users, the higher the better; minus infinity is never recommended.
        data: the data set.
        raw: its original ids, for messages.
        where: the matrix in messages.

    Raises:
        DataError: its shape or type is wrong, or it holds NaN.
    """
    wanted, shape = (data.n_users, data.n_items), matrix.shape
    hints: dict[tuple[int, ...], str] = {
        wanted[::-1]: " It looks transposed.",
        (wanted[0] + 1, wanted[1] + 1): " Leave out row 0 and column 0, RecBole's padding.",
        (len(np.unique(data.split.test.users)), wanted[1]): " It seems to leave out users without test items.",
    }
    if shape != wanted:
        raise DataError(
            f"{where} has the shape {shape}; {data.name} needs {wanted}, users x items in the order of the files "
            f"users.csv and items.csv that '{export_command(data.name)}' writes.{hints.get(shape, '')}"
        )
    if matrix.dtype.kind not in "fiub":
        raise DataError(f"{where} is of type {matrix.dtype}; scores are numbers. Save it as float32.")
    n_short = 0
    for start in range(0, len(matrix), BLOCK_ROWS):
        block = matrix[start : start + BLOCK_ROWS]
        n_short += int(((block > -np.inf).sum(axis=1) < TOPK_DEPTH).sum())
        odd = np.isnan(block)
        if odd.any():
            row, column = (int(each[0]) for each in np.nonzero(odd))
            user = as_texts(raw.user_ids, data.n_users)[start + row]
            item = as_texts(raw.item_ids, data.n_items)[column]
            raise DataError(
                f"{where} holds NaN, for example for user '{user}' and item '{item}' (row {start + row}, column "
                f"{column}). Give every pair a number; -inf for an item that is never recommended."
            )
    few = f"{n_short:,} users have fewer than {TOPK_DEPTH} items above -inf; each missing place counts as a miss."
    return Given(ScoreMatrix(matrix), "scores", (few,) if n_short else ())


def check_lists(
    rows: pd.DataFrame,
    data: BenchmarkData,
    raw: RawData,
    protocol: Protocol,
    part: HeldOut = "test",
    ids: Ids = "own",
    empty_if_missing: bool = False,
    where: str = "The lists",
) -> Given:
    """Check lists against the data, and order them.

    Args:
        rows: columns `user`, `item` and `place`, see `bench.data.topk_files`.
        data: the data set.
        raw: its original ids.
        protocol: says which items are hidden.
        part: the part whose users have lists.
        ids: what the ids of `rows` are.
        empty_if_missing: whether a user without a list counts as zero; otherwise it is an error.
        where: the lists in messages.

    Raises:
        DataError: the lists hold unknown ids, an item twice or a hidden item, or users are missing. The message
            names every mistake with an example.
    """
    names = _names(data, raw, ids)
    users, items = (_numbered(rows[kind], kind, *names, data, ids, where) for kind in ("user", "item"))
    order = np.lexsort(
        (items, rows["place"].to_numpy(), users)
    )  # equal places: the lower item first, as for models
    users, items, places = users[order], items[order], rows["place"].to_numpy()[order]
    problems = _repeated(users, items, names, data)
    problems += _hidden(users, items, names, data, protocol, part)
    wanted = np.unique(data.split.part(part).users)
    missing = np.setdiff1d(wanted, users)
    if len(missing) and not empty_if_missing:
        problems.append(
            f"{len(missing):,} of {len(wanted):,} users with {WORDS[part]} items have no list, for example "
            f"'{names[0][missing[0]]}'; give them one, or count them as zero with --empty-if-missing"
        )
    if problems:
        raise DataError(f"{where} cannot be evaluated on {data.name}: {'; '.join(problems)}. Nothing was written.")
    topk = _topk(users, items, wanted, data.n_users)
    n_ties = int(((users[1:] == users[:-1]) & (places[1:] == places[:-1])).sum())
    return Given(topk, "lists", tuple(_remarks(topk, users, missing, n_ties, names, part)))


def _names(data: BenchmarkData, raw: RawData, ids: Ids) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Return the ids of all users and items as the lists write them."""
    own = ids == "own"
    users, items = (raw.user_ids, raw.item_ids) if own else (None, None)
    return as_texts(users, data.n_users), as_texts(items, data.n_items)


def _numbered(
    given: pd.Series[Any],
    kind: str,
    users: NDArray[np.object_],
    items: NDArray[np.object_],
    data: BenchmarkData,
    ids: Ids,
    where: str,
) -> IntArray:
    """Return the internal number of each id.

    Raises:
        DataError: the data set does not have an id.
    """
    import pandas as pd

    known = users if kind == "user" else items
    codes, distinct = pd.factorize(given)
    numbers = pd.Index(known).get_indexer(pd.Index(distinct))
    odd = np.flatnonzero(numbers < 0)
    if len(odd):
        first = str(distinct[odd[0]])
        total = f"{len(odd):,} of {len(distinct):,} {kind}s"
        near = nearest_hint(first, known[: 1 << 14])
        other = "own" if ids == "internal" else "internal"
        raise DataError(
            f"{where}: {data.name} does not have {total}, for example '{first[:80]}'.{near} Its {kind} ids look "
            f"like {listed(repr(each) for each in known[:3])}; --ids {other} takes {IDS[other]}."
        )
    found: IntArray = numbers[codes].astype(np.int64)
    return found


def _repeated(
    users: IntArray, items: IntArray, names: Sequence[NDArray[np.object_]], data: BenchmarkData
) -> list[str]:
    keys = users * data.n_items + items
    distinct, counts = np.unique(keys, return_counts=True)
    twice = distinct[counts > 1]
    if not len(twice):
        return []
    user, item = names[0][twice[0] // data.n_items], names[1][twice[0] % data.n_items]
    stand = counted(len(twice), "item stands", "items stand")
    return [f"{stand} twice in a list, for example '{item}' in that of user '{user}'; leave one of each out"]


def _hidden(
    users: IntArray,
    items: IntArray,
    names: Sequence[NDArray[np.object_]],
    data: BenchmarkData,
    protocol: Protocol,
    part: HeldOut,
) -> list[str]:
    """Return the problem of recommended items that no model may recommend to the user, by the part they are in."""
    hidden = Evaluator(data, protocol, CPU).hidden(part)
    keys = users * data.n_items + items
    problems = []
    for words, known in (("training", data.split.train.keys), ("validation", data.split.valid.keys)):
        odd = np.flatnonzero(np.isin(keys, known) & np.isin(keys, hidden.keys))
        if len(odd):
            user, item = names[0][users[odd[0]]], names[1][items[odd[0]]]
            problems.append(
                f"{len(odd):,} recommended items are in the {words} part of their user, for example '{item}' of "
                f"user '{user}'; every model here skips such items, so leave them out, unless the lists were made "
                f"for another split than {DataFacts.of(data).label}: then name theirs, as NAME@SPLIT"
            )
    return problems


def _topk(users: IntArray, items: IntArray, wanted: IntArray, n_users: int) -> TopK:
    """Return the first items of the wanted users; `users` is ascending, and the best item of each stands first."""
    lists = np.full((len(wanted), TOPK_DEPTH), -1, dtype=np.int64)
    starts = np.searchsorted(users, users)
    ranks = np.arange(len(users)) - starts
    rows = np.searchsorted(wanted, users).clip(max=max(len(wanted) - 1, 0))
    kept: BoolArray = (wanted[rows] == users) & (ranks < TOPK_DEPTH) if len(wanted) else np.zeros(len(users), bool)
    lists[rows[kept], ranks[kept]] = items[kept]
    return TopK(wanted, lists, n_users - len(wanted))


def _remarks(
    topk: TopK,
    users: IntArray,
    missing: IntArray,
    n_ties: int,
    names: Sequence[NDArray[np.object_]],
    part: HeldOut,
) -> list[str]:
    """Return what the user should know about lists that are evaluated as they are."""
    notes, n = [], len(topk.users)
    more = np.setdiff1d(users, topk.users)
    if len(more):
        example = names[0][more[0]]
        notes.append(
            f"{len(more):,} users have no {WORDS[part]} items and are not counted, for example '{example}'."
        )
    if len(missing):
        notes.append(f"{len(missing):,} of {n:,} users have no list and count as zero, for example "
                     f"'{names[0][missing[0]]}'.")  # fmt: skip
    lengths = (topk.items >= 0).sum(axis=1)
    for cutoff in CUTOFFS:
        short = np.flatnonzero(lengths < cutoff)
        if len(short):
            first = short[0]
            notes.append(
                f"{len(short):,} of {n:,} lists have fewer than {cutoff} items, for example that of user "
                f"'{names[0][topk.users[first]]}' with {lengths[first]}: metrics at {cutoff} count them as they "
                "are, and each missing place as a miss."
            )
    if n_ties:
        notes.append(
            f"{n_ties:,} neighbours in the lists have equal ranks or scores; the lower item id comes first."
        )
    return notes


def check_program(name: str, is_of_file: bool = False) -> str:
    """Return the name of a program whose lists are evaluated, unchanged.

    Args:
        name: of the program.
        is_of_file: whether the user gave none, so that it is the name of the file.

    Raises:
        UsageError: it cannot become the name of a file.
    """
    if not is_name(name):
        said, fix = f"--name '{name[:80]}'", ""
        if is_of_file:
            said, fix = f"Without --name, the name of the file, '{name[:80]}',", " Give --name LABEL."
        raise UsageError(f"{said} becomes the name of a folder; it takes {ALLOWED}.{fix}")
    return name


def evaluate_valid(given: Given, data: BenchmarkData, protocol: Protocol) -> Evaluation:
    """Evaluate the validation part. Nothing is written, and it can be repeated, to choose among settings."""
    return Evaluator(data, protocol, CPU).valid(given.model)


def evaluate_test(
    given: Given,
    program: str,
    data: BenchmarkData,
    protocol: Protocol,
    store: ResultsStore,
    file: str = "",
    command: str = "",
) -> tuple[RunRecord, bool]:
    """Evaluate the test part and write the record with its lists, unless this name was evaluated before.

    Of several processes that evaluate one name on the same data, one does and the others wait for it.

    Args:
        given: checked lists or scores.
        program: name for tables, see `check_program`.
        data: the data set.
        protocol: the evaluation protocol, which decides the table that the result stands in.
        store: the results directory.
        file: name of the file that held the lists.
        command: command line, for the record.

    Returns:
        The record, and whether it is new; lists or scores that were evaluated before are not evaluated again.

    Raises:
        ResultsError: other lists of this name were evaluated on this data before, under any protocol; or a file
            cannot be written.
    """
    store.check_writable()
    spec = RunSpec(
        dataset=data.name, model=f"{FOREIGN}{program}", repetition=0, base_seed=0, max_epochs=0, params={}
    )  # fmt: skip
    folder = store.record_path("", protocol, data.name, data.source, spec).parent
    name = hash_value([folder.parent.name, folder.name])  # for all protocols, which share the test part
    with claim(store.claim_path(f"lists-{name}"), on_wait=lambda: None):
        earlier = _earlier(given, program, data, protocol, store, folder)
        if earlier is not None:
            return earlier, False
        evaluation = Evaluator(data, protocol, CPU).test(given.model)
        record = _record(given, spec, data, protocol, evaluation, file, command)
        store.write_topk(record.key, evaluation.topk, evaluation.per_user)
        store.write_record(folder / f"{record.key}.json", record)  # last, so that a record is complete
    return record, True


def _earlier(
    given: Given, program: str, data: BenchmarkData, protocol: Protocol, store: ResultsStore, folder: Path
) -> RunRecord | None:
    """Return the record of an earlier evaluation of the same lists or scores; None if they are new here.

    Raises:
        ResultsError: other lists of this name were evaluated on this data, under this protocol or another one.
    """
    found = None
    here = "/".join(map(glob.escape, (folder.parent.name, folder.name)))
    of_any_protocol = folder.parent.parent.parent.glob(f"*/{here}/*.json")
    for path in sorted(of_any_protocol):
        earlier = store.read(path)
        if not isinstance(earlier, RunRecord) or earlier.foreign is None:
            continue
        if (earlier.data.data_hash, earlier.data.split_hash) != (data.data_hash, data.split_hash):
            continue
        if earlier.foreign.given_hash == given.content_hash:
            found = earlier if earlier.protocol.protocol == protocol else found
            continue
        raise ResultsError(
            f"Other lists of '{program}' were evaluated on the test part of {data.name} before, on "
            f"{earlier.started[:10]}. The test part is for one final result: choose settings with --part "
            f"valid, and give another program another --name. If those lists were wrong, remove {path}."
        )
    return found


def _record(
    given: Given,
    spec: RunSpec,
    data: BenchmarkData,
    protocol: Protocol,
    evaluation: Evaluation,
    file: str,
    command: str,
) -> RunRecord:
    facts, topk = DataFacts.of(data), evaluation.topk
    lists_hash = StoredLists(topk.users, topk.items, evaluation.per_user).content_hash
    code = lists_hash[:SHORT]
    lengths = (topk.items >= 0).sum(axis=1)
    foreign = ForeignLists(
        file=file,
        form=given.form,
        longest=int(lengths.max(initial=0)),
        n_empty=int((lengths == 0).sum()),
        notes=list(given.notes),
        given_hash=given.content_hash,
    )
    return RunRecord(
        key=run_key(spec, facts, protocol, code),
        status="finished",
        spec=spec,
        data=facts,
        protocol=ProtocolFacts.of(protocol),
        code_hash=code,
        seeds={},
        command=command,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=describe(CPU),
        metrics=MetricsByPart(
            valid=Metrics(values={}, n_users=0, n_skipped=data.n_users), test=evaluation.metrics
        ),
        lists_hash=lists_hash,
        foreign=foreign,
    )
