"""How published models were made; run from a checkout."""
