"""Exports of receipts: requests, files, formats, downloads and evidence archives."""
