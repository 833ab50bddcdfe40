"""Faults in reading, importing and exporting what users have."""
# ruff: noqa: E501

from faults import Fault

READERS, IMPORT = "tests/layouts/test_readers.py", "tests/layouts/test_import.py"
ROUND, FUZZ = "tests/layouts/test_round_trip.py", "tests/layouts/test_fuzz.py"
CLAIMS, NAMES = "tests/layouts/test_claims.py", "tests/data/test_dataset_names.py"
ACCOUNTS, BESIDE = "tests/layouts/test_accounts.py", "tests/layouts/test_beside.py"
NEXT, LEFT_OUT = "tests/layouts/test_next_steps.py", "tests/pipeline/test_left_out.py"

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
    Fault("mapped ids numbered as in the table", "bench/sources/mmrec.py", "rank[order] = rank_of_row", "rank[order] = np.arange(len(rank))", f"{ACCOUNTS} -k mapped_ids"),
    Fault("rows not compared with lines", "bench/sources/tables.py", "    if table.num_rows == n_lines:\n", "    if True:\n", f"{ACCOUNTS} -k lone_quotes"),
    Fault("fields of several lines not checked", "bench/sources/tables.py", "strict=True)\n            width", "strict=False)\n            width", f"{ACCOUNTS} -k neither", slow=True),
    Fault("rows below the least rating kept", "bench/layouts/columns.py", "return column if kept is None else", "return column if True else", f"{ACCOUNTS} -k least_rating"),
    Fault("a column in two roles", "bench/sources/roles.py", "        if name in by_column:", "        if False:", f"{ACCOUNTS} -k two_roles", slow=True),
    Fault("5 and 5.0 taken for two ids", "bench/sources/ids.py", "    if len(both):", "    if False:", f"{ACCOUNTS} -k without_a_point", slow=True),
    Fault("unseen items end the list of MMRec", "bench/layouts/exporting.py", "np.roll(np.arange(count), n_unseen)", "np.arange(count)", f"{ACCOUNTS} -k export_for_mmrec", slow=True),
    Fault("features of users taken for items'", "bench/layouts/feature_files.py", "(user|users|uid)", "(nobody)", f"{BESIDE} -k features_of_users"),
    Fault("links to nowhere passed over", "bench/layouts/place.py", "for each in here if not each.is_file())", "for each in here if False)", f"{BESIDE} -k links_to_nowhere", slow=True),
    Fault("2.9 taken for an id", "bench/sources/ids.py", "not isinstance(value, int | str)", "not isinstance(value, int | str | float)", "tests/data/test_extract.py -k original_ids", slow=True),
    Fault("the next step without options", "bench/layouts/next_steps.py", "for option in place.columns.given for", "for option in () for", f"{NEXT} -k every_option", slow=True),
    Fault("a card advised whose files these are not", "bench/layouts/known.py", "source.layout == layout and", "True or", f"{NEXT} -k another_layout", slow=True),
    Fault("content models not left out", "bench/suited.py", "        if reason is None:", "        if True:", f"{LEFT_OUT} -k others_are_trained", slow=True),
]  # fmt: skip
