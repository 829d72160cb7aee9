"""Attachments: files of payloads and comments, their upload, storage, use and removal."""
