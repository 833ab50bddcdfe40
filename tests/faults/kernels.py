"""Faults in the losses, the graphs, the k-NN lists, the kernels over edges and rows, and the base class."""
# ruff: noqa: E501

from faults import Fault

GOLDEN, KERNELS = "tests/numeric/test_golden.py", "tests/numeric/test_kernels.py"
EDGES, PARITY = "tests/numeric/test_edges.py", "tests/contract/test_recbole_parity.py"
LOSSES = "tests/numeric/test_losses.py"

FAULTS = [
    Fault("L2 not halved", "_HalfSquares.forward", ".sum() / (2 * len(rows[0]))", ".sum() / len(rows[0])", f"{PARITY} -k half_sq", slow=True),
    Fault("L2: gradient halved", "_HalfSquares.backward", "weight = grads[0] / len(rows[0])", "weight = grads[0] / (2 * len(rows[0]))", f"{LOSSES} -k gradient_of_half_sq"),
    Fault("attention: gradient without the softmax's sum", "_Attention.backward", "flow.addcmul_(weights, flow.sum(0, keepdim=True), value=-1)", "flow", "tests/plain/test_plain.py -k ludp", slow=True),
    Fault("parts: gradients in another order taken for one table", "_Parts.backward", " and grad.data_ptr() == at for", " for", f"{LOSSES} -k gradient_of_parts"),
    Fault("BPR with a swapped sign", "_Bpr.forward", "across = negatives - positives", "across = positives - negatives", f"{PARITY} -k bpr", slow=True),
    Fault("stale tables after loading", "DotScores.forget", "self.restore_user_e, self.restore_item_e = None, None", "pass", "tests/contract/test_model_contract.py -k saved_model_scores", slow=True),
    Fault("un-normalised graph", "bipartite", "values = scale[rows] * scale[columns]", "values = torch.ones_like(scale[rows])", GOLDEN, slow=True),
    Fault("one-sided normalisation", "bipartite", "values = scale[rows] * scale[columns]", "values = scale[rows].square()", f"{PARITY} -k lightgcn_equals", slow=True),
    Fault("gradient with the wrong matrix", "_Product.backward", "bag(matrix.t_offsets, matrix.t_columns, matrix.t_values, grads", "bag(matrix.offsets, matrix.columns, matrix.values, grads", f"{KERNELS} -k product", slow=True),
    Fault("stacked graphs on one diagonal block", "stacked", "part[1] + index * n_columns * diagonal", "part[1]", "tests/numeric/test_ludp.py -k scores_equal", slow=True),
    Fault("stacked graphs overflow 32 bits", "SparseRows.entries", "torch.repeat_interleave(self.offsets.diff().long())", "torch.repeat_interleave(self.offsets.diff())", "tests/scale -k stacked"),
    Fault("batch: one product short in the gradient", "_Propagation.backward", "for left in range(n_layers, 0, -1):", "for left in range(n_layers - 1, 0, -1):", f"{PARITY} -k lightgcn_equals", slow=True),
    Fault("sums by sorting: rows out of order", "scattered", "order.to(torch.int32), None, rows", "order.sort().values.to(torch.int32), None, rows", "tests/numeric/test_bags.py -k index_add", slow=True),
    Fault("padded ids: a place too far", "distinct_padded", "place = torch.cumsum(is_new, 0) - 1", "place = torch.cumsum(is_new, 0)", "tests/numeric/test_bags.py -k padded", slow=True),
    Fault("batch: gradient of the L2 rows lost", "_Propagation.backward", "rows if left > 1 else rows.add_(grads[1])", "rows", f"{PARITY} -k lightgcn_equals", slow=True),
    Fault("batch: rows taken twice count once", "scattered", "rows.new_zeros(n_rows, rows.shape[1]).index_add_(", "rows.new_zeros(n_rows, rows.shape[1]).index_copy_(", f"{PARITY} -k bpr", slow=True),
    Fault("batch: read-out over one layer less", "propagated_rows", "1.0 / (n_layers + 1)", "1.0 / max(n_layers, 1)", f"{PARITY} -k lightgcn_equals", slow=True),
    Fault("batch: own entries of the wrong rows", "_own_entries", "shift = matrix.offsets.index_select(0, rows) - ends + sizes", "shift = matrix.offsets.index_select(0, rows) - ends", f"{KERNELS} -k listed_rows", slow=True),
    Fault("ranking: one group too few", "largest", "largest(maxima, k, ", "largest(maxima, k - 1, ", "tests/unit/test_ranking.py"),
    Fault("ranking: the last columns left out", "largest", ", rest], dim=1)", "], dim=1)", "tests/unit/test_ranking.py", slow=True),
    Fault("item missing from its own list", "nearest", "    if include_self:", "    if False:", f"{KERNELS} -k neighbours"),
    Fault("near ties at the cut unseen", "SEPARATION", "SEPARATION = 1e-5", "SEPARATION = -9.0", f"{KERNELS} -k loop_for_every", slow=True),
    Fault("neighbours by the rough cosine", "_choose", "torch.round(exact, decimals=6)", "torch.round(exact, decimals=2)", f"{KERNELS} -k neighbours", slow=True),
    Fault("Eq. 5 with another norm", "_normalised", "return ones * out_degree.rsqrt()[rows]", "return ones / out_degree[rows]", GOLDEN, slow=True),
    Fault("union keeps mutual pairs only", "_symmetrized", 'counts == 2 if how == "mutual" else', 'counts == 2 if how == "union" else', f"{KERNELS} -k item_graph_equals", slow=True),
    Fault("negative pairs kept", "item_graph", "part[cosines >= 0]", "part[cosines >= -2]", f"{KERNELS} -k item_graph_equals", slow=True),
    Fault("softmax over absent modalities", "masked_softmax", "logits.masked_fill(~mask, torch.finfo(logits.dtype).min)", "logits", f"{KERNELS} -k softmax_ignores", slow=True),
    Fault("edges: gradient in row order", "_WeightedProduct.backward", "by_column = values.index_select(0, edges.order)", "by_column = values", f"{EDGES} -k gradients", slow=True),
    Fault("edges: dot gradient unpermuted", "_EdgeDots.backward", "grads[0].index_select(0, edges.order), left", "grads[0], left", f"{EDGES} -k gradients", slow=True),
    Fault("edges: softmax gradient without its mean", "_EdgeSoftmax.backward", "return flow - weights * ", "return flow - 0 * weights * ", f"{EDGES} -k gradients", slow=True),
    Fault("edges: softmax counts masked edges", "_EdgeSoftmax.forward", "        if keep is not None:\n            powers = powers * keep\n", "", f"{EDGES} -k kept_edges"),
    Fault("edges: permutation not undone", "_Permuted.backward", "grads[0].index_select(0, ctx.inverse)", "grads[0]", f"{EDGES} -k gradients", slow=True),
    Fault("edges: softmax overflows", "_EdgeSoftmax.forward", 'logits - _segments(edges, logits, "max").index_select(0, edges.rows)', "logits", f"{EDGES} -k large_logits", slow=True),
    Fault("rows: gradient along the row", "unit_gradient", "value=-1", "value=0", f"{EDGES} -k zero_row", slow=True),
    Fault("rows: a zero row sends 1e12", "unit_gradient", ".mul_(inverse)", ".mul_(inverse.masked_fill(inverse == 0, 1e12))", f"{EDGES} -k zero_row", slow=True),
]  # fmt: skip
