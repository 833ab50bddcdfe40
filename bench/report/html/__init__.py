"""The report of a call as one HTML page and one Markdown file: summary, provenance, tables, figures, parameters.

Templates, styles and scripts are in `templates/`. The page makes no network request. Equal results give equal
bytes.
"""
