"""Faults in tests over users and in verdicts."""
# ruff: noqa: E501

from faults import Fault

TESTS, LEDGER = "tests/report/test_significance.py", "tests/report/test_claims.py"

FAULTS = [
    Fault("tests: p-values of the same users multiplied", "_tested", "_share(flips.sum(axis=0), float(found.sum()))", "float(np.prod(by_seed))", f"{TESTS} -k nulls"),
    Fault("tests: one-sided", "_share", "np.abs(flips) >= abs(found) - TIE", "flips >= found - TIE", f"{TESTS} -k sign_flips"),
    Fault("tests: seeds not standardised", "_tested", "np.where(deviations > 0, deviations, 1.0)", "np.ones_like(deviations)", f"{TESTS} -k one_flip"),
    Fault("tests: no correction", "Resamples.family", "corrected = holm([p for p, _ in sums])", "corrected = [p for p, _ in sums]", f"{TESTS} -k corrected_and"),
    Fault("tests: flips that depend on the other rows", "sums_over_flips", "np.unpackbits(bits, axis=1, count=n_users)[: n_flips - start, active]", "np.unpackbits(bits, axis=1, count=n_users)[: n_flips - start, : len(active)]", f"{TESTS} -k corrected_and"),
    Fault("tests: relative to the wrong side", "Resamples._contrast", "level += max(-weight", "level += max(weight", f"{TESTS} -k planted_difference"),
    Fault("tests: too few flips for many tests", "Resamples.__init__", "max(N_FLIPS, FLIPS_PER_TEST * n_tests - 1)", "N_FLIPS", f"{TESTS} -k smallest_p"),
    Fault("tests: partial rows compared", "read_user_scores", "if len(found) == material.n_seeds", "if found", f"{TESTS} -k shows_as_partial"),
    Fault("tests: other users go unnoticed", "_checked", "if missing or not np.array_equal(lists.users, first.users):", "if missing:", f"{TESTS} -k other_users"),
    Fault("Table 3: every row starred", "_starred", "if name == metric and contrast.sign}", "if name == metric}", f"{TESTS} -k stars_what_differs"),
    Fault("controls: given content minus the other", "control_pairs", "(rows[model, kind].label, rows[model, KINDS[0]].label)", "(rows[model, KINDS[0]].label, rows[model, kind].label)", f"{TESTS} -k content_as_given"),
    Fault("controls: every difference starred", "star", "if contrast.sign else", "if contrast else", f"{TESTS} -k content_as_given"),
    Fault("ranks: the worst is first", "Ranking.ranks", "ascending=False", "ascending=True", f"{TESTS} -k ranks_friedman"),
    Fault("claims: two verdicts on two splits", "claims_table", "if data_key(facts) in beside:", "if False:", f"{LEDGER} -k papers_split_alone", slow=True),
    Fault("ranks: a data set counted by its splits", "build", "if data_key(each) not in beside]", "if True]", f"{TESTS} -k two_splits", slow=True),
    Fault("claims: generated data decide", "_verdict", 'if scores.facts.source != "real":', "if False:", f"{LEDGER} -k decide_nothing"),
    Fault("claims: missing rows do not matter", "_verdict", "if is_partial:", "if False:", f"{LEDGER} -k missing_runs"),
    Fault("claims: what is not significant holds", "_outcome", '"against" if min(signs) < 0 else "for" if min(signs) > 0 else "open"', '"against" if min(signs) < 0 else "for"', f"{LEDGER} -k several_differences"),
    Fault("claims: an overlap is closeness", "_closeness", "if -margin <= low and high <= margin:", "if low <= margin and -margin <= high:", f"{LEDGER} -k closeness"),
    Fault("claims: the weakest other model", "strongest", "return min(contrasts, key=", "return max(contrasts, key=", f"{LEDGER} -k size_holds"),
    Fault("claims: Tables 3 and 4 mixed up", "printed", "return paper.modality_score(dataset, modality, metric)", "return paper.score(dataset, paper.proposed, metric)", f"{LEDGER} -k found_by_row"),
]  # fmt: skip
