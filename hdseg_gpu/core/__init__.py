"""Shared definitions: parameters, elements, errors, the report, the contract of ops."""
