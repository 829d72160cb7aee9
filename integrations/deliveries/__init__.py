"""Senders of continuous deliveries: files, webhooks and OTLP collectors."""
