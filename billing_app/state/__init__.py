"""The pages' memory: who -> do -> show. No SQL and no tables; only strings reach a browser."""
