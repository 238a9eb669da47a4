"""Words that every room shares: parameters, elements, errors, the report, the contract of ops."""
