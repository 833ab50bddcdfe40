"""Faults in what lets models join: plugins, RecBole's models, the contract suite."""
# ruff: noqa: E501

from faults import Fault

PLUGINS, CHECKS, FOREIGN = (
    "tests/plugins/test_plugins.py",
    "tests/plugins/test_check_model.py",
    "tests/foreign/test_recbole_models.py",
)
CODE = "tests/unit/test_model_code.py"

FAULTS = [
    Fault("overview: the form for a phone is the wide one", "build", "(COLUMN_WIDTH, 1)", "(PAGE_WIDTH, n_columns)", "tests/report/test_overview.py -k for_a_phone", slow=True),
    Fault("report: models below popularity are not named", "_on_learning", "score <= scores[POPULARITY]", "score < 0", "tests/report/test_page.py -k more_than_popularity", slow=True),
    Fault("groups: users without training stand among the others", "user_groups", "evaluated & (counts > 0)", "evaluated", "tests/report/test_groups.py -k without_training", slow=True),
    Fault("overview: far baselines are lines", "far_baselines", "and each.mean < nearest", "and False", "tests/report/test_overview.py -k far_below", slow=True),
    Fault("RecBole's model: columns in RecBole's order", "RecBoleModel.score_users", "reshape(len(users), -1)[:, self.item_ids]", "reshape(len(users), -1)", f"{FOREIGN} -k ease_scores", slow=True),
    Fault("RecBole's model: rows in RecBole's order", "RecBoleModel.score_users", "Interaction({USER_FIELD: self.user_ids[users]})", "Interaction({USER_FIELD: users})", f"{FOREIGN} -k ease_scores", slow=True),
    Fault("RecBole's model: trained on other items", "Trained.calculate_loss", "fields[ITEM_FIELD] = self.item_ids[firsts]", "fields[ITEM_FIELD] = firsts", f"{FOREIGN} -k bpr_with_our_weights", slow=True),
    Fault("RecBole's model: steps counted from 0 after an interruption", "Trained.__init__", "lambda module, _: module.restore_kept()", "lambda module, _: None", f"{FOREIGN} -k interrupted_training", slow=True),
    Fault("RecBole's model: numpy's generator not tied", "seed_from_torch", "np.random.seed(seed)", "pass", f"{FOREIGN} -k interrupted_training", slow=True),
    Fault("RecBole's model: negatives with label 1", "PointSampler.epoch", "torch.tensor([1, 0]", "torch.tensor([1, 1]", f"{FOREIGN} -k points_hold"),
    Fault("plugin: what it imports is not hashed", "Library._lookup_name", "return self._lookup_path((*source.aliases[name]", "return '', ()  # (", f"{PLUGINS} -k hash_covers"),
    Fault("code hash: a local name taken for a helper's", "_Scope.find", "if name in scope.names and (inner or not scope.is_class):", "if False:", f"{CODE} -k mean_in_python", slow=True),
    Fault("code hash: what an import sets is not seen", "Library.hash_of_model", "for number in range(len(self.sources[each].effects))", "for number in range(0)", f"{CODE} -k something_else", slow=True),
    Fault("code hash: a module's name counts", "Library._referent", 'parts: list[str | Node] = ["use", start,', 'parts: list[str | Node] = ["use", module, start,', f"{CODE} -k same_hash", slow=True),
    Fault("code hash: definitions that use each other are told apart by no more than their own text", "_hash_group", "for _ in range(1 if alone else len(parts) + 1):", "for _ in range(1):", f"{CODE} -k mean_in_python", slow=True),
    Fault("plugin: of two with one name the first is taken", "location_of", "if other is not None:", "if False:", f"{PLUGINS} -k two_models", slow=True),
    Fault("plugin: not known in workers", "start_worker", "dict(hashes), plugin_arguments())", "dict(hashes), ())", f"{PLUGINS} -k made_in_workers", slow=True),
    Fault("workers have the variables of their server", "_serve", "    os.environ.clear()  # it is that of the server, at its start\n    os.environ.update(environment)\n", "", "tests/unit/test_executor.py -k again_and_again", slow=True),
    Fault("contract: still parameters pass", "every_parameter_moves", "        not unmoved,", "        True,", f"{CHECKS} -k named", slow=True),
    Fault("contract: idle hyperparameters pass", "every_parameter_has_an_effect", "        not idle,", "        True,", f"{CHECKS} -k named", slow=True),
    Fault("contract: scores left from later epochs pass", "every_switch_is_scored_from_its_state", "        not wrong,", "        True,", f"{CHECKS} -k named", slow=True),
    Fault("check: other rounding on another processor fails", "compare_numbers", 'against != "same seed" or is_same_machine or', "True or", "tests/regression/test_compare.py -k round_otherwise"),
    Fault("check: slower on another processor fails", "speed_rows", "counts = max_slowdown is not None or", "counts = True or", "tests/regression/test_check.py -k trained_model", slow=True),
    Fault("contract: stale scores pass", "scores_follow_the_last_step", "not torch.equal(before, scores(model)),", "True,", f"{CHECKS} -k named", slow=True),
    Fault("contract: padding may be recommended", "padding_plays_no_part", "torch.equal(now, before),", "True,", f"{CHECKS} -k named", slow=True),
    Fault("plugin: one that ends the program ends it with 0", "import_module", "except BaseException as problem:", "except Exception as problem:", f"{PLUGINS} -k ends_the_program", slow=True),
]  # fmt: skip
