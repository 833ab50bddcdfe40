"""Faults in the search: its waves, its pruning, its confirmation, its budget, and the values that it writes."""
# ruff: noqa: E501

from faults import Fault

PRUNING, STUDY, TUNED = "tests/unit/test_pruning.py", "tests/unit/test_study.py", "tests/unit/test_tuned.py"
REPORT, PIPELINE = "tests/report/test_tuning.py", "tests/pipeline/test_tuning.py"
P, RESULTS, T = "bench/tuning/pruning.py", "bench/tuning/results.py", "bench/tuned.py"

FAULTS = [
    Fault("pruning: epochs in place of steps", P, "return [n_steps * (place + 1) for place in range(len(best))], best", "return [100 * (place + 1) for place in range(len(best))], best", f"{PRUNING} -k same_number", slow=True),
    Fault("pruning: the last score in place of the best", P, "for epoch in record.curve), max)", "for epoch in record.curve), lambda _, now: now)", f"{PRUNING} -k ended_earlier", slow=True),
    Fault("pruning: before the twentieth epoch", P, "if place and epoch >= MIN_EPOCHS else None", "if place else None", f"{PRUNING} -k twentieth", slow=True),
    Fault("pruning: an equal score is below", "bench/train.py", "result.best_score < bound", "result.best_score <= bound", f"{PRUNING} -k best_is_below", slow=True),
    Fault("pruning: bounds do not reach the training", "bench/runner.py", "        bounds=blank.spec.bounds,\n", "", f"{PIPELINE} -k pruned_trials", slow=True),
    Fault("pruning: by the same wave", "bench/tuning/search.py", "self.records[: wave_of(wave[0].number).start]", "self.records", f"{PIPELINE} -k larger_budget", slow=True),
    Fault("key without the bounds", "bench/identity.py", '**({"bounds": spec.bounds} if spec.bounds else {}),', "", f"{PRUNING} -k bounds_are_in", slow=True),
    Fault("search: numbers without an order", "bench/tuning/space.py", "            if _ordered(values)\n", "            if False\n", f"{STUDY} -k numbers_have", slow=True),
    Fault("search: begins where another ended", "bench/tuning/space.py", "entry.params(dataset, variant, pinned, with_tuned=False)", "entry.params(dataset, variant, pinned)", f"{STUDY} -k left_out", slow=True),
    Fault("confirmation: a failed run is passed over", RESULTS, "if any(record.metrics is None for record in self.records):", "if all(record.metrics is None for record in self.records):", f"{REPORT} -k drops_out", slow=True),
    Fault("confirmation: the later of equal means", RESULTS, "max(sorted(means),", "max(sorted(means, reverse=True),", f"{REPORT} -k earlier_of_equal", slow=True),
    Fault("confirmation: pruned trials among the best", RESULTS, 'key=lambda number: (records[number].stop_reason == "pruned", -', "key=lambda number: (False, -", f"{REPORT} -k whole_ones", slow=True),
    Fault("confirmation: seeds of the search", "bench/identity.py", 'stage = () if spec.stage == "final" else (spec.stage,)', 'stage = () if spec.stage == "final" else ("tuning",)', f"{PRUNING} -k stages", slow=True),
    Fault("budget: failed trials cost nothing", "bench/tuning/budget.py", "unknown * max([LEAST_UNKNOWN, *known])", "0", f"{PRUNING} -k cpu_minutes", slow=True),
    Fault("console: test scores of trials", "bench/console.py", 'if part == "valid" or record.spec.stage == "final"', "if True", f"{PIPELINE} -k confirmed_over", slow=True),
    Fault("tuned values of another split", T, "(*base_and_split(dataset), variant)", "(base, entry.split, variant)", f"{TUNED} -k hold_for", slow=True),
    Fault("tuned values: two entries of one place", T, "        if each.place in seen:", "        if False:", f"{TUNED} -k nonsense", slow=True),
    Fault("tuned values: parameters that the model lacks", T, "            if key not in declared:", "            if False:", f"{TUNED} -k nonsense", slow=True),
]  # fmt: skip
