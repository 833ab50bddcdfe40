"""Faults in tests over users and in verdicts."""
# ruff: noqa: E501

from faults import Fault

TESTS, LEDGER = "tests/report/test_significance.py", "tests/report/test_claims.py"
R, V = "bench/report/resampling.py", "bench/report/verdicts.py"

FAULTS = [
    Fault("tests: p-values of the same users multiplied", R, "_share(flips.sum(axis=0), float(found.sum()))", "float(np.prod(by_seed))", f"{TESTS} -k nulls"),
    Fault("tests: one-sided", R, "np.abs(flips) >= abs(found) - TIE", "flips >= found - TIE", f"{TESTS} -k sign_flips"),
    Fault("tests: seeds not standardised", R, "np.where(deviations > 0, deviations, 1.0)", "np.ones_like(deviations)", f"{TESTS} -k one_flip"),
    Fault("tests: no correction", R, "corrected = holm([p for p, _ in sums])", "corrected = [p for p, _ in sums]", f"{TESTS} -k corrected_and"),
    Fault("tests: flips that depend on the other rows", R, "np.unpackbits(bits, axis=1, count=n_users)[: n_flips - start, active]", "np.unpackbits(bits, axis=1, count=n_users)[: n_flips - start, : len(active)]", f"{TESTS} -k corrected_and"),
    Fault("tests: relative to the wrong side", R, "level += max(-weight", "level += max(weight", f"{TESTS} -k planted_difference"),
    Fault("tests: too few flips for many tests", R, "max(N_FLIPS, FLIPS_PER_TEST * n_tests - 1)", "N_FLIPS", f"{TESTS} -k smallest_p"),
    Fault("tests: partial rows compared", "bench/report/user_scores.py", "if len(found) == material.n_seeds", "if found", f"{TESTS} -k shows_as_partial"),
    Fault("tests: other users go unnoticed", "bench/report/user_scores.py", "if missing or not np.array_equal(lists.users, first.users):", "if missing:", f"{TESTS} -k other_users"),
    Fault("Table 3: every row starred", "bench/report/table3.py", "if name == metric and contrast.sign}", "if name == metric}", f"{TESTS} -k stars_what_differs"),
    Fault("controls: given content minus the other", "bench/report/controls.py", "(rows[model, kind].label, rows[model, KINDS[0]].label)", "(rows[model, KINDS[0]].label, rows[model, kind].label)", f"{TESTS} -k content_as_given"),
    Fault("controls: every difference starred", "bench/report/comparisons.py", "if contrast.sign else", "if contrast else", f"{TESTS} -k content_as_given"),
    Fault("ranks: the worst is first", "bench/report/critical.py", "ascending=False", "ascending=True", f"{TESTS} -k ranks_friedman"),
    Fault("claims: two verdicts on two splits", "bench/report/claims.py", "if data_key(facts) in beside:", "if False:", f"{LEDGER} -k papers_split_alone", slow=True),
    Fault("ranks: a data set counted by its splits", "bench/report/critical.py", "if data_key(each) not in beside]", "if True]", f"{TESTS} -k two_splits", slow=True),
    Fault("claims: generated data decide", V, 'if scores.facts.source != "real":', "if False:", f"{LEDGER} -k decide_nothing"),
    Fault("claims: missing rows do not matter", V, "if is_partial:", "if False:", f"{LEDGER} -k missing_runs"),
    Fault("claims: what is not significant holds", V, '"against" if min(signs) < 0 else "for" if min(signs) > 0 else "open"', '"against" if min(signs) < 0 else "for"', f"{LEDGER} -k several_differences"),
    Fault("claims: an overlap is closeness", V, "if -margin <= low and high <= margin:", "if low <= margin and -margin <= high:", f"{LEDGER} -k closeness"),
    Fault("claims: the weakest other model", V, "return min(contrasts, key=", "return max(contrasts, key=", f"{LEDGER} -k size_holds"),
    Fault("claims: Tables 3 and 4 mixed up", "bench/report/ledger.py", "return paper.modality_score(dataset, modality, metric)", "return paper.score(dataset, paper.proposed, metric)", f"{LEDGER} -k found_by_row"),
]  # fmt: skip
