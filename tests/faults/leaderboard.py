"""Faults in the leaderboard and in what is submitted to it."""
# ruff: noqa: E501

from faults import Fault

RECORDS = "tests/unit/test_records.py"
VERDICTS = "tests/report/test_verdicts.py"
COMPACT = "tests/unit/test_compact.py"
BOARD, SUBMIT, STORE = "tests/report/test_leaderboard.py", "tests/unit/test_submit.py", "tests/unit/test_store.py"

FAULTS = [
    Fault("leaderboard: protocols share a table", "boards", "key = (data_key(record.data), record.protocol.protocol)", "key = (data_key(record.data), Protocol())", f"{BOARD} -k another_table", slow=True),
    Fault("leaderboard: ranked by another metric than the protocol's", "Board.ranked_by", "return self.protocol.selection_metric", 'return "recall@10"', f"{BOARD} -k ranked_by_its_protocols", slow=True),
    Fault("leaderboard: codes share a row", "configuration", '"code": record.code_hash,', '"code": "",', f"{BOARD} -k another_row", slow=True),
    Fault("leaderboard: means over the runs that are there", "BoardRow.mean", "if self.is_complete and len(values) == self.n_asked else None", "if values else None", f"{BOARD} -k without_all_repetitions", slow=True),
    Fault("leaderboard: variations are candidates", "boards", "if label is None:", "if False:", f"{BOARD} -k no_candidates", slow=True),
    Fault("leaderboard: edited lists are compared", "from_bytes", "if record.lists_hash not in (None, lists.content_hash):", "if False:", f"{RECORDS} -k lists_that_are_not", slow=True),
    Fault("leaderboard: any address is a link", "web_address", 'str(homepage).startswith("https://")', "True", f"{BOARD} -k can_only_be_a_page", slow=True),
    Fault("leaderboard: an old one stands", "_write", "if _is_up_to_date(paths, fingerprint):", "if paths[\"json\"].exists():", f"{BOARD} -k built_twice", slow=True),
    Fault("leaderboard: an edited one stands", "_is_up_to_date", "is_own = is_unchanged(value) and", "is_own =", f"{BOARD} -k edited_leaderboard", slow=True),
    Fault("leaderboard: one row sets the number of repetitions", "_usual_repetitions", "begun[(len(begun) - 1) // 2]", "begun[-1]", f"{BOARD} -k more_repetitions", slow=True),
    Fault("leaderboard: data of other counts stands beside", "_contradicting_data", "if len(counts) == 1:", "if True:", f"{BOARD} -k other_counts", slow=True),
    Fault("leaderboard: one run as two seeds", "_duplicated_runs", "if known is not None and", "if False and", f"{BOARD} -k given_as_two", slow=True),
    Fault("leaderboard: corrected over the rows alone", "Resamples.against_best", "self._corrected_over(metric, pairs)", "[_p_values(*self._weighted(metric, each))[0] * (len(self._rows) - 1) for each in pairs]", f"{VERDICTS} -k equal_rows", slow=True),
    Fault("leaderboard: statistics of pairs not on one scale", "_combination", "1 / scale / deviation", "1 / scale", f"{VERDICTS} -k one_scale", slow=True),
    Fault("leaderboard: trials of other searches choose", "_belongs", "        and (spec.max_epochs, spec.base_seed) == (of_row.max_epochs, of_row.base_seed)\n", "", f"{BOARD} -k trials_of_other_searches", slow=True),
    Fault("leaderboard: trials with other fixed values choose", "_not_searched", "if name not in entry.file.search", "if False", f"{BOARD} -k trials_of_other_searches", slow=True),
    Fault("leaderboard: worse rows share the best rank", "_in_metric", "behind.items() if not gap.sign", "behind.items()", f"{BOARD} -k share_its_rank", slow=True),
    Fault("leaderboard: ranks shared after two seeds", "_in_metric", "board.n_asked < MIN_SEEDS", "board.n_asked < 2", f"{BOARD} -k share_its_rank", slow=True),
    Fault("leaderboard: another metric's tests", "_behind_best", "np.array([by_seed[name][place]", "np.array([by_seed[name][0]", f"{BOARD} -k every_metric", slow=True),
    Fault("leaderboard: a published page links records", "_surroundings", "Surroundings(report, publication is None,", "Surroundings(report, True,", f"{BOARD} -k published_page", slow=True),
    Fault("leaderboard: rows of one name", "_tags", "if tags[place] and total[key] > 1:", "if False:", f"{BOARD} -k short_names", slow=True),
    Fault("leaderboard: any paper is a link", "_paper", 'url.startswith("https://")', "True", f"{BOARD} -k papers_address", slow=True),
    Fault("records: a content hash that is not looked at", "_parsed", "claimed != hash_in_full(values)", "False", f"{STORE} -k changed_by_hand", slow=True),
    Fault("submit: other numbers go unnoticed", "_difference", "if first.get(name) != second.get(name):", "if False:", f"{SUBMIT} -k both_machines", slow=True),
    Fault("submit: numbers nearly the same are the same", "_difference", "if first.get(name) != second.get(name):", "if str(first.get(name))[:3] != str(second.get(name))[:3]:", f"{SUBMIT} -k last_digit", slow=True),
    Fault("submit: means are believed", "check_scores", "<= SAME:", "<= 1:", f"{SUBMIT} -k means_that", slow=True),
    Fault("compact: scores without lists are believed", "from_bytes", "hash_in_full(hashes) != record.lists_hash or any(", "any(", f"{COMPACT} -k not_the_runs", slow=True),
    Fault("compact: hashes without arrays are believed", "from_bytes", " or any(hashes.get(name) != own[name] for name in own)", "", f"{COMPACT} -k not_the_runs", slow=True),
    Fault("compact: the metric that selects is left out", "kept_metrics", "{*SHOWN_CUTOFFS, metric_parts(record.protocol.selection_metric)[1]}", "{*SHOWN_CUTOFFS}", f"{COMPACT} -k selects_is_kept", slow=True),
    Fault("records: keys are believed", "identity_problem", "if record.key != key:", "if False:", f"{SUBMIT} -k key_says", slow=True),
    Fault("records: names are believed", "identity_problem", "if len(place.parts) != DEPTH or", "if False and", f"{SUBMIT} -k outside_of_the_target", slow=True),
    Fault("records: places are believed", "place_problem", "if path.parts[-DEPTH:] != own.parts:", "if False:", f"{RECORDS} -k another_runs", slow=True),
    Fault("records: seeds are believed", "identity_problem", "if record.seeds != ({} if record.foreign else seeds_of(spec)):", "if False:", f"{RECORDS} -k need_the_seeds", slow=True),
    Fault("records: contradictions are believed", "_parsed", "identity_problem(record) or contradiction(record) or", "identity_problem(record) or", f"{RECORDS} -k contradicts_itself", slow=True),
    Fault("lists: claims are believed", "_array", "if own != shape:", "if False:", f"{RECORDS} -k lists_that_are_not", slow=True),
    Fault("files: holes are read", "read_regular", "_refuse(_problem_with(handle, most))", "_refuse(_problem_with_kind(os.fstat(handle).st_mode))", f"{RECORDS} -k file_of_holes", slow=True),
    Fault("leaderboard: RecBole's models are not here", "find", "check(name)", "place_of(name)", f"{BOARD} -k of_recbole", slow=True),
    Fault("files: what kind of entry lies there is not looked at", "read_regular", "    _refuse(_problem_with_kind(_status(path).st_mode))\n    # a pipe", "    # a pipe", f"{RECORDS} -k not_a_file", slow=True),
    Fault("submit: gaps in the seeds", "_missing_seeds", "if seed not in finished)", "if seed >= len(finished))", f"{SUBMIT} -k all_its_seeds", slow=True),
    Fault("submit: links are followed", "escape_problem", "if target.is_relative_to(resolved(root)):", "if True:", f"{SUBMIT} -k not_followed", slow=True),
    Fault("submit: any parameters are taken", "checkpoint_problems", "record.checkpoint_hash not in (None, hash_bytes(content))", "False", f"{SUBMIT} -k those_of_the_record", slow=True),
    Fault("submit: copied before the leaderboard is built", "submit", "    build(merged, None, load_paper(), MergedScores(kept))\n", "", f"{SUBMIT} -k can_be_built", slow=True),
    Fault("cache: code is not in the name", "ArrayCache.__call__", 'own = f"{key}-code-{self._code}"', "own = key", f"{STORE} -k other_code", slow=True),
    Fault("cache: the checksum is not compared", "_read", "[CHECKSUM] == _checksum(arrays, key) else None", "[CHECKSUM] else None", f"{STORE} -k other_code", slow=True),
    Fault("baseline: infinite tolerance", "NumberRecord._drift_is_a_part_of_the_value", "if drift > most + self.step or", "if False and", "tests/regression/test_compare.py -k allows_everything", slow=True),
    Fault("names: escapes reach the terminal", "SafeConsole.render", "Segment(for_terminal(each.text), each.style)", "each", "tests/unit/test_safe_text.py -k as_they_are", slow=True),
    Fault("names: links in Markdown", "MARKDOWN", '"\\\\|*_`~["', '"\\\\|*_`~"', "tests/unit/test_safe_text.py -k no_name_is_markup", slow=True),
    Fault("CSV: formulas", "for_csv", "if FORMULA.match(safe) and", "if False and", "tests/unit/test_safe_text.py -k formula", slow=True),
    Fault("claims: an interval without width decides", "Contrast.is_blind", "self.high - self.low <= NOISE * (self.level + abs(self.difference))", "False", "tests/report/test_claims.py -k tell_rows_apart", slow=True),
]  # fmt: skip
