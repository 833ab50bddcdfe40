"""Faults in the leaderboard and in what is submitted to it."""
# ruff: noqa: E501

from faults import Fault

RECORDS, IDENTITY, LISTS = "tests/unit/test_records.py", "bench/identity.py", "bench/list_files.py"
BOARD, SUBMIT, STORE = "tests/report/test_leaderboard.py", "tests/unit/test_submit.py", "tests/unit/test_store.py"
ROWS, MERGE, CHECKS = "bench/leaderboard/rows.py", "bench/leaderboard/merge.py", "bench/leaderboard/checks.py"

FAULTS = [
    Fault("leaderboard: protocols share a table", ROWS, "key = (data_key(record.data), record.protocol.protocol)", "key = (data_key(record.data), Protocol())", f"{BOARD} -k another_table", True),
    Fault("leaderboard: ranked by another metric than the protocol's", ROWS, "return self.protocol.selection_metric", 'return "recall@10"', f"{BOARD} -k ranked_by_its_protocols", True),
    Fault("leaderboard: codes share a row", ROWS, '"code": record.code_hash,', '"code": "",', f"{BOARD} -k another_row", True),
    Fault("leaderboard: means over the runs that are there", ROWS, "if self.is_complete and len(found) == self.n_asked else None", "if found else None", f"{BOARD} -k without_all_repetitions", True),
    Fault("leaderboard: variations are candidates", ROWS, "if label is None:", "if False:", f"{BOARD} -k no_candidates", True),
    Fault("leaderboard: edited lists are compared", LISTS, "if record.lists_hash not in (None, lists.content_hash):", "if False:", f"{RECORDS} -k lists_that_are_not", True),
    Fault("leaderboard: any address is a link", "bench/leaderboard/entries.py", 'str(homepage).startswith("https://")', "True", f"{BOARD} -k can_only_be_a_page", True),
    Fault("leaderboard: an old one stands", "bench/leaderboard/build.py", "if _stands(paths, fingerprint):", "if paths[\"json\"].exists():", f"{BOARD} -k built_twice", True),
    Fault("leaderboard: an edited one stands", "bench/leaderboard/build.py", "is_own = is_unchanged(value) and", "is_own =", f"{BOARD} -k edited_leaderboard", True),
    Fault("leaderboard: one row sets the number of repetitions", ROWS, "begun[(len(begun) - 1) // 2]", "begun[-1]", f"{BOARD} -k more_repetitions", True),
    Fault("leaderboard: data of other counts stands beside", "bench/leaderboard/agreement.py", "if len(counts) == 1:", "if True:", f"{BOARD} -k other_counts", True),
    Fault("leaderboard: one run as two seeds", "bench/leaderboard/agreement.py", "if known is not None and", "if False and", f"{BOARD} -k given_as_two", True),
    Fault("leaderboard: seeds not standardised", "bench/report/gaps.py", "np.where(deviations > 0, deviations, 1.0)", "1.0", f"{BOARD} -k significance_tests", True),
    Fault("records: a content hash that is not looked at", "bench/record_files.py", "claimed != hash_in_full(values)", "False", f"{STORE} -k changed_by_hand", True),
    Fault("submit: other numbers go unnoticed", MERGE, "if first.get(name) != second.get(name):", "if False:", f"{SUBMIT} -k both_machines", True),
    Fault("submit: numbers nearly the same are the same", MERGE, "if first.get(name) != second.get(name):", "if str(first.get(name))[:3] != str(second.get(name))[:3]:", f"{SUBMIT} -k last_digit", True),
    Fault("submit: means are believed", LISTS, "<= SAME:", "<= 1:", f"{SUBMIT} -k means_that", True),
    Fault("records: keys are believed", IDENTITY, "if record.key != key:", "if False:", f"{SUBMIT} -k key_says", True),
    Fault("records: names are believed", IDENTITY, "if len(place.parts) != DEPTH or", "if False and", f"{SUBMIT} -k outside_of_the_target", True),
    Fault("records: places are believed", IDENTITY, "if path.parts[-DEPTH:] != own.parts:", "if False:", f"{RECORDS} -k another_runs", True),
    Fault("records: seeds are believed", IDENTITY, "if record.seeds != seeds_of(spec):", "if False:", f"{RECORDS} -k need_the_seeds", True),
    Fault("records: contradictions are believed", "bench/record_files.py", "identity_problem(record) or contradiction(record) or", "identity_problem(record) or", f"{RECORDS} -k contradicts_itself", True),
    Fault("lists: claims are believed", LISTS, "if own != shape:", "if False:", f"{RECORDS} -k lists_that_are_not", True),
    Fault("files: what kind of entry lies there is not looked at", "bench/files.py", "    _refuse_kind(_status(path).st_mode)\n    # a pipe", "    # a pipe", f"{RECORDS} -k not_a_file", True),
    Fault("submit: gaps in the seeds", CHECKS, "if number not in has)", "if number >= len(has))", f"{SUBMIT} -k all_its_seeds", True),
    Fault("submit: links are followed", CHECKS, "if path.resolve().is_relative_to(root.resolve()):", "if True:", f"{SUBMIT} -k not_followed", True),
    Fault("submit: any parameters are taken", CHECKS, "record.checkpoint_hash not in (None, hash_bytes(content))", "False", f"{SUBMIT} -k those_of_the_record", True),
    Fault("submit: copied before the leaderboard is built", MERGE, "    build(merged, None, load_paper(), Roots(kept))\n", "", f"{SUBMIT} -k can_be_built", True),
    Fault("cache: code is not in the name", "bench/array_cache.py", 'own = f"{key}-code-{self._code}"', "own = key", f"{STORE} -k other_code", True),
    Fault("cache: the checksum is not compared", "bench/array_cache.py", "[CHECKSUM] == _checksum(arrays, key) else None", "[CHECKSUM] else None", f"{STORE} -k other_code", True),
    Fault("baseline: infinite tolerance", "bench/regression/baseline.py", "if self.drift > most + self.step or", "if False and", "tests/regression/test_compare.py -k allows_everything", True),
    Fault("names: escapes reach the terminal", "bench/terminal.py", "Segment(for_terminal(each.text), each.style)", "each", "tests/unit/test_safe_text.py -k as_they_are", True),
    Fault("names: links in Markdown", "bench/safe_text.py", '"\\\\|*_`~["', '"\\\\|*_`~"', "tests/unit/test_safe_text.py -k no_name_is_markup", True),
    Fault("CSV: formulas", "bench/safe_text.py", "if FORMULA.match(safe) and", "if False and", "tests/unit/test_safe_text.py -k formula", True),
    Fault("claims: an interval without width decides", "bench/report/verdicts.py", "return contrast.low == contrast.high", "return False", "tests/report/test_claims.py -k tell_rows_apart", True),
]  # fmt: skip
