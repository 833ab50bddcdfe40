"""Faults that the regression check must see; `tests` names the models that it is run on, the cheapest that show it."""
# ruff: noqa: E501

from faults import Fault, kernels, multimodal, pipeline, single

MASK, STALE = "scores[rows, columns] = -torch.inf", "        self.forget()\n        batch = ("
OURS = [
    Fault("seen items not masked", "hide", MASK, "pass", "popularity"),
    Fault("test items at validation", "Evaluator.valid", 'self._evaluate(model, "valid")', 'self._evaluate(model, "test")', "popularity"),
    Fault("learning rate ignored", "adam", "lr=model.params.learning_rate", "lr=0.001", "mf"),
    Fault("regularisation dropped", "Recommender.calculate_loss", "self.params.reg_weight * self.regularised(ego)", "0.0 * bpr", "mf"),
    Fault("stale embeddings at validation", "Recommender.calculate_loss", STALE, "        batch = (", "lightgcn"),
    Fault("layers weighted wrongly", "read_out", "total / len(layers)", "(total + layers[0]) / len(layers)", "lightgcn"),
    Fault("one modality dropped", "choose", "        return available\n    if not wanted", "        return available[:1]\n    if not wanted", "vbpr"),
    Fault("feature rows permuted", "padded", "dtype=np.float32), modality.matrix])", "dtype=np.float32), modality.matrix[::-1]])", "contentknn"),
    Fault("every loss computed five times", "Stepper._step", "bpr, regularisation = self._model.calculate_loss(batch)", "[self._model.calculate_loss(batch) for _ in range(4)]; bpr, regularisation = self._model.calculate_loss(batch)", "lightgcn"),
]  # fmt: skip
SHARED = {  # faults that tests of their own catch too, with the models that show them here
    "padding column kept": "popularity",
    "no mask of validation items": "popularity",
    "mask 1e-5": "itemknn",
    "ideal DCG over all positives": "ease",
    "DCG off by one": "ease",
    "negatives from training items": "mf",
    "negatives not shuffled along": "mf",
    "last epoch instead of the best": "mf",
    "BPR with a swapped sign": "mf",
    "un-normalised graph": "lightgcn",
    "batch: one product short in the gradient": "lightgcn",
    "LUDP: user content without the embedding": "ludp",
    "NGCF: own rows not among the sums": "ngcf",
    "ACF: v and p swapped in the attention": "acf",
    "MMGCN: sum instead of mean of neighbours": "mmgcn",
    "GRCN: one id layer": "grcn",
    "LATTICE: lambda swapped": "lattice",
}
KNOWN = [*pipeline.FAULTS, *kernels.FAULTS, *single.FAULTS, *multimodal.FAULTS]
FAULTS = [*OURS, *(fault._replace(tests=SHARED[fault.name]) for fault in KNOWN if fault.name in SHARED)]
CHEAPEST = ("seen items not masked", "padding column kept", "regularisation dropped")
