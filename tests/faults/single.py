"""Faults in the readings and parts of LUDP, VBPR, ACF and NGCF."""
# ruff: noqa: E501

from faults import Fault

LUDP, VBPR = "tests/numeric/test_ludp.py", "tests/numeric/test_vbpr.py"
ACF, HISTORIES, NGCF = (
    "tests/numeric/test_acf.py",
    "tests/numeric/test_acf_histories.py",
    "tests/numeric/test_ngcf.py",
)

FAULTS = [
    Fault("LUDP: user content without the embedding", "Preference.combined", "return projected + base", "return projected", "tests/numeric/test_golden.py", slow=True),
    Fault("LUDP: mean of one less still over all", "Preference._without", "(n - inside).clamp_min(1)", "n.clamp_min(1)", f"{LUDP} -k leaving_the_positive_out"),
    Fault("LUDP: user without content takes part", "Preference.available", "return counts > 0", "return counts >= 0", f"{LUDP} -k leaving_the_positive_out", slow=True),
    Fault("LUDP: item graphs start from the ids", "LUDP.embed", 'if p.item_graph_input == "ego" else items', "", f"{LUDP} -k switch_changes", slow=True),
    Fault("LUDP: propagated user base ignored", "LUDP._user_content", '"propagated": collaborative', '"propagated": ego', f"{LUDP} -k switch_changes", slow=True),
    Fault("LUDP: attention sees the other input", "LUDP._user_content", 'user_att_input == "phat"', 'user_att_input != "phat"', f"{LUDP} -k scores_equal", slow=True),
    Fault("LUDP: normalised H ignored", "LUDP._item_content", 'F.normalize(fused, dim=1, eps=1e-12) if p.item_aux_norm == "l2" else fused', "fused", f"{LUDP} -k switch_changes", slow=True),
    Fault("LUDP: layers of the item graph not read out", "ItemGraphs.views", "layers.append(table if nodes is None else gather(table, nodes))", "pass", f"{LUDP} -k scores_equal", slow=True),
    Fault("LUDP: printed sum over the triples ignored", "LUDP.__init__", "self.bpr_reduction = self.params.bpr_reduction", "pass", f"{LUDP} -k loss_equals", slow=True),
    Fault("LUDP: weights never regularised", "LUDP.regularised", 'if self.params.reg_scope == "ego":', "if True:", f"{LUDP} -k loss_equals", slow=True),
    Fault("LUDP: rows regularised and the matrices as well, divided by the batch", "LUDP.regularised", "rows + sum_of_squares(self._matrices) / 2 if", "rows + sum_of_squares(self._matrices) / (2 * len(ego[0])) if", "tests/plain/test_plain.py -k ludp", slow=True),
    Fault("LUDP: graphs never refreshed", "LUDP._refresh_if_due", "if self.training and self.pairs_seen % len(self.train_users) != 0:", "if self.training:", f"{LUDP} -k refreshing", slow=True),
    Fault("LUDP: graphs refreshed in every batch", "LUDP._refresh_if_due", "if self.training and self.pairs_seen % len(self.train_users) != 0:", "if False:", f"{LUDP} -k refreshing", slow=True),
    Fault("LUDP: tested with the item graphs of the last epoch", "LUDP.embed", "self._refresh_if_due()", "pass", f"{LUDP} -k restored_state"),
    Fault("LUDP: shared attention without attention", "Params._consistent", 'if self.fusion != "attention":', "if False:", f"{LUDP} -k contradictory", slow=True),
    Fault("features: rounding of a constant column grows", "scaled", "masked_fill(constant, 0)", "masked_fill(constant & False, 0)", "tests/contract/test_missing.py -k constant_column"),
    Fault("fusion: mean sums", "PlainFusion.forward", 'if self.how == "mean":', "if False:", f"{LUDP} -k times_mean", slow=True),
    Fault("VBPR: an absent item gets the bias", "VBPR._item_rows", "self.described[items] * self.projection_bias", "self.projection_bias", f"{VBPR} -k without_content", slow=True),
    Fault("VBPR: projected rows regularised", "VBPR.regularisation", 'self.params.reg_vbpr == "ego"', 'self.params.reg_vbpr != "ego"', f"{VBPR} -k reference", slow=True),
    Fault("VBPR: content bias left out", "VBPR._item_rows", " + content_bias.unsqueeze(1)", "", f"{VBPR} -k reference", slow=True),
    Fault("VBPR: the users' constant is regularised", "VBPR.regularisation", "users[:, : 2 * self.width]", "users", f"{VBPR} -k reference", slow=True),
    Fault("ACF: absent modalities attended to", "ACF._attention", "logits.masked_fill(~available, torch.finfo(logits.dtype).min)", "logits", f"{ACF} -k reference", slow=True),
    Fault("ACF: v and p swapped in the attention", "ACF._shares", '[item["v"], item["p"]]', '[item["p"], item["v"]]', f"{ACF} -k reference", slow=True),
    Fault("ACF: the positive stays in the history", "ACF.embed_with_ego", "if self.params.acf_exclude_pos and self.training:", "if False:", f"{ACF} -k never_having_seen", slow=True),
    Fault("ACF: digits lost where one item dominates", "DOMINANT", "DOMINANT = 0.9", "DOMINANT = 2.0", f"{ACF} -k however_much"),
    Fault("ACF: gradient of the query without the users", "_PairLogits.backward", "to_vector += (by_row * left).sum(0)", "pass", f"{ACF} -k gradcheck", slow=True),
    Fault("ACF: an item too many in a cut history", "_chosen", "shuffled[rank < most]", "shuffled[rank <= most]", f"{HISTORIES} -k longest", slow=True),
    Fault("NGCF: own rows not among the sums", "_LayerFunction.forward", "own + side, own * side", "side + 0, own * side", f"{NGCF} -k reference", slow=True),
    Fault("NGCF: gradient of the product", "_LayerFunction.backward", "to_own = to_sums.addcmul_(to_products, side)", "to_own = to_sums.addcmul_(to_products, own)", f"{NGCF} -k gradcheck", slow=True),
    Fault("NGCF: dropout at evaluation", "_Layer.forward", "if self.training and self.dropout:", "if self.dropout:", f"{NGCF} -k training_only", slow=True),
    Fault("NGCF: what is kept is not scaled up", "dropout_factors", ".mul_(LANES / (LANES - threshold))", "", f"{NGCF} -k message_dropout", slow=True),
    Fault("NGCF: other entries dropped from the transpose", "NGCF._thinned", "values[self.transposition]", "values", f"{NGCF} -k node_dropout", slow=True),
    Fault("NGCF: official rows read out as they are", "_Layer.forward", "return messages, unit_rows(messages)", "return messages, messages", f"{NGCF} -k reference", slow=True),
    Fault("NGCF: official without self loops", "NGCF.__init__", '"sym" if p.ngcf_variant == "recbole" else "rw_self"', '"sym"', f"{NGCF} -k reference", slow=True),
]  # fmt: skip
