"""Layer 4. Content of items -> feature files, by encoders of well-kept libraries that are no requirement."""
