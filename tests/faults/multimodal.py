"""Faults in MMGCN, GRCN and LATTICE."""
# ruff: noqa: E501

from faults import Fault

M, G, L, LG = "models/mmgcn.py", "models/grcn.py", "models/lattice.py", "models/_latent_graph.py"
MMGCN, GRCN, IDENTITIES = (
    "tests/numeric/test_mmgcn.py",
    "tests/numeric/test_grcn.py",
    "tests/numeric/test_grcn_identities.py",
)
LATTICE, TRAINING = "tests/numeric/test_lattice.py", "tests/numeric/test_lattice_training.py"

FAULTS = [
    Fault("MMGCN: tables never trained", M, "self.preference.requires_grad_(params.mmgcn_train_embeddings)", "self.preference.requires_grad_(False)", f"{MMGCN} -k every_table"),
    Fault("MMGCN: sum instead of mean of neighbours", M, ".reciprocal()[rows]", ".clamp_max(1)[rows]", f"{MMGCN} -k golden"),
    Fault("MMGCN: messages in the wrong direction", M, "to_items = spmm(self.to_items, torch.cat([users for users, _ in tables], dim=1)).split(size, dim=1)", "to_items = [spmm(self.to_items, users) for users, _ in reversed(tables)]", f"{MMGCN} -k dense_reference", slow=True),
    Fault("MMGCN: id embedding left out", M, "slope=SLOPE) + ids", "slope=SLOPE)", f"{MMGCN} -k golden", slow=True),
    Fault("MMGCN: inputs not normalised", M, "return unit_rows(self.preference), unit_rows(projected)", "return unit_rows(self.preference), projected", f"{MMGCN} -k dense_reference", slow=True),
    Fault("MMGCN: absent items send the bias", M, "self.b0) * self.available", "self.b0)", f"{MMGCN} -k dense_reference"),
    Fault("MMGCN: ele ignored", M, 'self.concat = params.mmgcn_combine == "concat"', "self.concat = True", f"{MMGCN} -k golden", slow=True),
    Fault("MMGCN: fixed number of layers", M, "for index in range(self.params.n_layers - 1):", "for index in range(min(self.params.n_layers - 1, 1)):", f"{MMGCN} -k dense_reference", slow=True),
    Fault("MMGCN: preferences not regularised", M, "total = total + l2(self.params.reg_form, rows, rows[:0], rows[:0])", "pass", f"{MMGCN} -k dense_reference"),
    Fault("GRCN: routing lands nowhere", G, "n_routings = p.n_routings if", "n_routings = 0 if", f"{IDENTITIES} -k golden"),
    Fault("GRCN: routing without renormalising", G, "users = unit_rows(users + weighted_spmm(edges, weights, items))", "users = users + weighted_spmm(edges, weights, items)", f"{IDENTITIES} -k golden", slow=True),
    Fault("GRCN: affinities not reordered", G, "edge_softmax(back, column_major(edges, affinity),", "edge_softmax(back, affinity,", f"{GRCN} -k equals_the_reference"),
    Fault("GRCN: confidence of the target", G, "confidences = column_major(back, spread(back, of_items)), column_major(edges, spread(edges, of_users))", "confidences = spread(edges, of_users), spread(back, of_items)", f"{GRCN} -k equals_the_reference"),
    Fault("GRCN: absent modalities in the maximum", G, "scores.masked_fill(~has, torch.finfo(scores.dtype).min)", "scores", f"{GRCN} -k equals_the_reference"),
    Fault("GRCN: absent items in the softmax", G, "contents.append(content(edges, None if self.edge_has is None else self.edge_has[:, m]))", "contents.append(content(edges, None))", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: hard pruning does nothing", G, 'F.relu(weights) if self.params.pruning == "hard" else weights', "weights", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: one id layer", G, "N_ID_LAYERS = 2", "N_ID_LAYERS = 1", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("GRCN: ids not normalised", G, "unit_rows(self.user_embedding.weight), unit_rows(self.item_embedding.weight)", "self.user_embedding.weight, self.item_embedding.weight", f"{GRCN} -k equals_the_reference", slow=True),
    Fault("LATTICE: graph detached at once", L, "            return graph\n", "            return detached\n", f"{TRAINING} -k first_batch"),
    Fault("LATTICE: graph trained in every batch", L, 'if self.params.lattice_graph_grad == "every_step":', "if True:", f"{TRAINING} -k first_batch"),
    Fault("LATTICE: never rebuilt", L, "if self._held is None or self._held[0] != epoch:", "if self._held is None:", f"{TRAINING} -k first_batch", slow=True),
    Fault("LATTICE: evaluates the training graph", L, "self._propagated(self._graph())", "self._propagated(self._held[1] if self._held else self._graph())", f"{LATTICE} -k current_parameters"),
    Fault("LATTICE: one-sided Laplacian", LG, "values * spread(pairs, scale) * column_major(back, spread(back, scale))", "values * spread(pairs, scale).square()", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: degree detached", LG, "scale = torch.where(degrees > 0, degrees,", "scale = torch.where(degrees > 0, degrees.detach(),", f"{LATTICE} -k gradcheck"),
    Fault("LATTICE: mix swapped", L, 'if p.lattice_mix == "code":', 'if p.lattice_mix != "code":', f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: lambda swapped", L, "values = [(1 - p.lam) * omega[m]", "values = [p.lam * omega[m]", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: no self loop for absent items", LG, "items[absent, 0], cosines[absent, 0] = absent, 1.0", "pass", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: item part not normalised", L, "items + unit_rows(self._propagated(self._graph()))", "items + self._propagated(self._graph())", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: clip ignored", LG, "return F.relu(cosines) if self.clip else cosines", "return cosines", f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: ego rows regularised", L, "return l2(self.params.reg_form, *final)", "return super().regularisation(batch, final)", f"{LATTICE} -k equals"),
    Fault("LATTICE: stale neighbours", LG, "if self._chosen is None or not torch.equal(self._chosen[0], rows):", "if self._chosen is None:", f"{LATTICE} -k current_parameters", slow=True),
    Fault("LATTICE: sym instead of self loops", L, "self.n_items, p.lattice_ui_norm)", 'self.n_items, "sym")', f"{LATTICE} -k equals", slow=True),
    Fault("LATTICE: parts of the constant graph not added", LG, ".index_add_(0, position, torch.cat", ".index_copy_(0, position, torch.cat", "tests/plain/test_trajectories.py -k lattice", slow=True),
]  # fmt: skip
