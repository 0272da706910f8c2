"""A shop's tables: their schema, import, validation, splits and text."""
