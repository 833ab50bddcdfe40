"""Data cards, readers, splits: from files to data that is ready to train on."""
