"""Pictures and measures of how good a subtraction is."""
