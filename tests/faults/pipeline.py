"""Faults in the evaluation, the sampling, the training loop, the bridge and the plan."""
# ruff: noqa: E501

from faults import Fault

RANKING, METRICS = "tests/unit/test_ranking.py", "tests/unit/test_metrics.py"
SAMPLING, TRAIN = "tests/unit/test_sampling.py", "tests/unit/test_train.py"
RESUME, GOING_ON = "tests/contract/test_resume.py", "tests/unit/test_going_on.py"
STATES, CLAIMS = "tests/unit/test_checkpoint.py", "tests/unit/test_claims.py"
PROTOCOL = "tests/unit/test_protocol.py"
EVALUATE = "tests/pipeline/test_evaluate.py"

FAULTS = [
    Fault("mask 1e-5", "hide", "scores[rows, columns] = -torch.inf", "scores[rows, columns] = 1e-5", RANKING, slow=True),
    Fault("no mask of validation items", "Evaluator.__init__", "[split.train, split.valid] if", "[split.train] if", RANKING, slow=True),
    Fault("test items hidden at validation", "Evaluator.__init__", "_union([split.train])", "_union([split.train, split.test])", RANKING, slow=True),
    Fault("ties as the library likes", "stable_topk", "values[tied], indices[tied] =", "_ =", RANKING),
    Fault("validation: lists with a hit left empty", "surely_beaten", "n_above.ge(depth)", "n_above.ge(depth // 4)", RANKING),
    Fault("padding column kept", "without_padding", "return scores[:, 1:]", "return scores[:, :-1]", RANKING, slow=True),
    Fault("test evaluated twice", "Evaluator.test", "self._test_done = True", "self._test_done = False", RANKING, slow=True),
    Fault("ideal DCG over all positives", "ndcg", "ideal[np.minimum(n_held_out, k)]", "ideal[np.minimum(hits[:, :k].sum(axis=1).clip(1), k)]", METRICS, slow=True),
    Fault("DCG off by one", "ndcg", "np.arange(2, k + 2)", "np.arange(3, k + 3)", METRICS, slow=True),
    Fault("recall over min(held-out, K)", "recall", "/ n_held_out", "/ np.minimum(n_held_out, k)", METRICS),
    Fault("short lists hit", "hit_matrix", " & (topk.items >= 0)", "", METRICS, slow=True),
    Fault("negatives from training items", "TripleSampler.negatives", "(free_rank + taken_below).long()", "free_rank.long()", SAMPLING, slow=True),
    Fault("negatives: what a few looks leave open stays open", "_Ranks._refine", "counts[rest] = self._search(queries[rest])", "pass", SAMPLING, slow=True),
    Fault("negatives not shuffled along", "TripleSampler.epoch", "self.negatives(generator)[order]", "self.negatives(generator)", SAMPLING, slow=True),
    Fault("last epoch instead of the best", "train", "score > result.best_score", "True", TRAIN, slow=True),
    Fault("a tie counts as better", "train", "score > result.best_score", "score >= result.best_score", TRAIN, slow=True),
    Fault("patience off by one", "_is_over", ">= settings.patience", "> settings.patience", TRAIN, slow=True),
    Fault("NaN goes on", "_train_epoch", "broken = (~torch.isfinite(stacked)).nonzero()", "broken = stacked[:0]", TRAIN, slow=True),
    Fault("features one row off", "padded", "np.concatenate([np.zeros((1, modality.dim), dtype=np.float32), modality.matrix])", "np.concatenate([modality.matrix, np.zeros((1, modality.dim), dtype=np.float32)])", "tests/numeric/test_golden.py", slow=True),
    Fault("seed without the repetition", "seeds_of", "spec.repetition, *stage", "0, *stage", "tests/pipeline/test_run_all.py -k nothing_to_tables", slow=True),
    Fault("key without the data", "run_key", "[data.data_hash, data.split_hash]", "[]", "tests/unit/test_plan.py -k key_changes", slow=True),
    Fault("resumed without Adam's moments", "Training.restore", "if moments:", "if False:", RESUME, slow=True),
    Fault("resumed with other triples", "Training.restore", 'self.generator.set_state(given["random/triples"])', "pass", RESUME, slow=True),
    Fault("resumed with other dropout", "Training.restore", 'torch.set_rng_state(given["random/cpu"])', "pass", RESUME, slow=True),
    Fault("resumed with the first item graphs", "Training.state", "if name not in own and buffer is not self._first_buffers.get(name):", "if False:", f"{RESUME} -k ludp", slow=True),
    Fault("resumed without the best epoch", "Checkpoint.keep", 'if result.best_epoch < len(result.curve):', "if False:", f"{RESUME} -k mf", slow=True),
    Fault("checksum not compared", "_contents", "if checksum != _checksum(tensors, texts):", "if False:", STATES, slow=True),
    Fault("another state's facts", "Checkpoint._read", "if facts.get(name) != value:", "if False:", STATES),
    Fault("the last state removed first", "Checkpoint.keep", "write_bytes(path, content, durable=flush)", "[old.unlink() for old in before]; write_bytes(path, content, durable=flush)", f"{GOING_ON} -k full_disk", slow=True),
    Fault("a lock on a file that is gone", "_lock", "if path.exists() and os.path.samestat(path.stat(), os.fstat(handle)):", "if True:", f"{CLAIMS} -k turns"),
    Fault("leftovers of the living removed", "remove_leftovers", "            if ours:\n                path.unlink()", "            path.unlink()", CLAIMS, slow=True),
    Fault("threads by what is left", "_cores", "n_runs = len({each.key for each in plan})", "n_runs = len(due)", f"{GOING_ON} -k threads"),
    Fault("threads of now", "Checkpoint.load", "self.state, self.n_threads = self._read(path)", "self.state, _ = self._read(path)", f"{GOING_ON} -k interrupted_run", slow=True),
    Fault("a lost run over a finished one", "record_lost_run", "    with claim(store.claim_path(record.key)) as ours:\n        existing = store.read(task.path)", "    with claim(store.claim_path(record.key)) as ours:\n        existing = None", f"{GOING_ON} -k left_or_waited", slow=True),
    Fault("the end of a worker taken for a defect", "_serve", "if ending.is_set():", "if False:", f"{GOING_ON} -k records_no_defect", slow=True),
    Fault("downloads: a wrong file is kept", "mismatch", "            if found != expected:", "            if False:", "tests/data/test_fetch.py -k no_second_try", slow=True),
    Fault("downloads: all of it appended to a part", "_Sink._check_response", "            self._file.truncate(0)", "            pass", "tests/data/test_fetch.py -k ignores_ranges", slow=True),
    Fault("downloads: a half-fetched source appears", "_Fetcher._fetch", "            if not remote.optional or damaged is not None:\n                raise\n", "", "tests/data/test_fetch.py -k interrupted", slow=True),
    Fault("archives: claims without a limit", "_Opened.check", "        if total > self.most:", "        if False:", "tests/data/test_archives.py -k claims", slow=True),
    Fault("archives: links taken for files", "_Zip.__init__", "            if info.is_dir() or kind not in (0, stat.S_IFREG):", "            if info.is_dir():", "tests/data/test_archives.py -k link_of_zip", slow=True),
    Fault("archives: names that lead outside", "inside", '".." in pure.parts', "False", "tests/data/test_archives.py -k lead_outside", slow=True),
    Fault("patience: an epoch too many", "stopped", "if place - best >= patience:", "if place - best > patience:", "tests/report/test_patience.py -k shorter_wait", slow=True),
    Fault("protocol: epochs chosen by a fixed metric", "train", "score = scores[settings.selection_metric]", 'score = scores["recall@10"]', f"{PROTOCOL} -k field_and_paper", slow=True),
    Fault("protocol: a run selects by the default's metric", "_train_and_test", "        selection_metric=options.protocol.selection_metric,\n", "", "tests/pipeline/test_run_all.py -k another_selection_metric", slow=True),
    Fault("protocol: choices that are not in the key", "Protocol.identity", "return asdict(self)", "return [self.version, self.hide_at_test, self.patience]", f"{PROTOCOL} -k every_choice", slow=True),
    Fault("protocol: records of version 1 taken for the default", "ProtocolFacts._complete_version_1", '"name": PROTOCOL_1.name', '"name": "field"', f"{PROTOCOL} -k version_1_is", slow=True),
    Fault("protocol: patience in the last epoch taken for the cap", "RunRecord.stop_reason", "if len(scores) - best >= self.protocol.patience:", "if len(scores) - best > self.protocol.patience:", f"{PROTOCOL} -k why_a_training", slow=True),
    Fault("signs: controls are marked", "stops_of", "if run.stop_reason is not None]", "if run.curve]", "tests/report/test_stops.py -k both_signs", slow=True),
    Fault("signs: a run counts once for each label", "stops_of", "each_once(records)", "records", "tests/report/test_stops.py -k several_labels", slow=True),
    Fault("artifacts: models are trained that are not named", "rows_of", "if row.model in models]", "]", "tests/unit/test_rows.py -k never_trained", slow=True),
    Fault("captions: the cap of epochs is not said", "build", "stopped_by_cap(artifact.records(material))", '""', "tests/report/test_stops.py -k caption_of_an_artifact", slow=True),
    Fault("lists: hidden items are accepted", "_hidden", "np.isin(keys, known)", "np.isin(keys, known[:0])", f"{EVALUATE} -k mistake", slow=True),
    Fault("lists: the worst score first", "frame_of", "numbers if role == \"rank\" else -numbers", "numbers", f"{EVALUATE} -k order_of_scores", slow=True),
    Fault("lists: a missing user is left out", "check_lists", "if len(missing) and not empty_if_missing", "if False", f"{EVALUATE} -k mistake", slow=True),
    Fault("lists: the test part again under one name", "evaluate_test", "if same and earlier.protocol.protocol == protocol", "if False", f"{EVALUATE} -k once_for_each_name", slow=True),
    Fault("lists: they shorten the rows of models", "_usual_repetitions", "if group[0].foreign is None", "", f"{EVALUATE} -k stands_on_the_leaderboard", slow=True),
    Fault("lists: a training may claim them", "_contradictions", "record.foreign is not None or ", "", f"{EVALUATE} -k cannot_claim", slow=True),
    Fault("scores: rows of the wrong users", "ScoreMatrix.score_users", "users.cpu().numpy() - 1", "users.cpu().numpy() - 2", f"{EVALUATE} -k model_that_made_them", slow=True),
    Fault("wheel: its own cards are not found", "_files", "(*SHIPPED, *_ALSO.get(), directory)", "(*_ALSO.get(), directory)", "tests/packaging/test_wheel.py -k hide_shipped"),
    Fault("wheel: a missing RecBole is the model's fault", "import_module", 'problem.name == "recbole"', 'problem.name == "ray"', "tests/packaging/test_wheel.py -k missing_recbole", slow=True),
]  # fmt: skip
