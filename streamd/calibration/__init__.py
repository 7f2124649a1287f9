"""Thresholds for the voices of one tenant: what strangers and owners score, and what follows."""
