"""Faults in refusing what would hang, fill the memory, leave its folder or lead to a traceback."""
# ruff: noqa: E501

from faults import Fault

PICKLES, YAML = "tests/hostile/test_pickle_bombs.py", "tests/hostile/test_yaml.py"
FILES, PLACES = "tests/hostile/test_files.py", "tests/hostile/test_places.py"
VALUES, SERVERS = "tests/hostile/test_values.py", "tests/hostile/test_archives_and_servers.py"
SAFE = "tests/data/test_safe_pickle.py"

FAULTS = [
    Fault("steps of a pickle not counted", "run", "if n_steps >= MAX_STEPS:", "if False:", f"{SAFE} -k costly", slow=True),
    Fault("any key of a dictionary taken", "_update", "or not all(type(key) is str for key in values[::2])", "", f"{PICKLES} -k memo", slow=True),
    Fault("a size printed whole", "_integer", 'raise ValueError(f"a {kind_of(record)} stands where a size should")', 'raise ValueError(f"{record!r} stands where a size should")', f"{PICKLES} -k bomb and size", slow=True),
    Fault("pointers that wrap around", "_expanded", "if (pointers < 0).any() or (steps < 0).any():", "if False:", f"{SAFE} -k compressed_pointers", slow=True),
    Fault("holes taken for content", "_is_stored", "while stored * HOLES < size:", "while False:", f"{PICKLES} -k no_file", slow=True),
    Fault("a pipe is opened", "_problem_with_kind", "if kind == stat.S_IFREG else", "if kind != stat.S_IFDIR else", f"{YAML} -k no_file", slow=True),
    Fault("aliases written out without end", "_Loader.get_single_node", "[0] > MOST_VALUES:", "[0] > MOST_VALUES**9:", f"{YAML} -k aliases", slow=True),
    Fault("a value inside itself", "_Loader._size", "if depth > MOST_LEVELS or known[id(node)][1] + depth > MOST_LEVELS:", "if depth > MOST_LEVELS:", f"{YAML} -k deep and aliases", slow=True),
    Fault("1e5 written without quotes", "", "    _Dumper.add_implicit_resolver", "    _Loader.add_implicit_resolver", f"{YAML} -k text_that_is_written", slow=True),
    Fault("true taken for 1", "checked_params", "if isinstance(given, bool) and not isinstance(kept, bool):", "if False:", f"{VALUES} -k wrong_value", slow=True),
    Fault("an endless number taken", "checked_params", "if isinstance(kept, float) and not math.isfinite(kept):", "if False:", f"{VALUES} -k wrong_value", slow=True),
    Fault("a modality leaves the export", "export", "if not is_name(name):", "if False:", f"{FILES} -k leave_the_export", slow=True),
    Fault("any name of a modality on a card", "DirectorySource", "    directory: InsidePath\n    features: dict[FileName, FeatureFile]\n", "    directory: InsidePath\n    features: dict[str, FeatureFile]\n", f"{YAML} -k one_form", slow=True),
    Fault("counts of a Parquet file believed", "read_parquet", "check_pages(path, metadata, wanted)", "pass", f"{FILES} -k kilobyte", slow=True),
    Fault("a number cut to fewer bits", "_Thrift._integer", "if value >> BITS[kind]:", "if False:", f"{FILES} -k another_way", slow=True),
    Fault("pyarrow asked for the entry of a column", "check_pages", "        directory = _directory(content)\n", "        directory = _directory(content)\n        metadata.row_group(0).column(0)\n", f"{FILES} -k end_no_process", slow=True),
    Fault("long texts written out", "read_parquet", "                _check_resolved_size(path, table.column(index))\n", "", f"{FILES} -k long_id", slow=True),
    Fault("the head of a tar member unrationed", "_Rationed.read", "if count < 0 or self.left < 0:", "if False:", f"{SERVERS} -k gigabytes", slow=True),
    Fault("a dripping server waited for", "StallTimer.is_too_slow", "return spent > 0 and self.n_received < spent * self.timeouts.slowest", "return False", f"{SERVERS} -k drips", slow=True),
    Fault("a redirect to http followed", "_Sink._check_response", 'if following.lower().startswith("http:") and not is_safe(following):', "if False:", f"{SERVERS} -k redirect", slow=True),
    Fault("http on a card", "is_safe", 'return parts.scheme.lower() == "https" or parts.hostname in LOOPBACK', "return True", f"{SERVERS} -k without_encryption", slow=True),
    Fault("a package of the working directory", "package_directory", "spec = PathFinder.find_spec(name, places)", "spec = PathFinder.find_spec(name)", f"{PLACES} -k package_is_not_imported", slow=True),
    Fault("letters that a console lacks", "exit_code_of", '    escape_unencodable()\n    console', '    console', f"{PLACES} -k without_the_letters", slow=True),
    Fault("another package models is run", "exit_code_of", "        check_own_packages()\n", "", f"{PLACES} -k in_the_way", slow=True),
    Fault("only some errors of numpy caught", "read_scores", "except Exception as problem:", "except (OSError, ValueError, EOFError) as problem:", "tests/pipeline/test_evaluate.py -k holds_no_matrix", slow=True),
    Fault("a long path as a traceback", "exit_code_of", "    except OSError as problem:\n        return report(", "    except ZeroDivisionError as problem:\n        return report(", "tests/hostile/test_wrong_paths.py -k long", slow=True),
]  # fmt: skip
