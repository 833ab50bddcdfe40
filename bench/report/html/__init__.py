"""One page of everything: summary, provenance, tables, figures, parameters; and a Markdown summary.

Templates, style and script lie in `templates/`. The page makes no request; the same results give the same bytes.
"""
