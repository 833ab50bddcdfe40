"""Values and plumbing that every room uses. Imports no other room."""
