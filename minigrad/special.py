"""Special functions. Defined in `minigrad/ops`, and named there by `@export("special....")`."""
