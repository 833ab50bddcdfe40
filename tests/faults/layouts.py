"""Faults in reading, importing and exporting what users have."""
# ruff: noqa: E501

from faults import Fault

READERS, IMPORT = "tests/layouts/test_readers.py", "tests/layouts/test_import.py"
ROUND, FUZZ = "tests/layouts/test_round_trip.py", "tests/layouts/test_fuzz.py"
CLAIMS, NAMES = "tests/layouts/test_claims.py", "tests/data/test_dataset_names.py"

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
    Fault("splits: every split is another name", "bench/dataset_names.py", "return card if split == default else", "return card if split is None else", f"{NAMES} -k what_a_name"),
    Fault("splits: the seed follows the spelling", "bench/sources/load.py", 'derive_seed(request.base_seed, card.name, "split")', 'derive_seed(request.base_seed, canonical(card.name, rule, card.split), "split")', f"{NAMES} -k another_default"),
    Fault("splits: another one in place of what cannot be", "bench/sources/load.py", "    if rule in lacking:\n        possible", "    if rule in lacking:\n        rule = 'random'\n    if False:\n        possible", f"{NAMES} -k cannot_have"),
    Fault("splits: --split over the name's own", "bench/cards.py", "chosen = own or split or card.split", "chosen = split or own or card.split", f"{NAMES} -k what_a_name"),
    Fault("features of another file by the card's encoder", "bench/sources/features.py", "git_blob(path) != file.encoder.git_blob", "not git_blob(path)", "tests/data/test_ml100k.py -k have_gaps"),
    Fault("an error of another class", "bench/sources/parsing.py", "    except Exception as problem:", "    except KeyError as problem:", f"{FUZZ} -k broken_files", slow=True),
]  # fmt: skip
