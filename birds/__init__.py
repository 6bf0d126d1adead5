"""The bundled world: drawn birds whose true explanations are known, and their network."""
