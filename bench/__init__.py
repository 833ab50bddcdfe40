"""ludp-bench: one data protocol, one full-ranking evaluator, nine multimodal recommenders."""

__version__ = "0.1.0"
