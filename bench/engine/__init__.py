"""Training and ranking: the models, the sampler, the trainer, the evaluator. Writes nothing."""
