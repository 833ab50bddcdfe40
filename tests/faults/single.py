"""Faults in the readings and parts of LUDP, VBPR, ACF and NGCF."""
# ruff: noqa: E501

from faults import Fault

LUDP, VBPR = "tests/numeric/test_ludp.py", "tests/numeric/test_vbpr.py"
ACF, HISTORIES, NGCF = (
    "tests/numeric/test_acf.py",
    "tests/numeric/test_acf_histories.py",
    "tests/numeric/test_ngcf.py",
)
L, PREF = "models/ludp.py", "models/_preference.py"
A, S, V = "models/acf.py", "models/_segments.py", "models/vbpr.py"
N, NL = "models/ngcf.py", "models/_ngcf_layer.py"

FAULTS = [
    Fault("LUDP: user content without the embedding", PREF, "return projected + base", "return projected", "tests/numeric/test_golden.py"),
    Fault("LUDP: mean of one less still over all", PREF, "(n - inside).clamp_min(1)", "n.clamp_min(1)", f"{LUDP} -k leaving_the_positive_out"),
    Fault("LUDP: user without content takes part", PREF, "return counts > 0", "return counts >= 0", f"{LUDP} -k leaving_the_positive_out", slow=True),
    Fault("LUDP: item graphs start from the ids", L, 'if p.item_graph_input == "ego" else items', "", f"{LUDP} -k switch_changes"),
    Fault("LUDP: propagated user base ignored", L, '"propagated": collaborative', '"propagated": ego', f"{LUDP} -k switch_changes", slow=True),
    Fault("LUDP: attention sees the other input", L, 'user_att_input == "phat"', 'user_att_input != "phat"', f"{LUDP} -k scores_equal", slow=True),
    Fault("LUDP: normalised H ignored", L, 'F.normalize(fused, dim=1, eps=1e-12) if p.item_aux_norm == "l2" else fused', "fused", f"{LUDP} -k switch_changes", slow=True),
    Fault("LUDP: layers of the item graph not read out", "models/_item_graph.py", "layers.append(table if nodes is None else gather(table, nodes))", "pass", f"{LUDP} -k scores_equal", slow=True),
    Fault("LUDP: printed sum over the triples ignored", L, "self.bpr_reduction = self.params.bpr_reduction", "pass", f"{LUDP} -k loss_equals", slow=True),
    Fault("LUDP: weights never regularised", L, 'if self.params.reg_scope == "ego":', "if True:", f"{LUDP} -k loss_equals"),
    Fault("LUDP: rows regularised and the matrices as well, divided by the batch", L, "rows + sum_of_squares(matrices) / 2 if", "rows + sum_of_squares(matrices) / (2 * len(ego[0])) if", "tests/plain/test_plain.py -k ludp", slow=True),
    Fault("LUDP: graphs never refreshed", L, 'p.item_graph_refresh == "epoch"', "False", f"{LUDP} -k refreshing", slow=True),
    Fault("LUDP: graphs refreshed in every batch", L, "due = self.pairs_seen % len(self.train_users) == 0", "due = True", f"{LUDP} -k refreshing", slow=True),
    Fault("fusion: mean sums", "models/_fusion.py", 'if self.how == "mean":', "if False:", f"{LUDP} -k times_mean", slow=True),
    Fault("VBPR: an absent item gets the bias", V, "self.described[items] * self.projection_bias", "self.projection_bias", f"{VBPR} -k without_content"),
    Fault("VBPR: projected rows regularised", V, 'self.params.reg_vbpr == "ego"', 'self.params.reg_vbpr != "ego"', f"{VBPR} -k reference"),
    Fault("VBPR: content bias left out", V, " + content_bias.unsqueeze(1)", "", f"{VBPR} -k reference", slow=True),
    Fault("VBPR: the users' constant is regularised", V, "users[:, : 2 * self.width]", "users", f"{VBPR} -k reference", slow=True),
    Fault("ACF: absent modalities attended to", A, "logits.masked_fill(~available, torch.finfo(logits.dtype).min)", "logits", f"{ACF} -k reference"),
    Fault("ACF: v and p swapped in the attention", A, '[item["v"], item["p"]]', '[item["p"], item["v"]]', f"{ACF} -k reference", slow=True),
    Fault("ACF: the positive stays in the history", A, "if self.params.acf_exclude_pos and self.training:", "if False:", f"{ACF} -k never_having_seen"),
    Fault("ACF: digits lost where one item dominates", S, "DOMINANT = 0.9", "DOMINANT = 2.0", f"{ACF} -k however_much"),
    Fault("ACF: gradient of the query without the users", S, "to_vector += (by_row * left).sum(0)", "pass", f"{ACF} -k gradcheck", slow=True),
    Fault("ACF: an item too many in a cut history", "models/_histories.py", "shuffled[rank < most]", "shuffled[rank <= most]", f"{HISTORIES} -k longest", slow=True),
    Fault("NGCF: own rows not among the sums", NL, "own + side, own * side", "side + 0, own * side", f"{NGCF} -k reference"),
    Fault("NGCF: gradient of the product", NL, "to_own = to_sums.addcmul_(to_products, side)", "to_own = to_sums.addcmul_(to_products, own)", f"{NGCF} -k gradcheck"),
    Fault("NGCF: dropout at evaluation", N, "if self.training and self.dropout:", "if self.dropout:", f"{NGCF} -k training_only", slow=True),
    Fault("NGCF: what is kept is not scaled up", NL, ".mul_(LANES / (LANES - threshold))", "", f"{NGCF} -k message_dropout", slow=True),
    Fault("NGCF: other entries dropped from the transpose", N, "values[self.transposition]", "values", f"{NGCF} -k node_dropout"),
    Fault("NGCF: official rows read out as they are", N, "return messages, unit_rows(messages)", "return messages, messages", f"{NGCF} -k reference", slow=True),
    Fault("NGCF: official without self loops", N, '"sym" if p.ngcf_variant == "recbole" else "rw_self"', '"sym"', f"{NGCF} -k reference", slow=True),
]  # fmt: skip
