"""Values and helpers that every other package uses. Imports none of them."""
