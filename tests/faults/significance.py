"""Faults in tests over users and in verdicts."""
# ruff: noqa: E501

from faults import Fault

TESTS, LEDGER = "tests/report/test_significance.py", "tests/report/test_claims.py"
VERDICTS = "tests/report/test_verdicts.py"

FAULTS = [
    Fault("tests: p-values of the same users multiplied", "_p_values", "_p_value(flips.sum(axis=0), float(observed.sum()))", "float(np.prod(by_seed))", f"{TESTS} -k nulls", slow=True),
    Fault("tests: one-sided", "_p_value", "np.abs(flips) >= abs(observed) - TIE", "flips >= observed - TIE", f"{TESTS} -k sign_flips", slow=True),
    Fault("tests: seeds not standardised", "_standardised", "np.where(deviations > 0, deviations, 1.0)", "np.ones_like(deviations)", f"{TESTS} -k one_flip", slow=True),
    Fault("tests: a direction that the test did not find", "Contrast._found", "self.p_corrected < LEVEL and mean == self.direction", "self.p_corrected < LEVEL", f"{TESTS} -k opposite", slow=True),
    Fault("tests: other seeds do not matter for a verdict", "Contrast.sign", "0 if self.is_within_seeds else self._found", "self._found", f"{VERDICTS} -k other_seeds", slow=True),
    Fault("claims: closeness for these seeds alone", "_relative_interval", "contrast.over_seeds or contrast", "contrast", f"{LEDGER} -k closeness_is_also", slow=True),
    Fault("claims: what other seeds could give counts as unseen", "_unseen", "(each.sign or each.is_within_seeds)", "each.sign", f"{LEDGER} -k within_what", slow=True),
    Fault("intervals: draws without a base are no difference", "_relative", "np.where(differences == 0, 0.0, np.copysign(np.inf, differences))", "np.zeros(len(bases))", f"{VERDICTS} -k take_away", slow=True),
    Fault("intervals: interpolated, so that two disagree about 0", "_percentiles", ', method="nearest"', "", f"{VERDICTS} -k same_signs", slow=True),
    Fault("tests: rounding errors are differences", "Resamples._cleared", "self._noise[metric]", "0", f"{VERDICTS} -k rounding", slow=True),
    Fault("intervals: one run differs from itself", "seed_shifts", "named.setdefault(row.tobytes(), label)", "label", f"{TESTS} -k same_runs", slow=True),
    Fault("tests: flips for fewer tests than all pairs", "UserScores.resamples", "max(n_tests, comb(len(self.labels), 2))", "n_tests", f"{TESTS} -k every_table", slow=True),
    Fault("intervals: other seeds give what these gave", "seed_shifts", "errors[:, None] *", "0 * errors[:, None] *", f"{TESTS} -k over_users_and_seeds", slow=True),
    Fault("intervals: three seeds drawn from a normal distribution", "seed_shifts", "stdtrit(n_seeds - 1,", "stdtrit(1000,", f"{TESTS} -k over_users_and_seeds", slow=True),
    Fault("intervals: the users' chance counted twice", "seed_errors", "of_means - of_chance", "of_means", f"{TESTS} -k over_users_and_seeds", slow=True),
    Fault("detectable: the family is not counted", "detectable", "LEVEL / 2 / n_tests", "LEVEL / 2", f"{TESTS} -k four_times", slow=True),
    Fault("tests: no correction", "Resamples.family", "corrected = holm([p for p, _ in p_values])", "corrected = [p for p, _ in p_values]", f"{TESTS} -k corrected_and"),
    Fault("tests: flips that depend on the other rows", "sums_over_flips", "np.unpackbits(bits, axis=1, count=n_users)[: n_flips - start, active]", "np.unpackbits(bits, axis=1, count=n_users)[: n_flips - start, : len(active)]", f"{TESTS} -k corrected_and", slow=True),
    Fault("tests: relative to the wrong side", "Resamples._contrast", "max(-w, 0.0)", "max(w, 0.0)", f"{TESTS} -k planted_difference", slow=True),
    Fault("detectable: the interval over seeds is not counted", "detectable", "max(float(ndtri(1 - LEVEL / 2 / n_tests)) * error, half_width)", "float(ndtri(1 - LEVEL / 2 / n_tests)) * error", f"{TESTS} -k counts_the_interval", slow=True),
    Fault("tests: flips for the smallest p-value only", "Resamples.__init__", ", min(FLIPS_PER_TEST * n_tests, most) - 1)", ")", f"{TESTS} -k at_the_border", slow=True),
    Fault("tests: too few flips for many tests", "Resamples.__init__", "max(N_FLIPS, LEAST_PER_TEST * n_tests - 1, min(FLIPS_PER_TEST * n_tests, most) - 1)", "N_FLIPS", f"{TESTS} -k smallest_p", slow=True),
    Fault("tests: partial rows compared", "read_user_scores", "if len(records) == material.n_seeds", "if records", f"{TESTS} -k shows_as_partial", slow=True),
    Fault("tests: other users go unnoticed", "_compared_metrics", "if missing or not np.array_equal(scored.users, first.users):", "if missing:", f"{TESTS} -k other_users", slow=True),
    Fault("Table 3: every row starred", "_starred", "if name == metric and contrast.sign}", "if name == metric}", f"{TESTS} -k stars_what_differs", slow=True),
    Fault("content ablation: given content minus the other", "ablation_pairs", "(rows[model, kind].label, rows[model, KINDS[0]].label)", "(rows[model, KINDS[0]].label, rows[model, kind].label)", f"{TESTS} -k content_as_given", slow=True),
    Fault("content ablation: frequent items counted as rare", "rare_view", " & rare.members[first]", "", "tests/report/test_content.py -k users_who_hold_any", slow=True),
    Fault("content ablation: hits beyond the cutoff counted", "rare_view", "lists.items[has_any, :cutoff]", "lists.items[has_any]", "tests/report/test_content.py -k beyond_the_cutoff", slow=True),
    Fault("content ablation: every difference starred", "star", "if contrast.sign and", "if contrast and", f"{TESTS} -k content_as_given", slow=True),
    Fault("tests: a star for one seed", "build", "if can_be_tested else []", "", f"{TESTS} -k below_three", slow=True),
    Fault("content ablation: a star for one seed", "star", " and len(contrast.p_by_seed) >= MIN_SEEDS", "", f"{TESTS} -k below_three", slow=True),
    Fault("Table 3: the paper's values beside generated data", "shows_published", 'facts.source == "real" and ', "", "tests/report/test_table3.py -k only_beside_real", slow=True),
    Fault("%Improv. of another row than the reference", "_our_column", "means.get(reference)", "means.get(labels[0])", "tests/report/test_table3.py -k reference_row", slow=True),
    Fault("ranks: the worst is first", "Ranking.ranks", "ascending=False", "ascending=True", f"{TESTS} -k ranks_friedman", slow=True),
    Fault("claims: two verdicts on two splits", "claims_table", "if data_key(facts) in beside:", "if False:", f"{LEDGER} -k papers_split_alone", slow=True),
    Fault("ranks: a data set counted by its splits", "independent", "if one_split[each.card, each.data_hash] is each]", "if True]", f"{TESTS} -k two_splits", slow=True),
    Fault("claims: generated data decide", "_verdict", 'if scores.facts.source != "real":', "if False:", f"{LEDGER} -k decide_nothing"),
    Fault("claims: one seed decides", "_verdict", "scores.n_seeds < MIN_SEEDS", "scores.n_seeds < 1", f"{LEDGER} -k three_seeds_decide"),
    Fault("claims: missing rows do not matter", "_verdict", "if is_partial:", "if False:", f"{LEDGER} -k missing_runs", slow=True),
    Fault("claims: what is not significant holds", "_outcome", '"against" if min(signs) < 0 else "for" if min(signs) > 0 else "open"', '"against" if min(signs) < 0 else "for"', f"{LEDGER} -k several_differences", slow=True),
    Fault("claims: an overlap is closeness", "_closeness", "if -margin <= low and high <= margin:", "if low <= margin and -margin <= high:", f"{LEDGER} -k closeness", slow=True),
    Fault("claims: the weakest other model", "strongest", "return min(contrasts, key=", "return max(contrasts, key=", f"{LEDGER} -k size_holds", slow=True),
    Fault("claims: a size holds however wide its interval", "_size", '"for" if contrast.sign > 0 else "open"', '"for"', f"{LEDGER} -k wide_interval", slow=True),
    Fault("claims: Tables 3 and 4 mixed up", "printed", "return paper.modality_score(dataset, modality, metric)", "return paper.score(dataset, paper.proposed, metric)", f"{LEDGER} -k found_by_row", slow=True),
]  # fmt: skip
