"""Arrays and devices: what a dtype is, where an array lives, how random numbers are drawn."""
