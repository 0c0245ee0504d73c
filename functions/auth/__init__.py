"""Accounts: registration, sessions, passwords, sign-in with providers."""
