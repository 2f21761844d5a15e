"""Linear algebra. Defined in `minigrad/ops`, and named there by `@export("linalg....")`."""
