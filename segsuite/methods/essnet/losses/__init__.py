"""Losses of the ESSNet family, exact and approximate."""
