"""Faults in MMGCN, GRCN and LATTICE, and in the pieces that they alone use."""
# ruff: noqa: E501

from faults import Fault

MMGCN, GRCN, IDENTITIES = (
    "tests/numeric/test_mmgcn.py",
    "tests/numeric/test_grcn.py",
    "tests/numeric/test_grcn_identities.py",
)
LATTICE, TRAINING = "tests/numeric/test_lattice.py", "tests/numeric/test_lattice_training.py"
MEANING = "tests/numeric/test_means.py"

FAULTS = [
    Fault("missing: the mean of absent rows, too", "_filled", "raw[present].mean(axis=0)", "raw.mean(axis=0)", "tests/contract/test_missing.py -k lonely", slow=True),
    Fault("missing: rows of items that lack it", "co_interacted", "csr_matrix(pairs.multiply(present))", "pairs", "tests/contract/test_missing.py -k lonely", slow=True),
    Fault("MMGCN: tables never trained", "Branch.__init__", "self.preference.requires_grad_(params.mmgcn_train_embeddings)", "self.preference.requires_grad_(False)", f"{MMGCN} -k every_table"),
    Fault("MMGCN: sum instead of mean of neighbours", "Means.__init__", ".reciprocal()", ".clamp_max(1)", f"{MMGCN} -k golden", slow=True),
    Fault("MMGCN: messages in the wrong direction", "MMGCN._messages", "else constant, self.to_items(users)", "else constant, self.to_items(self.to_users.spread(self.to_users(items)))", f"{MMGCN} -k dense_reference", slow=True),
    Fault("MMGCN: id embedding left out", "Branch.layer", "slope=SLOPE) + ids", "slope=SLOPE)", f"{MMGCN} -k golden", slow=True),
    Fault("MMGCN: inputs not normalised", "Branch.items", "return unit_rows(linear(self.table, self.w0, self.b0) * self.available)", "return linear(self.table, self.w0, self.b0) * self.available", f"{MMGCN} -k dense_reference", slow=True),
    Fault("MMGCN: absent items send the bias", "Branch.items", "self.b0) * self.available", "self.b0)", f"{MMGCN} -k dense_reference", slow=True),
    Fault("MMGCN: ele ignored", "Branch.__init__", 'self.concat = params.mmgcn_combine == "concat"', "self.concat = True", f"{MMGCN} -k golden", slow=True),
    Fault("MMGCN: fixed number of layers", "MMGCN._last_inputs", "for index in range(self.params.n_layers - 1):", "for index in range(min(self.params.n_layers - 1, 1)):", f"{MMGCN} -k dense_reference", slow=True),
    Fault("MMGCN: preferences not regularised", "MMGCN.embed_with_ego", "torch.cat([of_users, *preferences], dim=1)", "of_users", f"{MMGCN} -k dense_reference", slow=True),
    Fault("MMGCN: preferences not regularised in other forms", "MMGCN.regularisation", "total = total + l2(self.params.reg_form, rows, rows[:0], rows[:0])", "pass", "tests/plain/test_plain.py -k mmgcn", slow=True),
    Fault("MMGCN: means of all nodes with as many neighbours", "_same_rows", "columns[start:end].tobytes()", "bytes([end - start])", MEANING),
    Fault("MMGCN: batch takes the means of others", "Means.rows", "self.shared.columns.index_select(0, receivers).long()", "receivers % len(means)", MEANING, slow=True),
    Fault("unit rows: gradient of the own rows lost", "_UnitRowsAndOwn.backward", "return grad.index_add_(0, index, grads[1]), None", "return grad, None", f"{MMGCN} -k dense_reference", slow=True),
    Fault("GRCN: routing lands nowhere", "GRCN.__init__", "n_routings = p.n_routings if", "n_routings = 0 if", f"{IDENTITIES} -k golden", slow=True),
    Fault("GRCN: routing without renormalising", "_Routed.forward", "            users.mul_(inverse)\n", "", f"{IDENTITIES} -k golden", slow=True),
    Fault("GRCN: routing forgets where it came from", "_Routed.backward", "to_users = weighted_spmm(edges, to_logits, items).add_(flow)", "to_users = weighted_spmm(edges, to_logits, items)", f"{GRCN} -k gradcheck_of_every", slow=True),
    Fault("GRCN: affinities not reordered", "_Affinities.forward", "normalise_(back, powers.index_select(0, edges.order), keep_by_item)", "normalise_(back, powers.clone(), keep_by_item)", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: gradient of one softmax in the order of the other", "_Affinities.backward", "flow.add_(other.index_select(0, edges.inverse))", "flow.add_(other)", f"{GRCN} -k gradcheck_of_every", slow=True),
    Fault("GRCN: confidence of another source", "GRCN._edge_weights", "at_columns(edges, column) for", "at_columns(edges, column.roll(1)) for", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: gradient of confidences in row order", "_AtColumns.backward", "grads[0].index_select(0, edges.order)), None", "grads[0]), None", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: absent modalities in the maximum", "_largest", "scores = [score.masked_fill(~mask, lowest) for score, mask in zip(scores, has, strict=True)]", "pass", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: absent items in the softmax", "GRCN._parts", "content(edges, None if has is None else has[m], users)", "content(edges, None, users)", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: hard pruning does nothing", "GRCN._edge_weights", 'F.relu(weights) if self.params.pruning == "hard" else weights', "weights", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: one id layer", "N_ID_LAYERS", "N_ID_LAYERS = 2", "N_ID_LAYERS = 1", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: ids not normalised", "GRCN.embed", "unit_rows(self.user_embedding.weight), unit_rows(self.item_embedding.weight)", "self.user_embedding.weight, self.item_embedding.weight", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: positives stay in the training graph", "GRCN._without", "index_fill_(0, at, False)", "index_fill_(0, at[:0], False)", f"{GRCN} -k without_its_positives", slow=True),
    Fault("GRCN: positives left out of evaluation too", "GRCN.embed_with_ego", "grcn_exclude_pos and self.training", "grcn_exclude_pos", f"{GRCN} -k all_edges", slow=True),
    Fault("GRCN: other edges left out with the positives", "GRCN._without", "torch.where(keys[at] == wanted, at, len(keys))", "at", f"{GRCN} -k no_edges", slow=True),
    Fault("LATTICE: graph detached at once", "LATTICE._training_graph", "            return graph\n", "            return detached\n", f"{TRAINING} -k first_batch", slow=True),
    Fault("LATTICE: the step size shrinks from the first epoch on", "LATTICE.learning_rate", "p.lr_decay ** ((epoch - 1) / p.lr_decay_epochs)", "p.lr_decay ** (epoch / p.lr_decay_epochs)", "tests/unit/test_train.py -k step_size", slow=True),
    Fault("training: no epoch asks for its step size", "_train_epoch", "stepper.begin(epoch)", "pass", "tests/unit/test_train.py -k step_size", slow=True),
    Fault("LATTICE: graph trained in every batch", "LATTICE._training_graph", 'if self.params.lattice_graph_grad == "every_step":', "if True:", f"{TRAINING} -k first_batch", slow=True),
    Fault("LATTICE: never rebuilt", "LATTICE._training_graph", "if self._held is None or self._held[0] != epoch:", "if self._held is None:", f"{TRAINING} -k first_batch", slow=True),
    Fault("LATTICE: evaluates the training graph", "LATTICE.embed", "self._propagated(self._graph())", "self._propagated(self._held[1] if self._held else self._graph())", f"{LATTICE} -k current_parameters", slow=True),
    Fault("LATTICE: one-sided Laplacian", "laplacian", "values * spread(pairs, scale) * column_major(back, spread(back, scale))", "values * spread(pairs, scale).square()", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: degree detached", "laplacian", "scale = torch.where(degrees > 0, degrees,", "scale = torch.where(degrees > 0, degrees.detach(),", f"{LATTICE} -k gradcheck", slow=True),
    Fault("LATTICE: mix swapped", "LATTICE._graph", 'if p.lattice_mix == "code":', 'if p.lattice_mix != "code":', f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: lambda swapped", "LATTICE._graph", "values = [(1 - p.lam) * omega[m]", "values = [p.lam * omega[m]", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: no self loop for absent items", "with_loops", "items[absent, 0], cosines[absent, 0] = absent, 1.0", "pass", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: item part not normalised", "LATTICE.embed", "items + unit_rows(self._propagated(self._graph()))", "items + self._propagated(self._graph())", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: clip ignored", "Modality.similarities", "return F.relu(cosines) if self.clip else cosines", "return cosines", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: ego rows regularised", "LATTICE.regularisation", "return l2(self.params.reg_form, *final)", "return super().regularisation(batch, final)", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: stale neighbours", "Modality.choose", "if self._chosen is None or not torch.equal(self._chosen[0], rows):", "if self._chosen is None:", f"{LATTICE} -k current_parameters", slow=True),
    Fault("LATTICE: sym instead of self loops", "LATTICE.__init__", "self.n_items, p.lattice_ui_norm)", 'self.n_items, "sym")', f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: parts of the constant graph not added", "merged", "scattered(position, torch.cat([part[2] for part in parts]).unsqueeze(1), len(keys))", "parts[0][2].new_zeros(len(keys), 1).index_copy_(0, position, torch.cat([part[2] for part in parts]).unsqueeze(1))", "tests/plain/test_trajectories.py -k lattice", slow=True),
]  # fmt: skip
