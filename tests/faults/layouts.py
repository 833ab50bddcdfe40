"""Faults in reading, importing and exporting what users have, and in the audit of its split."""
# ruff: noqa: E501

from faults import Fault

READERS, IMPORT = "tests/layouts/test_readers.py", "tests/layouts/test_import.py"
ROUND, FUZZ = "tests/layouts/test_round_trip.py", "tests/layouts/test_fuzz.py"
CLAIMS = "tests/layouts/test_claims.py"
A, AUDIT = "bench/split_audit.py", "tests/data/test_split_audit.py"

FAULTS = [
    Fault("features by position although ids are given", "bench/sources/features.py", "pd.Index(keys.ids).get_indexer(given).astype(np.int64)", "np.arange(len(given))", f"{READERS} -k content_by"),
    Fault("numbers sorted as texts", "bench/sources/ids.py", "np.argsort(numbers)", "pc.sort_indices(distinct).to_numpy()", f"{READERS} -k sorted_by_value"),
    Fault("007 taken for 7", "bench/sources/ids.py", "(0|-?[1-9][0-9]{0,17})", "(-?[0-9]{1,17})", f"{READERS} -k sorted_by_value", slow=True),
    Fault("rows of an .item table by index", "bench/layouts/recbole.py", 'of_rows = found.further_items if "item" in others', "of_rows = np.arange(len(found.item_ids)) if True", f"{READERS} -k content_by", slow=True),
    Fault("validation and test exchanged on export", "bench/layouts/exporting.py", '"valid": data.split.valid, "test": data.split.test', '"valid": data.split.test, "test": data.split.valid', f"{ROUND} -k split_travels"),
    Fault("checksums of a card not compared", "bench/sources/versions.py", "if found != file.git_blob:", "if False:", f"{IMPORT} -k changed"),
    Fault("only the first difference told", "bench/sources/versions.py", "for one in differences]", "for one in list(differences)[:1]]", f"{IMPORT} -k every_difference", slow=True),
    Fault("exchanged parts not noticed", "bench/sources/versions.py", "ours != theirs[::-1]", "ours != theirs", f"{IMPORT} -k exchanged", slow=True),
    Fault("a shipped card replaced", "bench/layouts/importing.py", "        if not ours:", "        if False:", f"{IMPORT} -k taken"),
    Fault("a failed import leaves its copy", "bench/layouts/importing.py", "        if in_place:", "        if False:", f"{IMPORT} -k leaves_nothing", slow=True),
    Fault("zeros count as features", "bench/sources/features.py", "present = rows.any(axis=1)", "present = np.ones(n_items, dtype=bool)", f"{READERS} -k content_by"),
    Fault("claims of archives believed", "bench/sources/blocks.py", "if claimed > limit:", "if False:", CLAIMS, slow=True),
    Fault("claims of matrices believed", "bench/sources/raw.py", "if count > limit:", "if False:", CLAIMS, slow=True),
    Fault("an error of another class", "bench/sources/parsing.py", "    except Exception as problem:", "    except KeyError as problem:", f"{FUZZ} -k broken_files", slow=True),
    Fault("audit: users without training items count", A, "known = (n_train > 0) & (n_held > 0)", "known = n_held > 0", f"{AUDIT} -k above_index_by_hand"),
    Fault("audit: a tie in time counts in full", A, "(1 / (n_equal[part.users[held == bound]] + 1)).sum()", "(held == bound).sum()", f"{AUDIT} -k with_ties"),
    Fault("audit: everything is random", A, "return self.deviation <= LIMIT and (", "return True or (", f"{AUDIT} -k split_by_index"),
    Fault("audit: a split by time not named", A, 'if name == "latest" and mostly:', "if False:", f"{AUDIT} -k leave_last_out", slow=True),
    Fault("audit: global_time is warned of", A, "    if found.split == BY_TIME:\n", "    if False:\n", f"{AUDIT} -k one_point_in_time", slow=True),
    Fault("audit: one pair is many standard errors", A, "max(self.error, smallest)", "(self.error or 1e-9)", f"{AUDIT} -k counts_at_least"),
    Fault("audit: pairs drawn across users", A, "np.argsort(users + rng.random(len(users)))", "rng.permutation(len(users))", f"{AUDIT} -k against_all_choices_within", slow=True),
    Fault("audit: a variance without its last one", A, "h * n * (n + h + 1)", "h * n * (n + h)", f"{AUDIT} -k chance_above"),
    Fault("audit: warnings are no notes", "bench/sources/load.py", ", *warnings(found), *remarks(found)]", "]", "tests/data/test_load.py -k not_random_is_told"),
]  # fmt: skip
