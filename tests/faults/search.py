"""Faults in the search: its waves, its pruning, its confirmation, its budget, and the values that it writes."""
# ruff: noqa: E501

from faults import Fault

PRUNING, STUDY, TUNED = "tests/unit/test_pruning.py", "tests/unit/test_study.py", "tests/unit/test_tuned.py"
REPORT, PIPELINE = "tests/report/test_tuning.py", "tests/pipeline/test_tuning.py"

FAULTS = [
    Fault("pruning: epochs in place of steps", "_best_by_steps", "return [n_steps * (place + 1) for place in range(len(best))], best", "return [100 * (place + 1) for place in range(len(best))], best", f"{PRUNING} -k same_number", slow=True),
    Fault("pruning: the last score in place of the best", "_best_by_steps", "for epoch in record.curve), max)", "for epoch in record.curve), lambda _, now: now)", f"{PRUNING} -k ended_earlier", slow=True),
    Fault("pruning: before the twentieth epoch", "bound_at", "if place and epoch >= MIN_EPOCHS else None", "if place else None", f"{PRUNING} -k twentieth", slow=True),
    Fault("pruning: an equal score is below", "_is_over", "result.best_score < bound", "result.best_score <= bound", f"{PRUNING} -k best_is_below", slow=True),
    Fault("pruning: bounds do not reach the training", "_train_and_test", "        bounds=blank.spec.bounds,\n", "", f"{PIPELINE} -k pruned_trials", slow=True),
    Fault("pruning: by the same wave", "Progress.specs", "self.records[: wave_of(wave[0].number).start]", "self.records", f"{PRUNING} -k earlier_waves", slow=True),
    Fault("key without the bounds", "run_key", '**({"bounds": spec.bounds} if spec.bounds else {}),', "", f"{PRUNING} -k bounds_are_in", slow=True),
    Fault("search: numbers without an order", "SearchSpace.distributions", "            if self.is_ordered(name)\n", "            if False\n", f"{STUDY} -k numbers_have", slow=True),
    Fault("search: begins where another ended", "search_space", "entry.params(dataset, variant, pinned)", "entry.params(dataset, variant, pinned, '1')", f"{STUDY} -k left_out", slow=True),
    Fault("confirmation: a failed run is passed over", "ConfirmedSetting.mean", "if any(record.metrics is None for record in self.records):", "if all(record.metrics is None for record in self.records):", f"{REPORT} -k drops_out", slow=True),
    Fault("confirmation: the later of equal means", "StudyResult._chosen_number", "max(sorted(means),", "max(sorted(means, reverse=True),", f"{REPORT} -k earlier_of_equal", slow=True),
    Fault("confirmation: pruned trials among the best", "best_trials", 'key=lambda number: (records[number].stop_reason == "pruned", -', "key=lambda number: (False, -", f"{REPORT} -k whole_ones", slow=True),
    Fault("confirmation: seeds of the search", "seeds_of", 'stage = () if spec.stage == "final" else (spec.stage,)', 'stage = () if spec.stage == "final" else ("tuning",)', f"{PRUNING} -k stages", slow=True),
    Fault("search: its values under another protocol are kept", "tuning_settings_of", "options.protocol == Protocol() and ", "", f"{PIPELINE} -k only_under_the_default", slow=True),
    Fault("status: the values of the models' files", "_compare", "planned = Plan.of(plan(trials.tuned), data, labels, store, run_options)", "planned = Plan.of(plan(), data, labels, store, run_options)", f"{PIPELINE} -k status_of_a_tuned", slow=True),
    Fault("trials: a table of an earlier version is lost", "_read_lines", "<= set(reader.fieldnames or ()) <= set(HEADER)", "<= set(HEADER) == set(reader.fieldnames or ())", f"{REPORT} -k without_test_scores", slow=True),
    Fault("runs: a variation's record stays off the leaderboard", "_read_existing", "if _is_of_file(each.spec) and not _is_of_file(existing.spec):", "if False:", "tests/unit/test_executor.py -k becomes_the_models_own", slow=True),
    Fault("budget: failed trials cost nothing", "spent", "unknown * max([LEAST_UNKNOWN, *known])", "0", f"{PRUNING} -k cpu_minutes", slow=True),
    Fault("console: test scores while runs are made", "describe", "record.metrics.valid.values[metric]", "record.metrics.test.values[metric]", "tests/unit/test_display.py -k no_test_score"),
    Fault("scores: a mean over missing seeds", "Score.of", "bool(values) and n_runs == n_asked", "bool(values)", "tests/report/test_console_end.py -k incomplete"),
    Fault("console: two names of one run are two runs", "Plan.of", "runs.setdefault(run.key, run)", "runs[run.key + run.spec.label] = run", "tests/pipeline/test_console.py -k dry_run"),
    Fault("estimate: another number of interactions", "Estimator._by_records", "* run.facts.n_train", "* record.data.n_train", "tests/unit/test_estimate.py -k scaled"),
    Fault("tuned values of another split", "TunedFile.find", "(*base_and_split(dataset), split_hash, variant)", "(base, entry.split, split_hash, variant)", f"{TUNED} -k hold_for", slow=True),
    Fault("tuned values of another base seed or source", "TunedFile.find", "if entry.key == key", "if entry.key[:2] == key[:2] and entry.variant == variant", f"{TUNED} -k hold_for", slow=True),
    Fault("tuned values: two entries of one place", "_check", "        if each.key in seen:", "        if False:", f"{TUNED} -k nonsense", slow=True),
    Fault("tuned values: parameters that the model lacks", "_check", "            if key not in declared:", "            if False:", f"{TUNED} -k nonsense", slow=True),
    Fault("study: only lines that are no JSON are damage", "UNREADABLE", "(ValueError, LookupError, TypeError, AttributeError, AssertionError)", "(ValueError, KeyError)", f"{STUDY} -k another_form", slow=True),
    Fault("study: an error names a private copy", "open_study", "{original or path}", "{path}", f"{STUDY} -k names_the_original", slow=True),
]  # fmt: skip
