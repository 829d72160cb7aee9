"""Tests of integrations: requested by a person or service, run by a job, kept for a while."""
