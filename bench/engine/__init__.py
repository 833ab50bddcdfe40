"""Train and evaluate: model registry, sampler, trainer, evaluator. `tuned` and the RecBole bridge write files."""
