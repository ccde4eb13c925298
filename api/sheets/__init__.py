"""Sheets as files: CSV, XLSX, PDF and UBL, all of one `domain.sheets.Sheet`."""
