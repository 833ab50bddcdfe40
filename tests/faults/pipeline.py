"""Faults in the evaluation, the sampling, the training loop, the bridge and the plan."""
# ruff: noqa: E501

from faults import Fault

RANKING, METRICS = "tests/unit/test_ranking.py", "tests/unit/test_metrics.py"
SAMPLING, TRAIN = "tests/unit/test_sampling.py", "tests/unit/test_train.py"

FAULTS = [
    Fault("mask 1e-5", "bench/ranking.py", "scores[rows, columns] = -torch.inf", "scores[rows, columns] = 1e-5", RANKING),
    Fault("no mask of validation items", "bench/evaluate.py", "[split.train, split.valid] if", "[split.train] if", RANKING),
    Fault("test items hidden at validation", "bench/evaluate.py", "_union([split.train])", "_union([split.train, split.test])", RANKING),
    Fault("ties as the library likes", "bench/ranking.py", "values[tied], indices[tied] =", "_ =", RANKING),
    Fault("padding column kept", "bench/recbole_bridge.py", "return scores[:, 1:]", "return scores[:, :-1]", RANKING),
    Fault("test evaluated twice", "bench/evaluate.py", "self._test_done = True", "self._test_done = False", RANKING),
    Fault("ideal DCG over all positives", "bench/metrics.py", "ideal[np.minimum(n_held_out, k)]", "ideal[np.minimum(hits[:, :k].sum(axis=1).clip(1), k)]", METRICS),
    Fault("DCG off by one", "bench/metrics.py", "np.arange(2, k + 2)", "np.arange(3, k + 3)", METRICS),
    Fault("recall over min(held-out, K)", "bench/metrics.py", "/ n_held_out", "/ np.minimum(n_held_out, k)", METRICS),
    Fault("short lists hit", "bench/metrics.py", " & (topk.items >= 0)", "", METRICS),
    Fault("negatives from training items", "bench/sampling.py", "return r + taken_below", "return r", SAMPLING),
    Fault("negatives not shuffled along", "bench/sampling.py", "self.negatives(generator)[order]", "self.negatives(generator)", SAMPLING),
    Fault("last epoch instead of the best", "bench/train.py", "scores[SELECTION_METRIC] > result.best_score", "True", TRAIN),
    Fault("a tie counts as better", "bench/train.py", "scores[SELECTION_METRIC] > result.best_score", "scores[SELECTION_METRIC] >= result.best_score", TRAIN),
    Fault("patience off by one", "bench/train.py", ">= settings.patience", "> settings.patience", TRAIN),
    Fault("NaN goes on", "bench/train.py", "broken = (~torch.isfinite(stacked)).nonzero()", "broken = stacked[:0]", TRAIN),
    Fault("features one row off", "bench/recbole_bridge.py", "np.concatenate([np.zeros((1, modality.dim), dtype=np.float32), modality.matrix])", "np.concatenate([modality.matrix, np.zeros((1, modality.dim), dtype=np.float32)])", "tests/numeric/test_golden.py"),
    Fault("seed without the repetition", "bench/recording.py", "(spec.dataset, spec.model, spec.repetition)", "(spec.dataset, spec.model, 0)", "tests/pipeline/test_run_all.py -k nothing_to_tables"),
    Fault("key without the data", "bench/plan.py", "[data.data_hash, data.split_hash]", "[]", "tests/unit/test_plan.py -k key_changes"),
]  # fmt: skip
