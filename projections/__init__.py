"""How events become read models: the engine, and one file per read model (its tables, its fold, its queries)."""
