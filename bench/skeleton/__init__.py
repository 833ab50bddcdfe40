"""A working model to start from, as three files."""
