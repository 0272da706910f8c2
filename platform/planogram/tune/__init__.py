"""Campaigns: a search space, a ledger of trials, and trials that are ordinary runs of a stage."""
