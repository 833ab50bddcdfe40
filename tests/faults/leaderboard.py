"""Faults in the leaderboard and in what is submitted to it."""
# ruff: noqa: E501

from faults import Fault

BOARD, SUBMIT, STORE = "tests/report/test_leaderboard.py", "tests/unit/test_submit.py", "tests/unit/test_store.py"
ROWS, MERGE, CHECKS = "bench/leaderboard/rows.py", "bench/leaderboard/merge.py", "bench/leaderboard/checks.py"

FAULTS = [
    Fault("leaderboard: protocols share a table", ROWS, "key = (data_key(record.data), record.protocol.protocol)", "key = (data_key(record.data), Protocol())", f"{BOARD} -k another_table", True),
    Fault("leaderboard: ranked by another metric than the protocol's", ROWS, "return self.protocol.selection_metric", 'return "recall@10"', f"{BOARD} -k ranked_by_its_protocols", True),
    Fault("leaderboard: codes share a row", ROWS, '"code": record.code_hash,', '"code": "",', f"{BOARD} -k another_row", True),
    Fault("leaderboard: means over the runs that are there", ROWS, "if self.is_complete and len(found) == self.n_asked else None", "if found else None", f"{BOARD} -k without_all_repetitions", True),
    Fault("leaderboard: variations are candidates", ROWS, "if label is None:", "if False:", f"{BOARD} -k no_candidates", True),
    Fault("leaderboard: edited lists are compared", "bench/leaderboard/scores.py", "if record.lists_hash not in (None, found.content_hash):", "if False:", f"{BOARD} -k edited", True),
    Fault("leaderboard: any address is a link", "bench/leaderboard/entries.py", 'str(homepage).startswith("https://")', "True", f"{BOARD} -k can_only_be_a_page", True),
    Fault("leaderboard: an old one stands", "bench/leaderboard/build.py", "if _built_of(paths[\"json\"]) == fingerprint and", "if paths[\"json\"].exists() and", f"{BOARD} -k built_twice", True),
    Fault("leaderboard: seeds not standardised", "bench/report/gaps.py", "np.where(deviations > 0, deviations, 1.0)", "1.0", f"{BOARD} -k significance_tests", True),
    Fault("records: a content hash that is not looked at", "bench/record_files.py", "claimed != hash_in_full(values)", "False", f"{STORE} -k changed_by_hand", True),
    Fault("submit: other numbers go unnoticed", MERGE, "if first.get(name) != second.get(name):", "if False:", f"{SUBMIT} -k both_machines", True),
    Fault("submit: numbers nearly the same are the same", MERGE, "if first.get(name) != second.get(name):", "if str(first.get(name))[:3] != str(second.get(name))[:3]:", f"{SUBMIT} -k last_digit", True),
    Fault("submit: means are believed", CHECKS, "<= SAME:", "<= 1:", f"{SUBMIT} -k means_that", True),
    Fault("submit: keys are believed", CHECKS, "elif _key(file.record) != file.record.key:", "elif False:", f"{SUBMIT} -k key_says", True),
    Fault("submit: paths are believed", CHECKS, "elif not _is_inside(place_of(file.record)):", "elif False:", f"{SUBMIT} -k outside_of_the_target", True),
    Fault("submit: gaps in the seeds", CHECKS, "if number not in has]", "if number >= len(has)]", f"{SUBMIT} -k all_its_seeds", True),
]  # fmt: skip
