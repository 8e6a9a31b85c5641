"""MovieLens ratings as three behaviours."""
