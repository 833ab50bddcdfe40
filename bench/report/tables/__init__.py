"""Tables and figures, one module per artifact or family of artifacts."""
