"""Us against our peers, measured; no part of the product, and nothing here is deployed."""
