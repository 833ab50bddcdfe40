"""Faults in reading, importing and exporting what users have, and in the audit of its split."""
# ruff: noqa: E501

from faults import Fault

READERS, IMPORT = "tests/layouts/test_readers.py", "tests/layouts/test_import.py"
ROUND, FUZZ = "tests/layouts/test_round_trip.py", "tests/layouts/test_fuzz.py"
CLAIMS, NAMES = "tests/layouts/test_claims.py", "tests/data/test_dataset_names.py"
ACCOUNTS, BESIDE = "tests/layouts/test_accounts.py", "tests/layouts/test_beside.py"
NEXT, LEFT_OUT = "tests/layouts/test_next_steps.py", "tests/pipeline/test_left_out.py"
ADJUSTING = "tests/layouts/test_adjusting.py"
AUDIT = "tests/data/test_split_audit.py"

FAULTS = [
    Fault("features by position although ids are given", "_owners_by_id", "pd.Index(keys.ids).get_indexer(given).astype(np.int64)", "np.arange(len(given))", f"{READERS} -k content_by"),
    Fault("numbers sorted as texts", "_by_dictionary", "np.argsort(numbers)", "pc.sort_indices(distinct).to_numpy()", f"{READERS} -k sorted_by_value", slow=True),
    Fault("007 taken for 7", "WHOLE_NUMBER", "(0|-?[1-9][0-9]{0,17})", "(-?[0-9]{1,17})", f"{READERS} -k sorted_by_value", slow=True),
    Fault("rows of an .item table by index", "read", 'of_rows = table.further_items if "item" in others', "of_rows = np.arange(len(table.item_ids)) if True", f"{READERS} -k content_by", slow=True),
    Fault("the first .item table by name", "_table_beside", "if path.stem == stem] or tables", "if path.stem == stem][:0] or tables[:1]", f"{READERS} -k name_of_the_interactions", slow=True),
    Fault("validation and test exchanged on export", "export", '"valid": data.split.valid, "test": data.split.test', '"valid": data.split.test, "test": data.split.valid', f"{ROUND} -k split_travels", slow=True),
    Fault("export --force removes the old folder first", "folder_in_place", "        final.rename(replaced)\n", "        shutil.rmtree(final)\n", f"{ROUND} -k leaves_the_old_one", slow=True),
    Fault("checksums of a card not compared", "file_differences", "if found != file.git_blob:", "if False:", f"{IMPORT} -k changed", slow=True),
    Fault("only the first difference told", "differences_table", "for one in differences]", "for one in list(differences)[:1]]", f"{IMPORT} -k every_difference", slow=True),
    Fault("exchanged parts not noticed", "exchanged", "sizes != card_sizes[::-1]", "sizes != card_sizes", f"{IMPORT} -k exchanged", slow=True),
    Fault("a shipped card replaced", "_refuse_taken", "        if not is_import:", "        if False:", f"{IMPORT} -k taken"),
    Fault("k-core: one pass only", "_with_enough", "if np.array_equal(rest, kept):", "if True:", f"{ADJUSTING} -k plain_definition", slow=True),
    Fault("item order: not followed", "ordered_keys", "replace(keys, of_rows=of_rows, order=path)", "replace(keys, order=path)", f"{ADJUSTING} -k rows_follow", slow=True),
    Fault("a failed import leaves its copy", "folder_in_place", "        if is_in_place:", "        if False:", f"{IMPORT} -k leaves_nothing", slow=True),
    Fault("zeros count as features", "modality_of", "present = rows.any(axis=1)", "present = np.ones(n_items, dtype=bool)", f"{READERS} -k content_by", slow=True),
    Fault("claims of archives believed", "_read_npz", "if claimed > limit:", "if False:", CLAIMS, slow=True),
    Fault("claims of matrices believed", "refuse_implausible_counts", "if count > limit:", "if False:", CLAIMS, slow=True),
    Fault("splits: every split is another name", "canonical", "return card if split == default else", "return card if split is None else", f"{NAMES} -k what_a_name", slow=True),
    Fault("splits: the seed follows the spelling", "_split", 'derive_seed(request.base_seed, card.name, "split")', 'derive_seed(request.base_seed, canonical(card.name, rule, card.split), "split")', f"{NAMES} -k another_default", slow=True),
    Fault("splits: another one in place of what cannot be", "_split", "    if rule in lacks:\n        possible", "    if rule in lacks:\n        rule = 'random'\n    if False:\n        possible", f"{NAMES} -k cannot_have", slow=True),
    Fault("splits: --split over the name's own", "choose", "chosen = given or split or card.split", "chosen = split or given or card.split", f"{NAMES} -k what_a_name", slow=True),
    Fault("features of another file by the card's encoder", "_made_by", "checksums.of(path) != file.encoder.git_blob", "not checksums.of(path)", "tests/data/test_ml100k.py -k have_gaps", slow=True),
    Fault("an error of another class", "load_json", "    except Exception as problem:", "    except KeyError as problem:", f"{FUZZ} -k broken_files", slow=True),
    Fault("mapped ids numbered as in the table", "_mapping", "rank[order] = rank_of_row", "rank[order] = np.arange(len(rank))", f"{ACCOUNTS} -k mapped_ids", slow=True),
    Fault("rows not compared with lines", "read_text", "    if table.num_rows == n_lines:\n", "    if True:\n", f"{ACCOUNTS} -k lone_quotes", slow=True),
    Fault("fields of several lines not checked", "_count_csv_rows", "strict=True)\n            width", "strict=False)\n            width", f"{ACCOUNTS} -k neither", slow=True),
    Fault("rows below the least rating kept", "_positive_rows", "return column if kept is None else", "return column if True else", f"{ACCOUNTS} -k least_rating", slow=True),
    Fault("a column in two roles", "refuse_two_roles", "        if name in by_column:", "        if False:", f"{ACCOUNTS} -k two_roles", slow=True),
    Fault("5 and 5.0 taken for two ids", "refuse_ambiguous_ids", "    if len(twins):", "    if False:", f"{ACCOUNTS} -k without_a_point", slow=True),
    Fault("ids with blanks taken for others", "refuse_ambiguous_ids", "trimmed = pc.utf8_trim_whitespace(texts)", "trimmed = texts", "tests/layouts/test_ids.py -k two_spellings", slow=True),
    Fault("nan an id like others", "number_tables", '*notes_on_missing("user", user_columns)', "*()", "tests/layouts/test_ids.py -k missing_value", slow=True),
    Fault("row numbers taken for ids", "one_of_item_ids", "if not np.array_equal(ids, values):", "if False:", "tests/layouts/test_rows_of_items.py -k that_differ", slow=True),
    Fault("the first column named like ids", "item_id_names", "sorted(found, key=lambda name: ITEM_IDS.index(plain_name(name)))", "found", "tests/layouts/test_rows_of_items.py -k that_differ", slow=True),
    Fault("a price among the features", "ParquetColumns.matrix", "[] if self.lists else self.floats", "self.floats", "tests/layouts/test_rows_of_items.py -k metadata", slow=True),
    Fault("rows from one taken for rows from zero", "_owners_by_row", "keys.of_rows[0] < 0", "False", "tests/layouts/test_rows_of_items.py -k numbered_from_one", slow=True),
    Fault("7.0 for 7 is another item", "_owners_by_id", "refuse_other_spellings(path, ids[owners < 0], keys.ids)", "pass", "tests/layouts/test_rows_of_items.py -k another_spelling", slow=True),
    Fault("unseen items end the list of MMRec", "_order_ending_with_seen", "np.roll(np.arange(count), n_unseen)", "np.arange(count)", f"{ACCOUNTS} -k export_for_mmrec", slow=True),
    Fault("features of users taken for items'", "USERS", "(user|users|uid)", "(nobody)", f"{BESIDE} -k features_of_users", slow=True),
    Fault("rows of users counted as items", "_feature_rows", "if not is_of_users(path)}", "if True}", f"{BESIDE} -k rows_of_users", slow=True),
    Fault("features one folder above passed over", "read_feature_files", "    if not result.modalities:\n", "    if False:\n", f"{BESIDE} -k one_folder_above", slow=True),
    Fault("links to nowhere passed over", "list_place", "for entry in entries if not entry.is_file())", "for entry in entries if False)", f"{BESIDE} -k links_to_nowhere", slow=True),
    Fault("2.9 taken for an id", "id_text", "not isinstance(value, int | str)", "not isinstance(value, int | str | float)", "tests/data/test_extract.py -k original_ids", slow=True),
    Fault("a card forgets its folder", "import_command", 'if card_dir else []', "if False else []", "tests/layouts/test_adjusting.py -k inspect_to_a_run", slow=True),
    Fault("the next step without options", "import_command", "for option in (*place.columns.given, *adjustments.given) for", "for option in () for", f"{NEXT} -k every_option", slow=True),
    Fault("inspect ends at a malformed card of other data", "_sound_cards", "        except ConfigError as problem:", "        except KeyError as problem:", f"{IMPORT} -k malformed_card", slow=True),
    Fault("a card advised whose files these are not", "_is_readable", "source.layout == format and", "True or", f"{NEXT} -k another_layout", slow=True),
    Fault("content models not left out", "split_by_content", "        if reason is None:", "        if True:", f"{LEFT_OUT} -k others_are_trained", slow=True),
    Fault("audit: users without training items count", "_orders", "known = (n_train > 0) & (n_held > 0)", "known = n_held > 0", f"{AUDIT} -k above_index_by_hand", slow=True),
    Fault("audit: a tie in time counts in full", "_above", "(1 / (n_equal[part.users[held == bound]] + 1)).sum()", "(held == bound).sum()", f"{AUDIT} -k with_ties", slow=True),
    Fault("audit: everything is random", "Measure.is_random", "return self.deviation <= LIMIT and (", "return True or (", f"{AUDIT} -k split_by_index", slow=True),
    Fault("audit: a split by time not named", "_meaning", 'if name == "latest" and mostly:', "if False:", f"{AUDIT} -k leave_last_out", slow=True),
    Fault("audit: global_time is warned of", "warnings", "    if audited.split == BY_TIME:\n", "    if False:\n", f"{AUDIT} -k one_point_in_time", slow=True),
    Fault("audit: one pair is many standard errors", "Measure.deviation", "max(self.error, smallest)", "(self.error or 1e-9)", f"{AUDIT} -k counts_at_least", slow=True),
    Fault("audit: pairs drawn across users", "_drawn", "np.argsort(users + rng.random(len(users)))", "rng.permutation(len(users))", f"{AUDIT} -k against_all_choices_within", slow=True),
    Fault("audit: a variance without its last one", "chance_above", "h * n * (n + h + 1)", "h * n * (n + h)", f"{AUDIT} -k chance_above", slow=True),
    Fault("audit: warnings are no notes", "_with_provenance", "    notes += [*warnings(audited), *remarks(audited)]\n", "", "tests/data/test_load.py -k not_random_is_told", slow=True),
]  # fmt: skip
