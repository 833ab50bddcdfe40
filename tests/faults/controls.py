"""Faults in the controls."""
# ruff: noqa: E501

from faults import Fault

CONTROLS, CONTRACT = "tests/numeric/test_controls.py", "tests/contract/test_model_contract.py"

FAULTS = [
    Fault("control: an item is its own neighbour", "best_of_rows", "block[torch.arange(len(items)), torch.from_numpy(items)] = 0.0", "pass", f"{CONTROLS} -k speaks_for_itself"),
    Fault("control: ties by the last digits", "best_of_rows", "rough = block.float()", "rough = block", f"{CONTROLS} -k last_digits", slow=True),
    Fault("control: weights from before loading", "ItemToItem.forget", "self.held = None", 'self.held = getattr(self, "held", None)', f"{CONTRACT} -k saved_model_scores", slow=True),
    Fault("control: interactions counted as often as given", "Control.__init__", "matrix.data[:] = 1.0", "pass", f"{CONTRACT} -k duplicated", slow=True),
    Fault("ItemKNN: neighbours of the user's item", "ItemKNN.fit", "best_of_rows(similar, self.n_items, p.knn_k).T", "best_of_rows(similar, self.n_items, p.knn_k)", f"{CONTROLS} -k itemknn_equals", slow=True),
    Fault("ItemKNN: asymmetry the other way", "ItemKNN.fit", "norms[items] ** (1 - p.asymmetry)", "norms[items] ** p.asymmetry", f"{CONTROLS} -k itemknn_equals", slow=True),
    Fault("ItemKNN: users weighted by all items but one", "ItemKNN.fit", "np.log(self.n_items / ", "np.log((self.n_items - 1) / ", f"{CONTROLS} -k itemknn_equals", slow=True),
    Fault("RP3beta: step from the user without its power", "RP3beta.fit", "np.maximum(self.activity(), 1.0) ** -p.alpha", "np.maximum(self.activity(), 1.0) ** -1.0", f"{CONTROLS} -k random_walk", slow=True),
    Fault("RP3beta: the wrong item's popularity", "RP3beta.fit", "popularity[block.indices] ** p.beta", "np.repeat(popularity[items], np.diff(block.indptr)) ** p.beta", f"{CONTROLS} -k random_walk", slow=True),
    Fault("RP3beta: links never normalised", "RP3beta.fit", "if p.normalise:", "if False:", f"{CONTROLS} -k strongest_links", slow=True),
    Fault("EASE: divided by rows", "EASE.fit", "-inverse.diagonal()", "-inverse.diagonal().unsqueeze(1)", f"{CONTROLS} -k ease_equals", slow=True),
    Fault("EASE: items explain themselves", "EASE.fit", "inverse.fill_diagonal_(0.0)", "pass", f"{CONTROLS} -k ease_equals", slow=True),
    Fault("content k-NN: absent modalities count 0 under the mask", "ContentKNN.fit", 'if p.missing == "mask":', "if False:", f"{CONTROLS} -k contentknn_equals", slow=True),
]  # fmt: skip
