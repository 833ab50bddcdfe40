"""Readers and writers of data set file formats, one module per format."""
