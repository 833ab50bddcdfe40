"""Layer 6. The vectors of a finished run, from its record and its stored parameters. Reads the store."""

from __future__ import annotations

import torch

from bench import registry
from bench.feature_controls import with_features
from bench.recbole_bridge import TrainingView, model_config
from bench.records import RunRecord
from bench.store import ResultsStore
from bench.types import BenchmarkData, FloatArray


def final_vectors(
    record: RunRecord, data: BenchmarkData, store: ResultsStore
) -> tuple[FloatArray, FloatArray] | None:
    """What the scores of a run are the dot products of.

    Args:
        record: a finished run.
        data: what it was made on.
        store: where its parameters lie.

    Returns:
        Vectors of users and of items without padding, `[n_users, D]` and `[n_items, D]`; None where the
        parameters are gone, damaged, or not those of the model as it is now.
    """
    state = store.read_checkpoint(record)
    if state is None:
        return None
    spec = record.spec
    seen = with_features(data, spec.features, spec.base_seed, spec.repetition)
    entry = registry.load(spec.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(record.seeds["init"])
        model = entry.model_class(model_config(entry.model_class.Params(**spec.params)), TrainingView(seen))
    try:
        model.load_state_dict(state)
    except RuntimeError:  # torch's word for names or shapes that differ
        return None
    with torch.no_grad():
        users, items = model.eval().embed()
    return users[1:].numpy(), items[1:].numpy()
