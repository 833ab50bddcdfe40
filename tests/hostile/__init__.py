"""Hostile and broken input, and the machine that tries it under limits of time and memory."""
